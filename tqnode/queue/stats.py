"""The node's figures at a glance."""

import msgspec

from tqnode.clock import Clock
from tqnode.queue.queues import QueueInfo, infos
from tqnode.sql import statement
from tqnode.store.readers import Reader

_COUNT_WORKERS = statement("count_workers")
_COUNT_SCHEDULES = statement("count_schedules")
_PAGES = statement("page_counts")


class Stats(msgspec.Struct, frozen=True):
    """``since_start`` counts tasks by what this process did with them; ``database`` is in bytes."""

    totals: dict[str, int]
    queues: list[QueueInfo]
    workers: dict[str, int]
    since_start: dict[str, int]
    database: dict[str, int]
    schedules: dict[str, int]
    """By whether they are ``active`` or ``paused``."""


def stats(reader: Reader, clock: Clock, since_start: dict[str, int]) -> Stats:
    """The figures, all of one moment."""
    queues = infos(reader, clock)
    totals: dict[str, int] = {}
    for info in queues:
        for state, tasks in info.counts.items():
            totals[state] = totals.get(state, 0) + tasks
    pages, page_size, free = reader.one(_PAGES) or (0, 0, 0)
    return Stats(
        totals=totals,
        queues=queues,
        workers=dict(reader.all(_COUNT_WORKERS)),
        since_start=since_start,
        database={"file": pages * page_size, "free": free * page_size},
        schedules={"paused" if paused else "active": count for paused, count in reader.all(_COUNT_SCHEDULES)},
    )
