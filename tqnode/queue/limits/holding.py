"""Tells which limits hold a task back, and who has what it waits for."""

import msgspec

from tqnode import ids
from tqnode.queue.limits.buckets import level_of, next_token_ms
from tqnode.queue.limits.rules import Rule, read_rules
from tqnode.queue.rows import Reads
from tqnode.sql import statement

_FIND_OF_KEY = statement("find_slots_of_key")
_FIND_OF_QUEUE = statement("find_slots_of_queue")
_READ_BUCKET = statement("read_bucket")

HOLDERS_MAX = 10
"""Tasks that are named as holders of slots."""


class Hold(msgspec.Struct, frozen=True):
    """A limit that holds a task back."""

    limit: Rule
    key: str | None
    """The key whose slots or tokens it is about; None: the queue's."""
    running: int | None
    """How many tasks have the slots it waits for, counted up to what is allowed; None: a slot is free."""
    holders: tuple[str, ...]
    """Ids of these, :data:`HOLDERS_MAX` at most."""
    next_token_ms: int | None
    """When the token comes that it waits for; None: one is there."""


def held_by(reader: Reads, queue: str, limit_key: str | None, *, now_ms: int) -> list[Hold]:
    """The limits that hold a ready task back at this moment; empty if none does.

    Args:
        reader: a transaction or a snapshot.
        queue: the task's queue.
        limit_key: its key.
        now_ms: this moment.
    """
    rules = read_rules(reader)
    found = [_hold(reader, rules.on_queue(queue), queue, None, now_ms)]
    if limit_key is not None:
        found.append(_hold(reader, rules.on_key(queue, limit_key), queue, limit_key, now_ms))
    return [hold for hold in found if hold is not None]


def _hold(reader: Reads, rule: Rule | None, queue: str, key: str | None, now_ms: int) -> Hold | None:
    if rule is None:
        return None
    running: int | None = None
    holders: list[bytes] = []
    if rule.running is not None:
        limit = max(rule.running, HOLDERS_MAX)
        if key is None:
            rows = reader.all(_FIND_OF_QUEUE, {"queue": queue, "max": limit})
        else:
            rows = reader.all(_FIND_OF_KEY, {"queue": rule.queue, "key": key, "max": limit})
        if len(rows) >= rule.running:
            running, holders = len(rows), [row[0] for row in rows[:HOLDERS_MAX]]
    token_ms = None
    if rule.rate is not None:
        row = reader.one(_READ_BUCKET, {"queue": rule.queue, "key": key or ""})
        level, updated_ms = (None, 0) if row is None else row
        token_ms = next_token_ms(rule, level_of(rule, level, updated_ms, now_ms), now_ms)
    if running is None and token_ms is None:
        return None
    return Hold(rule, key, running, tuple(ids.texts(holders)), token_ms)
