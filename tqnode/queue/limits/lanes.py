"""Which tasks a claim takes from a queue with keys or limits, without walking over those that may not run.

Tasks with a key stand apart from those without, and each key's in a lane of its own. A claim first looks at
the head of the whole line; if too many of those there may not run, it steps from lane to lane instead.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from heapq import heapify, heappop, heapreplace, merge
from itertools import islice
from typing import NamedTuple

import msgspec

from tqnode.queue.limits import buckets
from tqnode.queue.limits.gate import Gate
from tqnode.queue.limits.kinds import ready_kinds
from tqnode.queue.limits.line import Line
from tqnode.queue.limits.rules import Rules
from tqnode.settings import PRIORITY_MAX
from tqnode.sql import statement
from tqnode.store.tx import Params, Row, Tx

_UNKEYED = statement("find_unkeyed")
_KINDS = statement("find_keyed_kinds")
_KEYED = statement("find_keyed")
_LANES = statement("find_lanes")
_HEADS = statement("find_heads")
_OF_KEY = statement("find_of_key")
_READ_TURN = statement("read_turn")
_WRITE_TURN = statement("write_turn")

LOOK_MAX = 64
"""Tasks with a key, beyond as many as are wanted, that a claim looks at in their order."""
LANES_AT_A_TIME = 512
"""Keys that one statement steps to."""
LANES_MAX = 2048
"""Keys after which a claim lets others go first, and goes on in another transaction."""


class Place(NamedTuple):
    """Where a claim goes on that has looked at many keys in vain."""

    priority: int
    after: str
    """The last key it looked at."""
    since: str | None
    """The key behind which it began its round; None: with the tasks that have none."""


class Walk:
    """A claim's way through more keys than it looks at in one transaction.

    Attributes:
        at: the queue and the place in it where it goes on; None at first.
        next: those where it is to go on after this transaction; None if it has looked everywhere.
    """

    __slots__ = ("at", "next")

    def __init__(self) -> None:
        self.at: tuple[str, Place] | None = None
        self.next: tuple[str, Place] | None = None

    def place_in(self, queue: str) -> Place | None:
        """Where it goes on in a queue; None: it begins there."""
        return self.at[1] if self.at is not None and self.at[0] == queue else None


class Lanes:
    """The ready tasks of one queue, for one claim.

    Args:
        tx: the claim's.
        rules: the limits.
        queue: the queue.
        kinds: of which kinds; None for any.
        min_priority: none below this.
        keyed: whether tasks with a key can be there.
        at: where it goes on.

    Attributes:
        place: where it is to go on another time; None if it has looked everywhere.
    """

    def __init__(
        self,
        tx: Tx,
        rules: Rules,
        queue: str,
        *,
        kinds: Sequence[str] | None,
        min_priority: int,
        keyed: bool,
        at: Place | None,
    ) -> None:
        self._tx = tx
        self._rules = rules
        self._queue = queue
        self._kinds = None if kinds is None else tuple(dict.fromkeys(kinds))
        self._unkeyed_kinds: tuple[str, ...] | None = None
        self._keyed_kinds: tuple[str, ...] | None = None
        self._low = min_priority
        self._keyed = keyed
        self._gate = Gate(tx, rules, queue)
        rule = rules.on_queue(queue)
        self._rule = rule
        self._fair = rule is not None and rule.fair
        self._everywhere = rules.keyed_everywhere
        self._here = rules.keyed_in(queue)
        self._at = at
        self._room = LANES_MAX
        self.place: Place | None = None

    @property
    def slot(self) -> str | None:
        """What a claimed task's row says of its slot."""
        return "" if self._rule is not None and self._rule.running is not None else None

    def pick(self, wanted: int) -> list[int]:
        """The row numbers of up to ``wanted`` tasks that may run now, in the order of claims."""
        wanted = min(wanted, self._gate.on_queue())
        if wanted <= 0:
            return []
        if self._fair and self._keyed:
            rows = self._in_turn(wanted)
        else:
            # One that goes on has looked there before.
            found = None if self._at is not None else self._from_the_head(wanted)
            if found is None:
                self._gate.forget()
                found = self._from_lanes(wanted)
            rows = found
        return [row[2] for row in rows]

    def taken(self, rows: Sequence[Row]) -> None:
        """Spends tokens for what was claimed, rows of ``read_claimable``, and notes whose turn it was."""
        if self._rule is not None and self._rule.rate is not None:
            buckets.spend(self._tx, self._rule, "", len(rows))
        for key, tasks in Counter([row[-1] for row in rows if row[-1] is not None]).items():
            rule = self._rules.on_key(self._queue, key)
            if rule is not None and rule.rate is not None:
                buckets.spend(self._tx, rule, key, tasks)
        if self._fair and self._keyed:
            for priority, key in {row[3]: row[-1] or "" for row in rows}.items():
                self._write_turn(priority, key)
        elif self.place is not None:
            # Else the others would not be looked at for as long as these have tasks.
            self._write_turn(self.place.priority, self.place.after)

    def _write_turn(self, priority: int, key: str) -> None:
        self._tx.run(_WRITE_TURN, {"queue": self._queue, "priority": priority, "key": key})

    # -- the order of priority and arrival -------------------------------------------------

    def _from_the_head(self, wanted: int) -> list[Row] | None:
        """The first ``wanted`` that may run; None if they are not all within the part that is looked at."""
        lines = self._unkeyed(self._between(self._low, PRIORITY_MAX, wanted))
        reach = None
        if self._keyed:
            look = wanted + LOOK_MAX
            keyed = self._each(_KEYED, self._between(self._low, PRIORITY_MAX, look))
            # What comes behind the last one read of a line that goes on is not known.
            reach = min((_rank(line[-1]) for line in keyed if len(line) == look), default=None)
            lines += keyed
        chosen: list[Row] = []
        for row in merge(*lines, key=_rank):
            if reach is not None and _rank(row) > reach:
                return None
            if self._gate.take(row[3]):
                chosen.append(row)
                if len(chosen) == wanted:
                    return chosen
        return chosen if reach is None else None

    def _from_lanes(self, wanted: int) -> list[Row]:
        """As :meth:`_from_the_head`, wherever they are: by the first task of each key."""
        chosen: list[Row] = []
        for priority in self._priorities():
            heap = self._heads(priority, wanted - len(chosen))
            while heap and len(chosen) < wanted:
                run_at_ms, seq, key, line = heap[0]
                if not self._gate.take(key):
                    heappop(heap)
                    continue
                chosen.append((priority, run_at_ms, seq, key))
                after = line.next()
                if after is None:
                    heappop(heap)
                else:
                    heapreplace(heap, (after[1], after[2], key, line))
            if len(chosen) == wanted or self.place is not None:
                break
        return chosen

    def _heads(self, priority: int, wanted: int) -> list[tuple[int, int, str | None, Line]]:
        """The first task of each lane at a priority that may give one, as a heap."""
        keys = [key for key in self._ring(priority) if key is not None]
        heads: list[tuple[int, int, str | None, Line]] = []
        if keys:
            encoded = msgspec.json.encode(keys).decode()
            params = self._params(priority=priority, keys=encoded)
            first: dict[str, Row] = {}
            for row in merge(*[sorted(line, key=_rank) for line in self._each(_HEADS, params)], key=_rank):
                first.setdefault(row[3], row)
            heads = [
                (row[1], row[2], row[3], self._lane(priority, row[3], 1, start=1)) for row in first.values()
            ]
        unkeyed = self._lane(priority, None, wanted)
        one = unkeyed.next()
        if one is not None:
            heads.append((one[1], one[2], None, unkeyed))
        heapify(heads)
        return heads

    # -- in turn ---------------------------------------------------------------------------

    def _in_turn(self, wanted: int) -> list[Row]:
        """One task of each key after the other, priority by priority."""
        chosen: list[Row] = []
        for priority in self._priorities():
            left = wanted - len(chosen)
            lines: Iterable[Line] = (
                self._lane(priority, key, left if key is None else 1) for key in self._ring(priority)
            )
            while lines and len(chosen) < wanted:
                lines = self._round(lines, chosen, wanted)
            if len(chosen) == wanted or self.place is not None:
                break
        return chosen

    def _round(self, lines: Iterable[Line], chosen: list[Row], wanted: int) -> list[Line]:
        """Adds the next task of each lane; the lanes that gave one."""
        gave = []
        for line in lines:
            row = line.next() if line.key is None or self._gate.left(line.key) > 0 else None
            if row is None:
                continue
            self._gate.take(line.key)
            chosen.append(row)
            gave.append(line)
            if len(chosen) == wanted:
                break
        return gave

    # -- what is there ---------------------------------------------------------------------

    def _priorities(self) -> Iterator[int]:
        """The priorities that have ready tasks, the highest first."""
        high = PRIORITY_MAX if self._at is None else self._at.priority
        while high >= self._low:
            params = self._between(self._low, high, 1)
            lines = self._unkeyed(params)
            if self._keyed:
                lines += self._each(_KEYED, params)
            found = [line[0][0] for line in lines if line]
            if not found:
                return
            yield max(found)
            high = max(found) - 1

    def _ring(self, priority: int) -> Iterator[str | None]:
        """The keys of which a task may be taken, once round from the one that was last on; None for none."""
        at = self._at if self._at is not None and self._at.priority == priority else None
        if at is None:
            row = self._tx.one(_READ_TURN, {"queue": self._queue, "priority": priority})
            since: str | None = None if row is None else row[0]
            after = since
        else:
            since, after = at.since, at.after
        if since is None:
            if at is None:
                yield None
        elif after is not None and (at is None or after > since):
            yield from self._open_lanes(priority, after, None, since)
            if self.place is not None:
                return
            yield None
            after = None
        yield from self._open_lanes(priority, after or "", since, since)

    def _open_lanes(self, priority: int, after: str, until: str | None, since: str | None) -> Iterator[str]:
        """The keys, in their order, that have ready tasks of which one may be taken.

        Args:
            after: the keys behind this one;
            until: up to this one; None for no end.
            since: where the round began.
        """
        while True:
            if self._room <= 0:
                self.place = Place(priority, after, since)
                return
            params = self._params(
                priority=priority,
                after=after,
                max=LANES_AT_A_TIME,
                everywhere=self._everywhere,
                here=self._here,
                slots=self._rules.slots_max,
            )
            parts = self._each(_LANES, params)
            reach = min((part[-1][0] for part in parts if len(part) == LANES_AT_A_TIME), default=None)
            found = {row[0]: row for part in parts for row in part}
            self._room -= len(found)
            for key in sorted(found):
                if until is not None and key > until:
                    return
                if reach is not None and key > reach:
                    break
                if self._gate.know(found[key]):
                    yield key
            if reach is None or reach == until:
                return
            after = reach

    def _lane(self, priority: int, key: str | None, expected: int, *, start: int = 0) -> Line:
        def read(limit: int) -> list[Row]:
            if key is None:
                lines = self._unkeyed(self._between(priority, priority, limit))
            else:
                lines = self._each(_OF_KEY, self._params(priority=priority, key=key, max=limit))
            return lines[0] if len(lines) == 1 else list(islice(merge(*lines, key=_rank), limit))

        return Line(key, read, expected=expected, start=start)

    def _unkeyed(self, params: Params) -> list[list[Row]]:
        """What there is without a key; of each kind that is asked for or, if any is, that there is."""
        return [self._tx.all(_UNKEYED, {**params, "kind": kind}) for kind in self._kinds_without_keys()]

    def _each(self, sql: str, params: Params) -> list[list[Row]]:
        """What there is with a key; of each kind as well."""
        return [self._tx.all(sql, {**params, "kind": kind}) for kind in self._kinds_with_keys()]

    def _kinds_without_keys(self) -> tuple[str, ...]:
        if self._unkeyed_kinds is None:
            self._unkeyed_kinds = ready_kinds(self._tx, self._queue) if self._kinds is None else self._kinds
        return self._unkeyed_kinds

    def _kinds_with_keys(self) -> tuple[str, ...]:
        if self._keyed_kinds is None:
            if self._kinds is None:
                found = [kind for (kind,) in self._tx.all(_KINDS, {"queue": self._queue})]
                self._keyed_kinds = tuple(found)
            else:
                self._keyed_kinds = self._kinds
        return self._keyed_kinds

    def _between(self, low: int, high: int, limit: int) -> Params:
        return self._params(low=low, high=high, max=limit)

    def _params(self, **more: object) -> Params:
        return {"queue": self._queue, "now_ms": self._tx.now_ms, **more}


def _rank(row: Row) -> tuple[int, int, int]:
    return -row[0], row[1], row[2]
