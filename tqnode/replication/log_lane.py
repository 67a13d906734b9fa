"""The connection for messages with entries: however large those are, no heartbeat waits behind them."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from tqnode.replication.entry import Head, Position
from tqnode.replication.messages import Append, Lend
from tqnode.replication.peer_client import Lane, Route
from tqnode.replication.peer_handshake import unexpected
from tqnode.replication.peer_link import Link, LinkBroken
from tqnode.replication.wire import CHUNK_BYTES, FRAME_BYTES_MAX, LOG, Kind, pack

Shipment = Append | Lend
Source = bytes | Path
WAITING_BYTES_MAX: Final = 64 * 1024 * 1024
WAITING_MAX: Final = 256
IDLE_PING_S: Final = 2.0
SILENT_S: Final = 30.0
"""A peer may be busy for so long with syncing what it was sent."""
FILE_READ_BYTES: Final = 8 * CHUNK_BYTES

logger = logging.getLogger(__name__)


class _Item(NamedTuple):
    message: Shipment
    sources: Sequence[Source]
    memory: int


class LogLane(Lane):
    """Carries them to one peer, in order.

    Args:
        route: to the peer.
    """

    def __init__(self, route: Route) -> None:
        super().__init__(route, LOG)
        self._waiting: deque[_Item] = deque()
        self._memory = 0
        self._under_way: set[Position] = set()
        self._woken = asyncio.Event()

    @property
    def idle(self) -> bool:
        """Nothing waits or is being sent."""
        return not self._under_way

    def put(self, message: Shipment, sources: Sequence[Source]) -> bool:
        """Sends it; False if it was dropped: all its entries are under way already, or too much waits.

        Args:
            message: with heads.
            sources: the bytes of each head, or the file that has them.
        """
        positions = {head.position for head in message.heads}
        memory = sum(len(source) for source in sources if isinstance(source, bytes))
        full = len(self._waiting) >= WAITING_MAX or self._memory + memory > WAITING_BYTES_MAX
        if positions <= self._under_way or (full and self._waiting) or not self.connected:
            return False
        self._waiting.append(_Item(message, sources, memory))
        self._memory += memory
        self._under_way |= positions
        self._woken.set()
        return True

    def _found(self) -> None:
        self._forget()

    def _lost(self, why: str) -> None:
        self._forget()

    def _forget(self) -> None:
        """What waits is sent anew by the core, from what the peer has by then."""
        self._waiting.clear()
        self._under_way.clear()
        self._memory = 0

    async def _read(self, link: Link) -> None:
        while True:
            kind, body = await link.read(bytes_max=FRAME_BYTES_MAX, within_s=SILENT_S)
            if kind != Kind.PONG:
                raise unexpected(kind, body)
            self._route.contacts.heard(self._route.name)

    async def _write(self, link: Link) -> None:
        while True:
            self._woken.clear()
            while self._waiting:
                item = self._waiting.popleft()
                await self._send(link, item)
                self._memory -= item.memory
                self._under_way.difference_update(head.position for head in item.message.heads)
            link.write(Kind.PING)
            await link.drain(within_s=SILENT_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(IDLE_PING_S):
                    await self._woken.wait()

    async def _send(self, link: Link, item: _Item) -> None:
        with contextlib.ExitStack() as files:
            contents: list[bytes | BinaryIO] = []
            for source in item.sources:
                if isinstance(source, bytes):
                    contents.append(source)
                    continue
                try:
                    contents.append(files.enter_context(await asyncio.to_thread(source.open, "rb", 0)))
                except FileNotFoundError:
                    # Trimmed meanwhile: whoever still needs it asks again, and is told what there is instead.
                    logger.info("%s is not there any more and was not sent to %s", source, self._route.name)
                    return
            link.write(Kind.MESSAGE, pack(item.message))
            for head, content in zip(item.message.heads, contents, strict=True):
                if isinstance(content, bytes):
                    await _send_bytes(link, head, content)
                else:
                    await _send_file(link, head, content)


async def _send_bytes(link: Link, head: Head, content: bytes) -> None:
    for at in range(0, len(content), CHUNK_BYTES):
        link.write(Kind.CHUNK, content[at : at + CHUNK_BYTES])
        await link.drain(within_s=SILENT_S)


async def _send_file(link: Link, head: Head, stream: BinaryIO) -> None:
    left = head.size
    while left:
        try:
            block = await asyncio.to_thread(stream.read, min(left, FILE_READ_BYTES))
        except OSError as error:
            raise _unreadable(head, str(error)) from error
        if not block:
            raise _unreadable(head, f"{left} bytes are missing")
        left -= len(block)
        for at in range(0, len(block), CHUNK_BYTES):
            link.write(Kind.CHUNK, block[at : at + CHUNK_BYTES])
            await link.drain(within_s=SILENT_S)


def _unreadable(head: Head, why: str) -> LinkBroken:
    """What is begun can be taken back in no other way than by ending the connection."""
    logger.error("entry %d of term %d cannot be sent: %s", head.txid, head.term, why)
    return LinkBroken(why)
