"""Sends what the core says, with the bytes of its entries: new ones from memory, others from disk."""

import asyncio
import logging
from collections.abc import Callable, Set
from pathlib import Path

from tqnode.replication.entry import Head, Position
from tqnode.replication.messages import AnyMessage, Append, Lend
from tqnode.replication.node_db import NodeDb, NoEntry
from tqnode.replication.node_rows import is_sound
from tqnode.replication.peers import Peers
from tqnode.replication.recent import Recent

logger = logging.getLogger(__name__)


class Outbox:
    """Used by a replica, on the event loop alone.

    Args:
        peers: take the messages.
        node_db: has the entries.
        storing: what is on its way to the disk at this moment, and can't be read yet.
        on_damaged: called with the position of an entry whose bytes are not what was stored.
        on_fatal: called when the disk failed.
    """

    def __init__(
        self,
        peers: Peers,
        node_db: NodeDb,
        *,
        storing: Set["asyncio.Task[None]"],
        on_damaged: Callable[[Position], None],
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self._peers = peers
        self._node_db = node_db
        self._storing = storing
        self._on_damaged = on_damaged
        self._on_fatal = on_fatal
        self._recent = Recent()
        self._reading: set[asyncio.Task[None]] = set()

    def keep(self, position: Position, content: bytes) -> None:
        """Has an entry's bytes at hand for a while."""
        self._recent.add(position, content)

    def send(self, to: str, message: AnyMessage) -> None:
        """Sends a message; it may be lost."""
        heads = message.heads if isinstance(message, Append | Lend) else ()
        contents = [self._recent.get(head.position) for head in heads]
        known = [content for content in contents if content is not None]
        if len(known) == len(heads):
            self._peers.send(to, message, known)
            return
        # The renewal in it must not wait for the disk.
        if isinstance(message, Append):
            self._peers.send(
                to, Append(message.term, (), message.commit, message.sent, message.admit, message.kept)
            )
        # Those of now alone: under load there is always something on its way to the disk.
        task = asyncio.create_task(self._read_and_send(to, message, heads, set(self._storing)))
        self._reading.add(task)
        task.add_done_callback(self._ended)

    async def _read_and_send(
        self, to: str, message: AnyMessage, heads: tuple[Head, ...], before: set["asyncio.Task[None]"]
    ) -> None:
        if before:
            await asyncio.wait(before)
        sources: list[bytes | Path] = []
        for head in heads:
            try:
                content = await self._node_db.read(head.position)
            except NoEntry:
                logger.info("entries for %s are gone: a newer term has begun", to)
                return
            if not await asyncio.to_thread(_is_whole, head, content):
                logger.error("entry %d of term %d is damaged on this disk", head.txid, head.term)
                self._on_damaged(head.position)
                return
            sources.append(content)
        self._peers.send(to, message, sources)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._reading.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_fatal(error)

    async def close(self) -> None:
        """Sends nothing more of what is still being read."""
        reading = list(self._reading)
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)


def _is_whole(head: Head, content: bytes | Path) -> bool:
    try:
        return is_sound(head, content)
    except OSError as error:
        logger.error("entry %d of term %d cannot be read: %s", head.txid, head.term, error)
        return False
