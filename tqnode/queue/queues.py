"""The queues: as they stand, and purged."""

from collections.abc import Sequence

import msgspec

from tqnode.clock import Clock
from tqnode.errors import NotFound
from tqnode.queue.controls import pause_of, settings_of
from tqnode.queue.remove import remove
from tqnode.queue.rows import Reads
from tqnode.settings import NO_SETTINGS, Pause, QueueSettings
from tqnode.sql import statement
from tqnode.store.readers import Reader
from tqnode.store.tx import Tx
from tqnode.task import TaskState

_FIND = statement("find_queue")
_READ = statement("read_queues")
_READ_TALLIES = statement("read_tallies")
_READ_OLDEST = statement("read_oldest_ready")
_READ_BYTES = statement("read_byte_tallies")
_PURGE_REACH = statement("purge_reach")
_PURGE_SLICE = statement("purge_slice")

PURGE_SCAN = 2_000
"""Rows one slice of a purge looks at: a few tasks among millions must not hold the writer for long."""


class QueueInfo(msgspec.Struct, frozen=True):
    """A queue as it stands. ``oldest_ready_age_ms`` is None when nothing is ready."""

    queue: str
    paused: bool
    counts: dict[str, int]
    oldest_ready_age_ms: int | None
    pause: Pause | None = None
    draining: bool = False
    settings: QueueSettings = NO_SETTINGS
    bytes: int | None = None
    """Of its waiting and running tasks, if these are counted."""


def infos(reader: Reader, clock: Clock, name: str | None = None) -> list[QueueInfo]:
    """All queues, or the one of that name."""
    counts: dict[str, dict[str, int]] = {}
    for queue, state, tasks in reader.all(_READ_TALLIES, {"queue": name}):
        counts.setdefault(queue, {})[state] = tasks
    bytes_of: dict[str, int] = dict(reader.all(_READ_BYTES))
    now_ms = clock.now_ms()
    found = []
    for row in reader.all(_READ, {"queue": name}):
        queue, pause = row[0], pause_of(row)
        if pause is not None and pause.over(now_ms):
            pause = None
        held = counts.get(queue, {})
        age_ms = None
        if held.get(TaskState.READY):
            (oldest_ms,) = reader.one(_READ_OLDEST, {"queue": queue}) or (None,)
            age_ms = None if oldest_ms is None else max(0, now_ms - oldest_ms)
        found.append(
            QueueInfo(
                queue=queue,
                paused=pause is not None,
                counts=held,
                oldest_ready_age_ms=age_ms,
                pause=pause,
                draining=bool(row[6]),
                settings=settings_of(row[7]),
                bytes=bytes_of.get(queue),
            )
        )
    return found


def exists(reader: Reads, name: str) -> bool:
    """Whether there is a queue of that name."""
    return reader.one(_FIND, {"queue": name}) is not None


def require(reader: Reads, name: str) -> None:
    """Raises:
    NotFound: there is no such queue.
    """
    if not exists(reader, name):
        raise NotFound("queue", name)


def last_seq(tx: Tx, name: str) -> int:
    """The newest task's row number by now, in whatever queue.

    Raises:
        NotFound: there is no such queue.
    """
    require(tx, name)
    return tx.next_seq - 1


def purge_slice(
    tx: Tx, name: str, states: Sequence[TaskState], *, after: int, last: int, limit: int
) -> tuple[int, int]:
    """Deletes up to ``limit`` tasks of a queue.

    Args:
        states: which; never ``running``.
        after: the row number the slice before ended with; 0 at first.
        last: the row number the purge ends with.

    Returns:
        How many were deleted, and the row number this slice ended with.
    """
    bounds = {"after": after, "last": last, "scan": PURGE_SCAN}
    (reach,) = tx.one(_PURGE_REACH, bounds) or (None,)
    if reach is None:
        return 0, last
    rows = tx.all(
        _PURGE_SLICE,
        {
            "queue": name,
            "states": msgspec.json.encode(list(states)).decode(),
            "after": after,
            "reach": reach,
            "max": limit,
        },
    )
    remove(tx, rows)
    return len(rows), rows[-1][0] if len(rows) == limit else reach
