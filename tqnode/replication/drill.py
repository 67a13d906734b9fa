"""The restore drill: restores the newest state and compares it, row by row, with the queue that goes on.

A snapshot of the queue is taken before everything is sent to the archive, a second one after the restore.
What was restored lies between the two, so each row that is the same in both must be the same in it.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import apsw

from tqnode.clock import Clock
from tqnode.replication.archive import Archive
from tqnode.replication.restore import Restored, restore
from tqnode.replication.sync_client import Synced
from tqnode.sql import statement
from tqnode.store.connection import open_reader

Row = tuple[Any, ...]
_BEGIN = statement("begin_read")
_COUNT = statement("count_by_state")
_LIES = statement("tallies_that_lie")
_TABLES: Final = {
    # Each with the columns that name a row; its statement gives the rows in their order.
    "task": (statement("every_task"), 1),
    "task_body": (statement("every_task_body"), 1),
    "task_note": (statement("every_task_note"), 1),
    "task_tag": (statement("every_task_tag"), 2),
    "dependency": (statement("every_dependency"), 2),
    "settlement": (statement("every_settlement"), 1),
    "queue": (statement("every_queue"), 1),
    "worker": (statement("every_worker"), 1),
    "idempotency": (statement("every_idempotency"), 1),
    "bulk": (statement("every_bulk"), 1),
    "schedule": (statement("every_schedule"), 1),
    "schedule_task": (statement("every_schedule_task"), 1),
    "batch": (statement("every_batch"), 1),
    "batch_callback": (statement("every_batch_callback"), 2),
    "batch_event": (statement("every_batch_event"), 2),
    "task_log": (statement("every_task_log"), 2),
    "log_remains": (statement("every_log_remains"), 1),
    "result_time": (statement("every_result_time"), 1),
    "webhook": (statement("every_webhook"), 1),
    "limit_rule": (statement("every_limit_rule"), 1),
    "bucket": (statement("every_bucket"), 2),
    "node_pause": (statement("every_node_pause"), 1),
}
COMPARED: Final = frozenset(_TABLES)
NOT_COMPARED: Final = frozenset({"tally", "byte_tally", "turn"})
"""They may come back to an earlier value. In what was restored, the tally must agree with the tasks."""
TOLD_MAX: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """What a drill found.

    Args:
        term: whose log was restored.
        txid: the last transaction that was restored.
        counts: tasks by state in what was restored.
        compared: rows that had to be the same, and were looked at.
        moving: rows that changed while it ran.
        differences: what is not as it should be; empty when all is well.
        took_s: seconds from the first snapshot to the end.
    """

    term: int
    txid: int
    counts: dict[str, int]
    compared: int
    moving: int
    differences: list[str]
    took_s: float

    @property
    def ok(self) -> bool:
        """Whether the archive gives what the queue has."""
        return not self.differences


@dataclass(slots=True)
class _Findings:
    compared: int = 0
    moving: int = 0
    differences: list[str] = field(default_factory=list)

    def differs(self, what: str) -> None:
        if len(self.differences) < TOLD_MAX:
            self.differences.append(what)


async def drill(
    archive: Archive,
    database: Path,
    *,
    sync: Callable[[], Awaitable[Synced]],
    scratch: Path,
    clock: Clock,
) -> Drill:
    """Runs one drill.

    Args:
        archive: where from.
        database: the live queue's file; it is only read.
        sync: has everything committed so far sent to the archive.
        scratch: a folder with room for the database.
        clock: for how long it took.

    Raises:
        SyncError: the archive did not get everything.
        ArchiveError: it can't be restored.
        apsw.Error: a file can't be read.
    """
    began = clock.monotonic()
    before = _snapshot(database)
    try:
        synced = await sync()
        with tempfile.TemporaryDirectory(prefix="drill-", dir=scratch) as folder:
            restored = await restore(archive, Path(folder) / "tq.db", at_ms=None)
            after = _snapshot(database)
            try:
                found = await asyncio.to_thread(_compare, before, after, restored, synced)
            finally:
                after.close()
    finally:
        before.close()
    return Drill(
        term=restored.term,
        txid=restored.txid,
        counts=restored.counts,
        compared=found.compared,
        moving=found.moving,
        differences=found.differences,
        took_s=clock.monotonic() - began,
    )


def _snapshot(database: Path) -> apsw.Connection:
    connection = open_reader(database, checkpoints=False)
    connection.execute(_BEGIN)
    # The snapshot is taken by the first read, not by BEGIN.
    connection.execute(_COUNT).fetchall()
    return connection


def _compare(
    before: apsw.Connection, after: apsw.Connection, restored: Restored, synced: Synced
) -> _Findings:
    found = _Findings()
    if restored.txid < synced.replicated_txid:
        found.differs(f"transaction {restored.txid} was restored, the archive has {synced.replicated_txid}")
    past = open_reader(restored.path)
    try:
        for queue, state, tasks in past.execute(_LIES):
            found.differs(f"tally of {queue!r}, {state}: {tasks} is not the number of its tasks")
        for table, (sql, key) in _TABLES.items():
            cursors = [connection.execute(sql) for connection in (before, past, after)]
            _compare_table(table, cursors, key, found)
    finally:
        past.close()
    return found


def _compare_table(table: str, cursors: Sequence[Iterator[Row]], key: int, found: _Findings) -> None:
    """Goes through the three states of a table side by side."""
    rows: list[Row | None] = [next(cursor, None) for cursor in cursors]
    while any(row is not None for row in rows):
        least = min(row[:key] for row in rows if row is not None)
        here = [row if row is not None and row[:key] == least else None for row in rows]
        was, restored, is_now = here
        if was != is_now:
            found.moving += 1
        else:
            found.compared += 1
            # In both states it is the same, or in neither: then it came and went between them.
            if was is not None and restored != was:
                what = "is missing" if restored is None else "is another"
                found.differs(f"row {_named(least)} of {table} {what}")
        rows = [
            next(cursor, None) if one is not None else row
            for cursor, one, row in zip(cursors, here, rows, strict=True)
        ]


def _named(key: Row) -> str:
    return ", ".join(part.hex() if isinstance(part, bytes) else str(part) for part in key)
