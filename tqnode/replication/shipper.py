"""Takes a leader's commits to the log: has Litestream write them out, and hands its files on as entries."""

import asyncio
import hashlib
import io
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from tqnode.clock import Clock
from tqnode.replication.entry import Head, Position
from tqnode.replication.entry_files import Staged, sha256_of
from tqnode.replication.ltx import LtxError, LtxFile
from tqnode.replication.node_db import FILE_FROM_BYTES, NodeDb
from tqnode.replication.quorum_gate import QuorumGate
from tqnode.replication.sync_client import EntriesGone, SyncError, entries_after

IDLE_S: Final = 1.0
"""Time after which it looks for entries that no commit of the queue's caused."""
AGAIN_S: Final = 0.05
SYNC_S: Final = 10.0

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
        failing_since: float | None = None
        while True:
            try:
                await self._pass()
            except SyncError as error:
                now = self._clock.monotonic()
                failing_since = now if failing_since is None else failing_since
                if now - failing_since > self._patience_s:
                    raise LogBroken(f"litestream does not write the log: {error}") from error
                logger.warning("the log waits for litestream: %s", error)
                await self._clock.sleep(AGAIN_S)
                continue
            failing_since = None
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
        await self._sync(SYNC_S)
        try:
            entries = await self._read()
        except (EntriesGone, LtxError, OSError) as error:
            raise LogBroken(f"the log of term {self._term} can't be gone on with: {error}") from error
        if entries:
            self._produced(entries)
        self._gate.cover(groups, self._txid)

    async def _read(self) -> list[tuple[Head, Content]]:
        entries: list[tuple[Head, Content]] = []
        for txid, file in entries_after(self._meta, self._txid):
            size = file.stat().st_size
            if size > FILE_FROM_BYTES:
                content: Content = await self._node_db.stage(Position(self._term, txid), file)
                sha256, size = await asyncio.to_thread(sha256_of, file)
            else:
                content = file.read_bytes()
                sha256, size = hashlib.sha256(content).digest(), len(content)
                _check(content, txid)
            head = Head(self._term, txid, sha256, self._sha256, size)
            entries.append((head, content))
            self._txid, self._sha256 = txid, sha256
        return entries


def _check(content: bytes, txid: int) -> None:
    """Raises LtxError unless it begins like the entry it is to be: what follows, each receiver checks."""
    header = LtxFile(io.BytesIO(content)).header
    if (header.min_txid, header.max_txid) != (txid, txid):
        raise LtxError(f"the file of entry {txid} holds {header.min_txid} to {header.max_txid}")
