"""Past states of the queue, restored on this node for those who ask for one; a few of them are kept."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import apsw

from tqnode.clock import Clock
from tqnode.errors import ArchiveUnavailable, InvalidField, Overloaded
from tqnode.replication.archive import Archive
from tqnode.replication.archive_url import ArchiveError
from tqnode.replication.restore import OutsideWindow, restore
from tqnode.replication.sync_client import SyncError
from tqnode.store.connection import open_writer
from tqnode.store.migrations import SchemaTooNew, migrate
from tqnode.store.readers import Readers

FOLDER: Final = "past"
FIELD: Final = "at"
WAITING_MAX: Final = 8
"""Requests that may wait for their state to be restored; one more is refused."""
FRESH_S: Final = 120.0
"""A moment younger than this may not be in the archive yet: it is asked to take everything first."""
READER_THREADS: Final = 1
AGAIN_S: Final = 5.0


class _State:
    """One restored state.

    Args:
        path: its database.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = path.stat().st_size
        self.readers = Readers(path, threads=READER_THREADS)
        self.users = 0


class PastStates:
    """Restores states one at a time, and removes those asked for longest ago when there are too many.

    Args:
        archive: where from.
        folder: where they are kept; emptied first.
        refresh: has everything committed so far sent to the archive; raises SyncError if it can't.
        clock: the node's clock.
        kept_max: states kept at a time.
        bytes_max: bytes they take together; a single one may take more.
    """

    def __init__(
        self,
        archive: Archive,
        folder: Path,
        *,
        refresh: Callable[[], Awaitable[object]],
        clock: Clock,
        kept_max: int,
        bytes_max: int,
    ) -> None:
        self._archive = archive
        self._folder = folder
        self._refresh = refresh
        self._clock = clock
        self._kept_max = kept_max
        self._bytes_max = bytes_max
        self._states: dict[int, _State] = {}
        """By their moment, the one asked for longest ago first."""
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._emptied = False

    @asynccontextmanager
    async def at(self, at_ms: int) -> AsyncIterator[Readers]:
        """Readers of the state at a moment, wall time in ms; they are kept open for the ``async with`` block.

        Raises:
            InvalidField: it is still to come, or the archive does not have it.
            ArchiveUnavailable: the archive can't be asked.
            Overloaded: too many wait for a state.
        """
        if at_ms > self._clock.now_ms():
            raise InvalidField("must be a moment in the past", field=FIELD)
        state = self._states.get(at_ms) or await self._made(at_ms)
        # Moved to the end: it is the one asked for last.
        self._states[at_ms] = self._states.pop(at_ms, state)
        state.users += 1
        try:
            yield state.readers
        finally:
            state.users -= 1
            await self._evict()

    async def close(self) -> None:
        """Closes and removes all."""
        for at_ms in list(self._states):
            await self._remove(at_ms)

    async def _made(self, at_ms: int) -> _State:
        if self._waiting >= WAITING_MAX:
            raise Overloaded("too many wait for a past state", retry_after_s=AGAIN_S)
        self._waiting += 1
        try:
            async with self._turn:
                if at_ms not in self._states:
                    self._states[at_ms] = await self._restored(at_ms)
                return self._states[at_ms]
        finally:
            self._waiting -= 1

    async def _restored(self, at_ms: int) -> _State:
        await asyncio.to_thread(self._make_folder)
        target = self._folder / f"{at_ms}.db"
        try:
            if self._clock.now_ms() - at_ms < FRESH_S * 1000:
                await self._refresh()
            await restore(self._archive, target, at_ms=at_ms)
            return await asyncio.to_thread(_opened, target)
        except OutsideWindow as error:
            raise InvalidField(_described(error), field=FIELD, code="outside_archive") from error
        except (ArchiveError, SyncError, SchemaTooNew, apsw.Error, OSError) as error:
            target.unlink(missing_ok=True)
            raise ArchiveUnavailable(
                f"that state cannot be restored: {error}", retry_after_s=AGAIN_S
            ) from error

    def _make_folder(self) -> None:
        if not self._emptied:
            # What an earlier process left has no readers any more.
            shutil.rmtree(self._folder, ignore_errors=True)
            self._emptied = True
        self._folder.mkdir(mode=0o700, exist_ok=True)

    async def _evict(self) -> None:
        for at_ms, state in list(self._states.items())[:-1]:
            small = sum(one.bytes for one in self._states.values()) <= self._bytes_max
            if small and len(self._states) <= self._kept_max:
                break
            if not state.users:
                await self._remove(at_ms)

    async def _remove(self, at_ms: int) -> None:
        state = self._states.pop(at_ms, None)
        if state is not None:
            await state.readers.close()
            for side in ("", "-wal", "-shm"):
                state.path.with_name(state.path.name + side).unlink(missing_ok=True)


def _opened(path: Path) -> _State:
    # A state of an older version is brought to the schema that this one reads.
    connection = open_writer(path)
    try:
        migrate(connection)
    finally:
        connection.close()
    return _State(path)


def _described(error: OutsideWindow) -> str:
    if error.window is None:
        return str(error)
    return f"{error}: it has {_stamp(error.window.from_ms)} to {_stamp(error.window.to_ms)}"


def _stamp(moment_ms: int) -> str:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
