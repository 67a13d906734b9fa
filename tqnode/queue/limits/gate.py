"""How many tasks of each key one claim may still take."""

from tqnode.queue.limits.buckets import level_of, read_level, tokens_in
from tqnode.queue.limits.rules import Rule, Rules
from tqnode.sql import statement
from tqnode.store.tx import Params, Row, Tx

_SLOTS_OF_KEY = statement("count_slots_of_key")
_SLOTS_OF_KEY_IN_QUEUE = statement("count_slots_of_key_in_queue")
_SLOTS_OF_QUEUE = statement("count_slots_of_queue")

UNLIMITED = 1 << 40


class Gate:
    """What the limits let through for one claim from one queue: slots are counted from the running tasks.

    Args:
        tx: the claim's.
        rules: the limits.
        queue: the queue.
    """

    def __init__(self, tx: Tx, rules: Rules, queue: str) -> None:
        self._tx = tx
        self._rules = rules
        self._queue = queue
        self._left: dict[str, int] = {}

    def on_queue(self) -> int:
        """How many tasks the queue gives out now, whatever their keys."""
        rule = self._rules.on_queue(self._queue)
        if rule is None:
            return UNLIMITED
        left = UNLIMITED
        if rule.running is not None:
            params = {"queue": self._queue, "max": rule.running}
            left = rule.running - count(self._tx, _SLOTS_OF_QUEUE, params)
        if rule.rate is not None and left > 0:
            left = min(left, tokens_in(read_level(self._tx, rule, "")))
        return left

    def left(self, key: str) -> int:
        """How many more of a key."""
        left = self._left.get(key)
        if left is None:
            left = self._left[key] = self._read(key)
        return left

    def take(self, key: str | None) -> bool:
        """Takes one of a key, if that may be; of tasks without a key any number may."""
        if key is None:
            return True
        left = self.left(key)
        if left <= 0:
            return False
        self._left[key] = left - 1
        return True

    def know(self, row: Row) -> bool:
        """Takes in a row of ``find_lanes``; whether anything of its key may be taken."""
        key = row[0]
        if key in self._left:
            return self._left[key] > 0
        rule = self._rules.on_key(self._queue, key)
        left = UNLIMITED
        if rule is not None:
            running, level, updated_ms = (row[2], *row[5:7]) if rule.queue else (row[1], *row[3:5])
            if rule.running is not None:
                left = rule.running - running
            if rule.rate is not None and left > 0:
                left = min(left, tokens_in(level_of(rule, level, updated_ms or 0, self._tx.now_ms)))
        self._left[key] = left
        return left > 0

    def forget(self) -> None:
        """Begins anew: nothing was taken."""
        self._left.clear()

    def _read(self, key: str) -> int:
        rule = self._rules.on_key(self._queue, key)
        if rule is None:
            return UNLIMITED
        left = UNLIMITED
        if rule.running is not None:
            left = rule.running - slots_of_key(self._tx, rule, key)
        if rule.rate is not None and left > 0:
            left = min(left, tokens_in(read_level(self._tx, rule, key)))
        return left


def slots_of_key(tx: Tx, rule: Rule, key: str) -> int:
    """How many tasks of the key run where the limit counts them, up to what it allows."""
    params = {"queue": rule.queue, "key": key, "max": rule.running}
    return count(tx, _SLOTS_OF_KEY_IN_QUEUE if rule.queue else _SLOTS_OF_KEY, params)


def count(tx: Tx, sql: str, params: Params) -> int:
    """The number that a statement answers."""
    (found,) = tx.one(sql, params) or (0,)
    return int(found)
