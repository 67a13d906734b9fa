"""The entries that come behind a message: small ones in memory, large ones straight into files."""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Final, Protocol

from tqnode.replication.entry import Head, Position
from tqnode.replication.entry_files import Incoming, Staged
from tqnode.replication.node_db import FILE_FROM_BYTES
from tqnode.replication.peer_link import Link
from tqnode.replication.peer_refusals import Refused
from tqnode.replication.wire import CHUNK_BYTES, HEADS_MAX, Kind

CHUNK_S: Final = 15.0
"""Time for the next chunk of an entry that has begun."""
MEMORY_BYTES_MAX: Final = 64 * 1024 * 1024
WRITE_BYTES: Final = 8 * CHUNK_BYTES

Content = bytes | Staged


class EntryShelf(Protocol):
    """Where large entries are put: :class:`tqnode.replication.node_db.NodeDb`."""

    async def receive(self, position: Position) -> Incoming:
        """Begins the file of an entry."""
        ...

    async def discard(self, staged: Staged) -> None:
        """Removes a file that no entry needs."""
        ...


async def take_entries(link: Link, heads: Sequence[Head], shelf: EntryShelf) -> list[Content]:
    """Takes the bytes of each head, in order, and checks them.

    Args:
        link: the connection; the message with the heads was the last frame that was read.
        heads: of the message.
        shelf: takes the large entries.

    Raises:
        LinkBroken: the connection has ended; nothing is kept.
        Refused: they are too many, or not those of their heads; nothing is kept.
        DiskFull: nothing is kept.
        DiskFailed: the process must end.
    """
    in_memory = sum(head.size for head in heads if head.size <= FILE_FROM_BYTES)
    if len(heads) > HEADS_MAX or in_memory > MEMORY_BYTES_MAX:
        raise Refused("too_large", f"{len(heads)} entries with {in_memory} bytes come in one message")
    taken: list[Content] = []
    try:
        for head in heads:
            large = head.size > FILE_FROM_BYTES
            taken.append(await (_to_file(link, head, shelf) if large else _to_memory(link, head)))
    except BaseException:
        for content in taken:
            if isinstance(content, Staged):
                await shelf.discard(content)
        raise
    return taken


async def _chunk(link: Link, left: int) -> bytes:
    kind, body = await link.read(bytes_max=CHUNK_BYTES, within_s=CHUNK_S)
    if kind != Kind.CHUNK or not 0 < len(body) <= left:
        raise Refused("malformed", f"a frame of kind {kind} with {len(body)} bytes came within an entry")
    return body


async def _to_memory(link: Link, head: Head) -> bytes:
    parts: list[bytes] = []
    left = head.size
    while left:
        parts.append(await _chunk(link, left))
        left -= len(parts[-1])
    content = b"".join(parts)
    _check(head, hashlib.sha256(content).digest())
    return content


async def _to_file(link: Link, head: Head, shelf: EntryShelf) -> Staged:
    incoming = await shelf.receive(head.position)
    try:
        left = head.size
        while left:
            # Few and large writes: each goes through a thread, so that the loop never waits for the disk.
            parts: list[bytes] = []
            gathered = 0
            while gathered < min(left, WRITE_BYTES):
                parts.append(await _chunk(link, left - gathered))
                gathered += len(parts[-1])
            await asyncio.to_thread(incoming.write, b"".join(parts))
            left -= gathered
        staged = await asyncio.to_thread(incoming.finish)
        _check(head, staged.sha256)
    except BaseException:
        await asyncio.to_thread(incoming.discard)
        raise
    return staged


def _check(head: Head, sha256: bytes | None) -> None:
    if sha256 != head.sha256:
        raise Refused("damaged", f"entry {head.txid} of term {head.term} has other bytes than its head says")
