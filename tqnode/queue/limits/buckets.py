"""The tokens that claims need under a limit on their rate: a row for each bucket that is not full.

A bucket that is left without a whole token says in its row when the next one comes: at that moment the
sweeper wakes a claim that waits for it, on whatever node, after whatever happened to this process.
"""

from math import ceil, floor

from tqnode.queue.limits.rules import Rule, rules_of
from tqnode.sql import statement
from tqnode.store.tx import Tx

_READ = statement("read_bucket")
_WRITE = statement("write_bucket")
_DROP = statement("drop_bucket")
_FIND_DUE = statement("find_due_buckets")
_FIND_FULL = statement("find_full_buckets")
_LOOK = statement("look_at_buckets")
_SHIFT = statement("shift_buckets")
_AGE = statement("age_buckets")

WAKE_GAP_MS = 5
"""Tokens that come more often wake claims together."""
WAKES_MAX = 32
"""Claims that one bucket's tokens wake at a time."""
_SLACK = 1e-6
"""What sums of fractions may lack to a whole token."""


def read_level(tx: Tx, rule: Rule, key: str) -> float:
    """The tokens in the bucket of a limit, for a key or, if it is empty, the limit's queue."""
    row = tx.one(_READ, {"queue": rule.queue, "key": key})
    return level_of(rule, None if row is None else row[0], 0 if row is None else row[1], tx.now_ms)


def level_of(rule: Rule, level: float | None, updated_ms: int, now_ms: int) -> float:
    """The tokens in a bucket now.

    Args:
        rule: the limit.
        level: how many there were; None: it was full.
        updated_ms: when. If that is still to come, by a clock that was set back, none came since.
        now_ms: now.
    """
    rate, per_ms, burst = _terms(rule)
    if level is None:
        return burst
    return min(burst, level + max(0, now_ms - updated_ms) * rate / per_ms)


def tokens_in(level: float) -> int:
    """The whole ones."""
    return floor(level + _SLACK)


def spend(tx: Tx, rule: Rule, key: str, tokens: int) -> None:
    """Takes tokens that are there."""
    level = max(0.0, read_level(tx, rule, key) - tokens)
    _write(tx, rule, key, level)


def next_token_ms(rule: Rule, level: float, now_ms: int) -> int | None:
    """When a whole token is there again; None if one is."""
    rate, per_ms, _ = _terms(rule)
    if tokens_in(level):
        return None
    return now_ms + max(1, ceil((1 - level) * per_ms / rate))


def _write(tx: Tx, rule: Rule, key: str, level: float) -> None:
    rate, per_ms, burst = _terms(rule)
    due_ms = next_token_ms(rule, level, tx.now_ms)
    if due_ms is not None:
        due_ms = max(due_ms, tx.now_ms + WAKE_GAP_MS)
        tx.effects.due_ms.append(due_ms)
    row = {
        "queue": rule.queue,
        "key": key,
        "level": level,
        "updated_ms": tx.now_ms,
        "due_ms": due_ms,
        "full_ms": tx.now_ms + ceil(max(0.0, burst - level) * per_ms / rate),
    }
    tx.run(_WRITE, row)


def refill(tx: Tx, limit: int) -> int:
    """Wakes claims whose tokens have come, and forgets the buckets that are full; how many it looked at."""
    rules = None
    due = tx.all(_FIND_DUE, {"now_ms": tx.now_ms, "limit": limit})
    for queue, key, before, updated_ms in due:
        rules = rules or rules_of(tx)
        rule = rules.of_bucket(queue, key)
        if rule is None:
            tx.run(_DROP, {"queue": queue, "key": key})
            tokens = 1
        else:
            level = level_of(rule, before, updated_ms, tx.now_ms)
            _write(tx, rule, key, level)
            tokens = min(tokens_in(level), WAKES_MAX)
        tx.effects.freed += [(queue or None, key or None)] * tokens
    full = tx.all(_FIND_FULL, {"now_ms": tx.now_ms, "limit": limit - len(due)})
    for queue, key, before, updated_ms, _ in full:
        rules = rules or rules_of(tx)
        rule = rules.of_bucket(queue, key)
        level = 0.0 if rule is None else level_of(rule, before, updated_ms, tx.now_ms)
        if rule is None or level >= _terms(rule)[2]:
            tx.run(_DROP, {"queue": queue, "key": key})
        else:
            _write(tx, rule, key, level)
    return len(due) + len(full)


def look_again(tx: Tx) -> None:
    """Has the sweeper look at the buckets that claims may wait for: a limit was changed."""
    if tx.run(_LOOK, {"now_ms": tx.now_ms}):
        tx.effects.due_ms.append(tx.now_ms)


def shift_buckets(tx: Tx, *, by_ms: int) -> None:
    """Moves the buckets' times by what the wall clock stepped, so that they still mean what they meant."""
    tx.run(_SHIFT, {"by_ms": by_ms})


def age_buckets(tx: Tx) -> None:
    """Has no bucket's time be one still to come, by a clock that was ahead of this one."""
    tx.run(_AGE, {"now_ms": tx.now_ms})


def _terms(rule: Rule) -> tuple[int, int, int]:
    if rule.rate is None or rule.per_ms is None or rule.burst is None:
        raise ValueError(f"the limit {rule.name} has no rate")
    return rule.rate, rule.per_ms, rule.burst
