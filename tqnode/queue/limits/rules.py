"""The limits as claims use them: which one governs a key, which one a queue."""

from collections.abc import Iterable

import msgspec

from tqnode.queue.rows import Reads
from tqnode.sql import statement
from tqnode.store.tx import Row, Tx

_READ_ALL = statement("read_limits")

ALL = "*"
"""What a pattern ends with that means every key that begins like it."""
_MEMO = "rules"


class Rule(msgspec.Struct, frozen=True):
    """A limit: a row of ``limit_rule``."""

    name: str
    queue: str
    """Empty: of every queue."""
    key: str
    """A key or a pattern; empty: the queue's tasks together."""
    running: int | None
    """How many may run at a time; None: any number."""
    rate: int | None
    """Tokens that come every ``per_ms``; None: claims need none."""
    per_ms: int | None
    burst: int | None
    """Tokens that a full bucket holds."""
    fair: bool
    created_at_ms: int
    updated_at_ms: int


class Rules:
    """All limits, found by what they are on.

    Args:
        rules: the limits.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._queues: dict[str, Rule] = {}
        self._exact: dict[tuple[str, str], Rule] = {}
        self._prefixes: dict[tuple[str, str], Rule] = {}
        for rule in rules:
            if not rule.key:
                self._queues[rule.queue] = rule
            elif rule.key.endswith(ALL):
                self._prefixes[rule.queue, rule.key[:-1]] = rule
            else:
                self._exact[rule.queue, rule.key] = rule
        self._lengths = sorted({len(prefix) for _, prefix in self._prefixes}, reverse=True)
        keyed = [*self._exact.values(), *self._prefixes.values()]
        self.keyed_everywhere = any(not rule.queue for rule in keyed)
        """Whether a limit counts keys over all queues."""
        self._keyed_queues = {rule.queue for rule in keyed}
        self.slots_max = max((rule.running for rule in keyed if rule.running is not None), default=0)
        """The most running tasks that any limit on keys allows."""

    def keyed_in(self, queue: str) -> bool:
        """Whether a limit counts keys in this queue alone."""
        return queue in self._keyed_queues

    def on_queue(self, queue: str) -> Rule | None:
        """The limit on a queue's tasks together."""
        return self._queues.get(queue)

    def on_key(self, queue: str, key: str) -> Rule | None:
        """The limit on a key's tasks in a queue.

        The key itself goes before a pattern, a longer pattern before a shorter one; of the same text, one
        for this queue before one for all.
        """
        return self._best((queue, ""), key)

    def everywhere(self, key: str) -> Rule | None:
        """The limit on a key among those that are for all queues."""
        return self._best(("",), key)

    def _best(self, queues: tuple[str, ...], key: str) -> Rule | None:
        for queue in queues:
            if exact := self._exact.get((queue, key)):
                return exact
        for length in self._lengths:
            if length <= len(key):
                for queue in queues:
                    if rule := self._prefixes.get((queue, key[:length])):
                        return rule
        return None

    def of_bucket(self, queue: str, key: str) -> Rule | None:
        """The limit whose tokens the bucket of this queue and key holds; None if nobody needs them."""
        if not key:
            rule = self.on_queue(queue)
        elif queue:
            rule = self.on_key(queue, key)
        else:
            rule = self.everywhere(key)
        return rule if rule is not None and rule.rate is not None and rule.queue == queue else None


def read_rules(reader: Reads) -> Rules:
    """All limits, as they stand."""
    return Rules(rule_of(row) for row in reader.all(_READ_ALL))


def rules_of(tx: Tx) -> Rules:
    """All limits, read once in a transaction."""
    rules = tx.memo.get(_MEMO)
    if not isinstance(rules, Rules):
        rules = tx.memo[_MEMO] = read_rules(tx)
    return rules


def forget_rules(tx: Tx) -> None:
    """Has them read again: they were changed."""
    tx.memo.pop(_MEMO, None)


def freed(tx: Tx, queue: str, lane: str, tasks: int = 1) -> None:
    """Notes that tasks left their slots, so that claims are woken that waited for one.

    Args:
        queue: theirs.
        lane: their key, or empty; as the statements return it, which return NULL for tasks that had neither
            a key nor a slot of their queue's.
        tasks: how many.
    """
    rules = rules_of(tx)
    found: list[tuple[str | None, str | None]] = []
    if lane:
        for rule in {rules.on_key(queue, lane), rules.everywhere(lane)}:
            if rule is not None and rule.running is not None:
                found.append((rule.queue or None, lane))
    rule = rules.on_queue(queue)
    if rule is not None and rule.running is not None:
        found.append((queue, None))
    for _ in range(tasks):
        tx.effects.freed += found


def rule_of(row: Row) -> Rule:
    """The limit in a row of ``read_limits``."""
    name, queue, key, running, rate, per_ms, burst, fair, created_at_ms, updated_at_ms = row
    return Rule(name, queue, key, running, rate, per_ms, burst, bool(fair), created_at_ms, updated_at_ms)
