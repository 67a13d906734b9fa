"""Which tasks a claim takes from a queue whose tasks gain priority as they wait.

No row says what a task has gained: of the tasks of one priority the longest waiting has gained the most, so
the first ones of all priorities, at most 256, are compared at the claim.
"""

from collections.abc import Iterator
from functools import partial
from heapq import heapify, heappop, heappush, heapreplace
from typing import Any

from tqnode.queue.limits import lanes
from tqnode.queue.limits.lanes import Lanes, Place
from tqnode.queue.limits.line import Line
from tqnode.settings import PRIORITY_MAX, aged
from tqnode.sql import statement
from tqnode.store.tx import Row

_LEVELS = statement("find_levels")
_KEYED_LEVELS = statement("find_keyed_levels")
_UNKEYED = statement("find_unkeyed")
_KEYED = statement("find_keyed")

_PART = 8
"""Tasks of one priority that are read at first, when more than one of it is wanted."""

Rank = tuple[int, int, int]
"""What claims are ordered by, the least first; no two tasks have the same."""


class AgedLanes(Lanes):
    """The ready tasks of one queue, for one claim, in the order of what their priorities have grown to.

    Args:
        milli: thousandths of a priority that a task gains in a minute.
        args: as of :class:`Lanes`.
        kwargs: likewise.
    """

    def __init__(self, milli: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._milli = milli

    def _from_the_head(self, wanted: int) -> list[Row] | None:
        chosen: list[Row] = []
        keyed = 0
        for row in self._in_order():
            if row[3] is not None:
                keyed += 1
                if keyed > wanted + lanes.LOOK_MAX:
                    return None
            if self._gate.take(row[3]):
                chosen.append(row)
                if len(chosen) == wanted:
                    break
        return chosen

    def _from_lanes(self, wanted: int) -> list[Row]:
        if self._at is not None:
            # Its way through very many keys is one from priority to priority.
            return super()._from_lanes(wanted)
        levels = self._levels()
        heap: list[tuple[Rank, str | None, int, Line]] = []
        chosen: list[Row] = []
        while len(chosen) < wanted:
            # Nothing of a priority comes before the first of it.
            while levels and self.place is None and (not heap or levels[-1][0] < heap[0][0]):
                _, priority = levels.pop()
                for run_at_ms, seq, key, line in self._heads(priority, wanted - len(chosen)):
                    heappush(heap, (self._rank(priority, run_at_ms, seq), key, priority, line))
            if not heap:
                break
            (_, run_at_ms, seq), key, priority, line = heap[0]
            if not self._gate.take(key):
                heappop(heap)
                continue
            chosen.append((priority, run_at_ms, seq, key))
            after = line.next()
            if after is None:
                heappop(heap)
            else:
                heapreplace(heap, (self._rank(*after[:3]), key, priority, line))
        if self.place is not None and not chosen:
            self.place = Place(PRIORITY_MAX, "", None)
        return chosen

    def _levels(self) -> list[tuple[Rank, int]]:
        """The priorities that have tasks, each with the rank of the first one; the best comes last."""
        best: dict[int, Rank] = {}
        for row, _, _ in self._first():
            rank = self._rank(*row[:3])
            best[row[0]] = min(rank, best.get(row[0], rank))
        return sorted(((rank, priority) for priority, rank in best.items()), reverse=True)

    def _in_order(self) -> Iterator[Row]:
        """All tasks, the best first."""
        heap = [(self._rank(*row[:3]), row, kind, tasks) for row, kind, tasks in self._first()]
        heapify(heap)
        lines: dict[tuple[int, str, str], Line] = {}
        while heap:
            _, row, kind, tasks = heap[0]
            yield row
            which = (row[0], kind, tasks)
            line = lines.get(which)
            if line is None:
                read = partial(self._read, tasks, kind, row[0])
                line = lines[which] = Line(None, read, expected=_PART, start=1)
            after = line.next()
            if after is None:
                heappop(heap)
            else:
                heapreplace(heap, (self._rank(*after[:3]), after, kind, tasks))

    def _first(self) -> Iterator[tuple[Row, str, str]]:
        """The first task of each priority, without and with a key, of each kind.

        With it come the kind, and the statement that reads those behind it.
        """
        for kind in self._kinds_without_keys():
            yield from ((row, kind, _UNKEYED) for row in self._heads_of(_LEVELS, kind))
        if self._keyed:
            for kind in self._kinds_with_keys():
                yield from ((row, kind, _KEYED) for row in self._heads_of(_KEYED_LEVELS, kind))

    def _heads_of(self, levels: str, kind: str) -> list[Row]:
        return self._tx.all(levels, self._params(low=self._low, kind=kind))

    def _read(self, tasks: str, kind: str, priority: int, limit: int) -> list[Row]:
        return self._tx.all(tasks, self._params(kind=kind, low=priority, high=priority, max=limit))

    def _rank(self, priority: int, run_at_ms: int, seq: int) -> Rank:
        waited_ms = self._tx.now_ms - run_at_ms
        return -aged(priority, self._milli, waited_ms), run_at_ms, seq
