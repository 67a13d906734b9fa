"""The whole answer to an enqueue, told from what was sent and the short answer that many tasks get."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

import msgspec

from tq import wire

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TOLD = frozenset(
    (
        *("kind", "queue", "payload", "priority", "max_attempts", "retry", "lease_s", "timeout_s"),
        *("tags", "meta", "after_policy"),
    )
)
"""What a whole answer is told from; what may come to be beside it, is for the node to answer."""
_NOTHING = wire.Given()
_read = msgspec.json.Decoder(wire.NewTask)
_plain = _read.decode(b'{"kind": "k"}')
_OTHERS = [(name, getattr(_plain, name)) for name in wire.NewTask.__struct_fields__ if name not in _TOLD]


class Terms(NamedTuple):
    """What a node gives a task that leaves it open; ``None`` where it has not been heard yet.

    What a queue gives of its own comes with each answer, so that it is never out of date.
    """

    max_attempts: int | None = None
    lease_s: float | None = None

    def cover(self, new: wire.NewTask) -> bool:
        """Whether all that ``new`` leaves open is known."""
        return (self.max_attempts is not None or new.max_attempts is not None) and (
            self.lease_s is not None or new.lease_s is not None
        )

    def heard(self, new: wire.NewTask, task: wire.Task) -> Terms:
        """With what the whole answer to one task says of it, but for what its queue gave."""
        given = task.given or _NOTHING
        return Terms(
            max_attempts=task.max_attempts
            if new.max_attempts is None and given.max_attempts is None
            else self.max_attempts,
            lease_s=task.lease_s if new.lease_s is None and given.lease_s is None else self.lease_s,
        )


def as_read(row: bytes) -> wire.NewTask | None:
    """A task's JSON as the node reads it; ``None`` if only the node can say what becomes of it.

    That is one with a unique key, which another task may hold; one with a moment or a delay, which count by
    the node's clock; one that waits for others, or has a name for them; and one that no node takes.
    """
    try:
        new = _read.decode(row)
    except msgspec.MsgspecError:
        return None
    return new if all(getattr(new, name) == plain for name, plain in _OTHERS) else None


def told(new: wire.NewTask, row: wire.Enqueued, terms: Terms) -> wire.Task:
    """What the node would have answered, had it been sent this one task.

    Args:
        new: the task as :func:`as_read` gives it.
        row: its short answer.
        terms: those of the node; they cover the task.
    """
    assert row.id is not None and row.state is not None and terms.cover(new)  # noqa: PT018, S101  # as sent
    given = row.given or _NOTHING
    # A task of which the queue gave nothing has the node's.
    lease_s = given.lease_s or terms.lease_s or 0.0 if new.lease_s is None else _to_the_ms(new.lease_s)
    priority = given.priority if new.priority is None else new.priority
    made_at = _stamp(int(row.id[:8] + row.id[9:13], 16))
    return wire.Task(
        id=row.id,
        queue=new.queue,
        kind=new.kind,
        state=row.state,
        priority=wire.PRIORITY if priority is None else priority,
        created_at=made_at,
        run_at=made_at,
        attempt=0,
        max_attempts=new.max_attempts or given.max_attempts or terms.max_attempts or 0,
        lease_s=lease_s,
        tags=list(dict.fromkeys(new.tags)),
        retry=new.retry or given.retry,
        timeout_s=given.timeout_s if new.timeout_s is None else _to_the_ms(new.timeout_s),
        given=row.given,
    )


def _to_the_ms(seconds: float) -> float:
    return max(1, round(seconds * 1000)) / 1000


@lru_cache(64)
def _stamp(at_ms: int) -> str:
    """A moment in answers; remembered, since the tasks of a request share it."""
    moment = _EPOCH + timedelta(milliseconds=at_ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.").rjust(20, "0") + f"{at_ms % 1000:03d}Z"
