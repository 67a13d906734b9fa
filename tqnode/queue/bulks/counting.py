"""How many tasks match a filter: exactly as far as a bounded look goes, by samples beyond it."""

import msgspec

from tqnode.queue.search import Filters, reach
from tqnode.sql import statement
from tqnode.store.readers import Reader

_COUNT = statement("count_matching")
_BOUNDS = statement("search_bounds")
_TALLIED = statement("tallied")

SCAN_MAX = 100_000
"""Tasks one count looks at."""
BYTES_MAX = 64 * 1024 * 1024
"""Payloads, meta and errors one count reads."""
SAMPLES = 20
"""Where there are more, the look is divided among as many places all over the queue."""


class TaskCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many tasks match.

    Args:
        states: how many in each state; a state without any is absent.
        estimated: whether not all tasks were looked at, and the numbers reckoned from those that were.
    """

    states: dict[str, int]
    estimated: bool

    @property
    def tasks(self) -> int:
        return sum(self.states.values())


def count(reader: Reader, filters: Filters) -> TaskCount:
    """Counts the tasks that match."""
    params = filters.params()
    tallied: dict[str, int] = dict(
        reader.all(_TALLIED, {"queues": params["queues"], "states": params["states"]})
    )
    if filters.tallied or not tallied:
        return TaskCount(states=tallied, estimated=False)
    total = sum(tasks for _, tasks in reader.all(_TALLIED, {"queues": None, "states": None}))
    first, last = reader.one(_BOUNDS) or (0, 0)
    samples = 1 if total <= SCAN_MAX else SAMPLES
    found: dict[str, int] = {}
    seen, whole = 0, True
    for index in range(samples):
        # Tasks come and go: what is old may be sparse, so the places are apart by row numbers alone.
        after = first - 1 + (last - first + 1) * index // samples
        end = first - 1 + (last - first + 1) * (index + 1) // samples
        reached, rows = reach(
            reader,
            filters,
            after=after,
            last=end,
            scan=SCAN_MAX // samples,
            bytes_max=BYTES_MAX // samples,
        )
        if reached is None:
            continue
        seen += rows
        for state, tasks in reader.all(_COUNT, {**params, "after": after, "reach": reached}):
            found[state] = found.get(state, 0) + tasks
        whole &= (
            reached == end or reach(reader, filters, after=reached, last=end, scan=1, bytes_max=1)[1] == 0
        )
    if whole:
        return TaskCount(states=found, estimated=False)
    # There are not more than the tallies say of the queues and states asked for.
    states = {state: min(round(tasks * total / seen), tallied[state]) for state, tasks in found.items()}
    return TaskCount(states=states, estimated=True)
