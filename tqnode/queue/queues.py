"""The queues: their counts, pause and resume, purge."""

from collections.abc import Sequence

import msgspec

from tqnode.clock import Clock
from tqnode.errors import NotFound
from tqnode.queue.remove import remove
from tqnode.queue.rows import Reads
from tqnode.sql import statement
from tqnode.store.readers import Reader
from tqnode.store.tx import Tx
from tqnode.task import TaskState

_FIND = statement("find_queue")
_READ = statement("read_queues")
_READ_TALLIES = statement("read_tallies")
_READ_OLDEST = statement("read_oldest_ready")
_SET_PAUSED = statement("set_paused")
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


def infos(reader: Reader, clock: Clock, name: str | None = None) -> list[QueueInfo]:
    """All queues, or the one of that name."""
    counts: dict[str, dict[str, int]] = {}
    for queue, state, tasks in reader.all(_READ_TALLIES, {"queue": name}):
        counts.setdefault(queue, {})[state] = tasks
    found = []
    for queue, paused in reader.all(_READ, {"queue": name}):
        held = counts.get(queue, {})
        age_ms = None
        if held.get(TaskState.READY):
            (oldest_ms,) = reader.one(_READ_OLDEST, {"queue": queue}) or (None,)
            age_ms = None if oldest_ms is None else max(0, clock.now_ms() - oldest_ms)
        found.append(QueueInfo(queue, bool(paused), held, age_ms))
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


def set_paused(tx: Tx, name: str, *, paused: bool) -> None:
    """Pauses or resumes a queue; a paused one takes tasks in but gives none out.

    Raises:
        NotFound: there is no such queue.
    """
    require(tx, name)
    tx.run(_SET_PAUSED, {"queue": name, "paused": paused})
    if not paused:
        tx.effects.resumed.append(name)


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
