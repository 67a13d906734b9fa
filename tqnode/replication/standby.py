"""Brings a standby's database to where the log is committed, entry by entry."""

import asyncio
import contextlib
import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from tqnode.clock import Clock
from tqnode.errors import DiskFull
from tqnode.replication.disk_errors import DiskFailed, told_apart
from tqnode.replication.entry import NOTHING, Head, Position
from tqnode.replication.ltx import LtxError, LtxFile
from tqnode.replication.node_db import NodeDb, NoEntry
from tqnode.replication.node_rows import is_sound
from tqnode.replication.pages import DivergedFile, apply

AHEAD: Final = 1 << 62
"""As the applied txid: the database was opened for writing in that term, and is ahead of any older log."""
BATCH_ENTRIES: Final = 64
AGAIN_S: Final = 0.2

logger = logging.getLogger(__name__)


class Standby:
    """Owns the database's file while this node does not lead.

    Args:
        database: the queue's file; nobody else has it open while this one works.
        node_db: the log, and where it is noted how far the database is.
        applied: what is noted.
        clock: the node's clock.
        on_applied: called with each new position, fsynced.
        on_damaged: called with the position of an entry whose bytes are not what they should be.
    """

    def __init__(
        self,
        database: Path,
        *,
        node_db: NodeDb,
        applied: Position,
        clock: Clock,
        on_applied: Callable[[Position], None],
        on_damaged: Callable[[Position], None],
    ) -> None:
        self._database = database
        self._node_db = node_db
        self._clock = clock
        self._on_applied = on_applied
        self._on_damaged = on_damaged
        self._target = NOTHING
        self._said = ""
        self._woken = asyncio.Event()
        self._may_work = asyncio.Event()
        self._may_work.set()
        self._working = asyncio.Lock()
        self.applied = applied
        """How far the database is."""

    def reach(self, committed: Position) -> None:
        """Has it apply all up to ``committed``."""
        if committed > self._target:
            self._target = committed
            self._woken.set()

    async def run(self) -> None:
        """Applies what is committed, until cancelled.

        Raises:
            DiskFailed: the process must end.
        """
        while True:
            await self._woken.wait()
            await self._may_work.wait()
            self._woken.clear()
            async with self._working:
                if self._may_work.is_set():
                    await self._catch_up(self._target)

    async def halt(self) -> None:
        """Leaves the file to others, until :meth:`go_on`."""
        self._may_work.clear()
        async with self._working:
            return

    def go_on(self) -> None:
        """Takes the file back."""
        self._may_work.set()
        self._woken.set()

    async def take_all(self, last: Position, term: int) -> None:
        """Applies the whole log up to ``last``, committed or not, before this node leads in ``term``.

        Raises:
            LtxError: an entry is damaged.
            NoEntry: the log is not whole.
            DiskFull: there is no space for it.
            DiskFailed: the process must end.
        """
        if last > self.applied:
            await self._apply_to(last)
        # Noted before anybody writes: what is written then is in no log yet.
        self.applied = Position(term, AHEAD)
        await self._node_db.set_applied(self.applied)

    async def _catch_up(self, target: Position) -> None:
        try:
            await self._apply_to(target)
        except NoEntry:
            # A newer term's entries have taken the log's place; they are committed later.
            logger.info("the log has gone on while it was applied")
        except (LtxError, DiskFull) as error:
            if str(error) != self._said:
                self._said = str(error)
                logger.error("the log can't be applied: %s", error)
            await self._clock.sleep(AGAIN_S)
            self._woken.set()

    async def _apply_to(self, target: Position) -> None:
        while target > self.applied:
            anew = self.applied.term != target.term
            first = 1 if anew else self.applied.txid + 1
            heads = await self._node_db.heads(first, BATCH_ENTRIES)
            heads = tuple(head for head in heads if head.position <= target)
            if not heads or heads[0].position != (target.term, first):
                raise NoEntry(f"no entry {first} of term {target.term}")
            if anew and self.applied != NOTHING:
                # Should the snapshot be half there after a crash, what was there before is worth nothing.
                await self._node_db.set_applied(NOTHING)
            await self._apply(heads)
            self.applied = heads[-1].position
            await self._node_db.set_applied(self.applied)
            self._on_applied(self.applied)

    async def _apply(self, heads: tuple[Head, ...]) -> None:
        contents = [(head, await self._node_db.read(head.position)) for head in heads]
        try:
            await asyncio.to_thread(_write, self._database, contents)
        except LtxError:
            for head, content in contents:
                if not await asyncio.to_thread(is_sound, head, content):
                    self._on_damaged(head.position)
            raise


def _write(database: Path, contents: list[tuple[Head, bytes | Path]]) -> None:
    with contextlib.ExitStack() as files:
        sources = [
            LtxFile(
                io.BytesIO(content) if isinstance(content, bytes) else files.enter_context(_opened(content)),
                sha256=head.sha256,
            )
            for head, content in contents
        ]
        with told_apart():
            try:
                apply(database, sources)
            except (DivergedFile, FileNotFoundError) as error:
                raise DiskFailed(
                    f"{database} is not what the log made of it ({error}); move the whole folder away: the "
                    "node then comes back as one with an empty disk and takes all from the others"
                ) from error


def _opened(file: Path) -> BinaryIO:
    """Raises LtxError if it is gone: damaged, or in the log no more."""
    try:
        with told_apart():
            return file.open("rb")
    except DiskFailed as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise LtxError(f"{file} is gone") from error
        raise
