"""What a task is enqueued with: from Python values to the task as it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeAlias, TypedDict

from msgspec import UNSET

from tq import wire
from tq.unique_options import with_unique
from tq.values import encode_unless_unset

Parent: TypeAlias = str | wire.Task | wire.Enqueued | wire.NewTask
"""A task that another one waits for: its id, what the enqueue answered, or a new one that has a ``ref``."""


class TaskOptions(TypedDict, total=False):
    """How a task is to be run; what is absent or ``None`` is left to the node."""

    queue: str | None
    priority: int | None
    delay_s: float | None
    run_at: datetime | None
    max_attempts: int | None
    retry: wire.RetryPolicy | None
    lease_s: float | None
    timeout_s: float | None
    expires_at: datetime | None
    tags: Sequence[str] | None
    meta: Any
    unique: wire.Unique | str | None
    """A key, or all there is to say of it; what follows are parts of that."""
    unique_key: str | None
    unique_fields: Sequence[str] | None
    """Places in the payload that the node makes the key from; of a task function, its parameters."""
    unique_period_s: float | None
    on_conflict: wire.OnConflict | None
    ref: str | None
    """A name by which others of the same :meth:`tq.Client.enqueue_together` can wait for it."""
    after: Parent | Sequence[Parent] | None
    """The tasks it waits for."""
    after_policy: wire.AfterPolicy | None
    webhook: wire.Webhook | str | None
    """To whom its end is told: a URL, or the name of a webhook of the node's configuration."""
    limit_key: str | None
    """What limits on claims know it by."""
    result_ttl_s: float | None
    """Seconds after its end at which its result is deleted, while the task stays."""


def new_task(kind: str, payload: Any = UNSET, **options: Any) -> wire.NewTask:
    """A task to enqueue, from Python values.

    Args:
        kind: which handler is to run it.
        payload: anything JSON can hold; :class:`msgspec.Raw` is sent as it stands.
        options: see :class:`TaskOptions`.

    Raises:
        TypeError: an option that does not exist, or a value without JSON.
        ValueError: a date without a time zone, a NaN, an infinity, a part of ``unique`` without a key.
    """
    fields = {name: value for name, value in with_unique(options).items() if value is not None}
    for name in ("run_at", "expires_at"):
        moment = fields.get(name)
        if isinstance(moment, datetime) and moment.tzinfo is None:
            raise ValueError(f"{name} has no time zone: use datetime.now(timezone.utc) or the like")
    if "meta" in fields:
        fields["meta"] = encode_unless_unset(fields["meta"], name="meta")
    if isinstance(fields.get("webhook"), str) and is_url(fields["webhook"]):
        fields["webhook"] = wire.Webhook(url=fields["webhook"])
    if "tags" in fields:
        fields["tags"] = list(fields["tags"])
    if "after" in fields:
        after = fields["after"]
        parents = after if isinstance(after, list | tuple | set | frozenset) else [after]
        fields["after"] = [_parent(parent) for parent in parents]
    return wire.NewTask(kind=kind, payload=encode_unless_unset(payload, name="payload"), **fields)


def _parent(parent: Parent) -> str:
    """What stands for a task in ``after``."""
    if isinstance(parent, str):
        return parent
    if isinstance(parent, wire.NewTask):
        if parent.ref is None:
            raise ValueError("after: a new task that others wait for needs a ref")
        return f"#{parent.ref}"
    if isinstance(parent, wire.Task | wire.Enqueued) and parent.id is not None:
        return parent.id
    raise TypeError(f"after: takes ids and tasks, not {type(parent).__name__}")


def is_url(webhook: str) -> bool:
    """Whether it is a URL, and not the name of a webhook of the node's configuration."""
    return "://" in webhook
