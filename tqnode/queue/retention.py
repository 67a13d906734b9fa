"""Deletes final tasks that were kept long enough: by the node's rule, and by those of queues with their own.

While no queue has a rule of its own, the oldest go first and nothing is looked at twice. Else the tasks are
gone through once for each rule, in the order in which they ended, and where that has come to is remembered:
what other queues keep for longer is passed by once, not with every sweep.
"""

from tqnode.queue.controls import controls_of
from tqnode.queue.remove import remove
from tqnode.sql import statement
from tqnode.store.tx import Tx
from tqnode.task import TaskState

_FIND_KEPT_TOO_LONG = statement("find_kept_too_long")
_LOOK_AT_FINISHED = statement("look_at_finished")

BEHIND_MS = 1_000
"""By how much later the tasks go that are gone through in order. A wall clock that goes back by less is not
noticed, and a task that ends then must not end up behind where the going through has come to."""

Place = tuple[int, int]
"""When a task ended, and its row number."""
_START: Place = (0, 0)


class _Rule:
    """For how long some queues keep tasks.

    Args:
        kept_s: for so long.
        queues: these, or all but these.
        others: whether it is all but these.
    """

    __slots__ = ("kept_s", "key", "others", "queues")

    def __init__(self, kept_s: int, queues: frozenset[str], *, others: bool) -> None:
        self.kept_s = kept_s
        self.queues = queues
        self.others = others
        self.key = (kept_s, queues, others)

    def concerns(self, queue: str) -> bool:
        """Whether it is a queue's."""
        return (queue in self.queues) is not self.others


_Key = tuple[int, frozenset[str], bool]


class Retention:
    """Deletes tasks of one final state.

    Args:
        state: which.
        kept_s: for how long the node keeps them; -1 for ever.
    """

    def __init__(self, state: TaskState, *, kept_s: int) -> None:
        self._state = state
        self._kept_s = kept_s
        self._reached: dict[_Key, Place] = {}
        self._next: dict[_Key, Place] = {}

    def work(self, tx: Tx, limit: int) -> int:
        """Looks at up to ``limit`` tasks whose time may be over; :meth:`settle` has to follow the commit."""
        own = controls_of(tx).kept_s(self._state)
        if not own:
            self._next = {}
            return self._remove_oldest(tx, limit)
        rules = self._rules(own)
        # Of rules that have changed it is not known any more what was looked at.
        self._next = {rule.key: self._reached.get(rule.key, _START) for rule in rules}
        looked = 0
        for rule in rules:
            looked += self._go_through(tx, rule, limit - looked)
            if looked >= limit:
                break
        return looked

    def settle(self) -> None:
        """Takes in that what was looked at last is committed."""
        self._reached = self._next

    def forget(self) -> None:
        """Begins anew: the wall clock was set, and tasks may end before others that were looked at."""
        self._reached = {}
        self._next = {}

    def _remove_oldest(self, tx: Tx, limit: int) -> int:
        if self._kept_s < 0:
            return 0
        params = {"state": self._state, "before_ms": tx.now_ms - self._kept_s * 1000, "limit": limit}
        rows = tx.all(_FIND_KEPT_TOO_LONG, params)
        remove(tx, rows)
        return len(rows)

    def _rules(self, own: dict[str, int]) -> list[_Rule]:
        found = [
            _Rule(kept_s, frozenset(queue for queue in own if own[queue] == kept_s), others=False)
            for kept_s in sorted(set(own.values()))
        ]
        found.append(_Rule(self._kept_s, frozenset(own), others=True))
        return [rule for rule in found if rule.kept_s >= 0]

    def _go_through(self, tx: Tx, rule: _Rule, limit: int) -> int:
        from_ms, from_seq = self._next[rule.key]
        params = {
            "state": self._state,
            "from_ms": from_ms,
            "from_seq": from_seq,
            "before_ms": tx.now_ms - rule.kept_s * 1000 - BEHIND_MS,
            "limit": limit,
        }
        rows = tx.all(_LOOK_AT_FINISHED, params)
        remove(tx, [row for row in rows if rule.concerns(row[2])])
        if rows:
            self._next[rule.key] = (rows[-1][6], rows[-1][0])
        return len(rows)
