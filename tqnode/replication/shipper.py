"""Takes a leader's commits to the log: has Litestream write them out, and hands its files on as entries."""

import asyncio
import contextlib
import hashlib
import io
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from tqnode.clock import Clock
from tqnode.errors import DiskFull
from tqnode.replication.entry import Head, Position
from tqnode.replication.entry_files import Staged, sha256_of
from tqnode.replication.ltx import LtxError, LtxFile
from tqnode.replication.node_db import FILE_FROM_BYTES, NodeDb
from tqnode.replication.quorum_gate import QuorumGate
from tqnode.replication.sync_client import EntriesGone, SyncError, entries_after

IDLE_S: Final = 1.0
"""Time after which it looks for entries that no commit of the queue's caused."""
AGAIN_S: Final = 0.05
FIRST_S: Final = 30.0
"""Time in which Litestream has to show the first of a term; fsyncing a large snapshot shows nothing."""

Content = bytes | Staged
Entries = Sequence[tuple[Head, Content]]

logger = logging.getLogger(__name__)


class LogBroken(Exception):
    """Litestream's files are not a log that can be gone on with: the term must end."""


class Shipper:
    """Works in one term, from :meth:`run` until it is cancelled.

    Args:
        term: the leadership.
        meta: folder in which Litestream keeps its state in this term.
        sync: has Litestream write out all that is committed, within the seconds given.
        node_db: takes over large files.
        gate: learns which entries have which groups.
        produced: gets the new entries, in order.
        patience_s: seconds for which Litestream may fail, a start anew of it included.
        clock: the node's clock.
    """

    def __init__(
        self,
        term: int,
        *,
        meta: Path,
        sync: Callable[[float], Awaitable[object]],
        node_db: NodeDb,
        gate: QuorumGate,
        produced: Callable[[Entries], None],
        patience_s: float,
        clock: Clock,
    ) -> None:
        self._patience_s = patience_s
        self._term = term
        self._meta = meta
        self._sync = sync
        self._node_db = node_db
        self._gate = gate
        self._produced = produced
        self._clock = clock
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        gate.on_arrival = self._arrived.set
        self._txid = 0
        self._sha256 = b""

    async def run(self) -> None:
        """Ships until cancelled.

        Raises:
            LogBroken: the term must end.
        """
        worked, written = self._clock.monotonic(), 0
        while True:
            began = self._clock.monotonic()
            try:
                await self._pass()
            except SyncError as error:
                size = await asyncio.to_thread(_size_of, self._meta)
                if size != written:
                    # It is at it: the snapshot of a large database takes its time.
                    worked, written = self._clock.monotonic(), size
                patience_s = self._patience_s if self._txid else max(self._patience_s, FIRST_S)
                if self._clock.monotonic() - worked > patience_s:
                    raise LogBroken(f"litestream does not write the log: {error}") from error
                logger.warning("the log waits for litestream: %s", error)
                await self._clock.sleep(AGAIN_S)
                continue
            worked = began
            if self._gate.uncovered:
                continue
            self._idle.set()
            try:
                async with asyncio.timeout(IDLE_S):
                    await self._arrived.wait()
            except TimeoutError:
                continue

    async def drained(self) -> None:
        """Returns when all that is held has been handed on; nothing more may be committed meanwhile."""
        while self._gate.uncovered:
            self._idle.clear()
            await self._idle.wait()

    async def _pass(self) -> None:
        """One sync for all that is held when it begins."""
        self._arrived.clear()
        groups = self._gate.uncovered
        # One that hangs must not be waited for beyond the patience.
        await self._sync(self._patience_s / 2)
        try:
            entries = await self._read()
        except (EntriesGone, LtxError, OSError, DiskFull) as error:
            raise LogBroken(f"the log of term {self._term} can't be gone on with: {error}") from error
        if entries:
            self._produced(entries)
        self._gate.cover(groups, self._txid)

    async def _read(self) -> list[tuple[Head, Content]]:
        entries: list[tuple[Head, Content]] = []
        try:
            for txid, file in entries_after(self._meta, self._txid):
                content, sha256, size = await self._take(txid, file)
                entries.append((Head(self._term, txid, sha256, self._sha256, size), content))
                self._txid, self._sha256 = txid, sha256
        except BaseException:
            for _, content in entries:
                if isinstance(content, Staged):
                    await self._node_db.discard(content)
            raise
        return entries

    async def _take(self, txid: int, file: Path) -> tuple[Content, bytes, int]:
        """An entry's content, SHA-256 and size."""
        content = _small(file)
        if content is not None:
            _check(content, txid)
            return content, hashlib.sha256(content).digest(), len(content)
        staged = await self._node_db.stage(Position(self._term, txid), file)
        try:
            return staged, *await asyncio.to_thread(sha256_of, file)
        except BaseException:
            await self._node_db.discard(staged)
            raise


def _small(file: Path) -> bytes | None:
    """A file's bytes; None if it is to stay a file."""
    return None if file.stat().st_size > FILE_FROM_BYTES else file.read_bytes()


def _size_of(meta: Path) -> int:
    """Bytes of all files that Litestream has there now, unfinished ones too."""
    size = 0
    for file in meta.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            size += file.stat().st_size
    return size


def _check(content: bytes, txid: int) -> None:
    """Raises LtxError unless it begins like the entry it is to be: what follows, each receiver checks."""
    header = LtxFile(io.BytesIO(content)).header
    if (header.min_txid, header.max_txid) != (txid, txid):
        raise LtxError(f"the file of entry {txid} holds {header.min_txid} to {header.max_txid}")
