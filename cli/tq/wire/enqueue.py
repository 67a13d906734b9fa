"""What a task is made from, and the answer to making one."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, UnsetType, field

from tq.wire.names import (
    AfterPolicy,
    Answer,
    Id,
    Key,
    Moment,
    Name,
    PositiveSeconds,
    Priority,
    Request,
    Seconds,
    State,
    Tag,
)
from tq.wire.problem import Problem


class Exponential(Request, kw_only=True, tag_field="type", tag="exponential"):
    """Waits ``base_s * factor ** (attempt - 1)``, at most ``max_s``, each ± ``jitter`` of itself."""

    base_s: PositiveSeconds = 5.0
    factor: Annotated[float, Meta(ge=1, le=100)] = 2.0
    max_s: PositiveSeconds = 3600.0
    jitter: Annotated[float, Meta(ge=0, le=1)] = 0.1


class Linear(Request, kw_only=True, tag_field="type", tag="linear"):
    """Waits ``base_s * attempt``, at most ``max_s``."""

    base_s: PositiveSeconds = 5.0
    max_s: PositiveSeconds = 3600.0
    jitter: Annotated[float, Meta(ge=0, le=1)] = 0.1


class Fixed(Request, kw_only=True, tag_field="type", tag="fixed"):
    """Waits ``delay_s`` each time."""

    delay_s: Seconds
    jitter: Annotated[float, Meta(ge=0, le=1)] = 0.0


class Listed(Request, kw_only=True, tag_field="type", tag="list"):
    """Waits ``delays_s[attempt - 1]``; the last one repeats."""

    delays_s: Annotated[list[Seconds], Meta(min_length=1, max_length=100)]
    jitter: Annotated[float, Meta(ge=0, le=1)] = 0.0


RetryPolicy = Exponential | Linear | Fixed | Listed


class Unique(Request, kw_only=True):
    """One task per (kind, ``key``) among the tasks whose state is in ``states``.

    ``skip`` keeps the existing task and answers it; ``replace`` gives a waiting task the new
    content (a running or final one loses its key and a new task is made); ``reject`` is a 409.
    ``states`` always include ``blocked``, ``scheduled`` and ``ready``.
    """

    key: Key
    on_conflict: Literal["skip", "replace", "reject"] = "skip"
    states: Annotated[list[State], Meta(min_length=1, max_length=7)] = field(
        default_factory=lambda: ["blocked", "scheduled", "ready", "running"]
    )


class NewTask(Request, kw_only=True):
    """A task to enqueue. ``delay_s`` and ``run_at`` exclude each other.

    It waits for the tasks in ``after``: ids, or ``#`` and the ``ref`` of a task in the same array.
    ``result_ttl_s`` after its end its result is deleted, while the task stays; null keeps both alike.
    """

    kind: Name
    queue: Name = "default"
    payload: Raw | UnsetType = UNSET
    priority: Priority = 128
    delay_s: Seconds | None = None
    run_at: Moment | None = None
    max_attempts: Annotated[int, Meta(ge=1, le=1000)] | None = None
    retry: RetryPolicy | None = None
    lease_s: PositiveSeconds | None = None
    timeout_s: PositiveSeconds | None = None
    expires_at: Moment | None = None
    tags: Annotated[list[Tag], Meta(max_length=50)] = []
    meta: Raw | UnsetType = UNSET
    unique: Unique | None = None
    ref: Name | None = None
    after: Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(max_length=10_000)] = []
    after_policy: AfterPolicy = "succeeded"
    result_ttl_s: PositiveSeconds | None = None


class Enqueued(Answer, kw_only=True):
    """One row of the answer to an array, in order; ``error`` only with ``?partial=true``."""

    id: Id | None = None
    state: State | None = None
    duplicate: bool = False
    error: Problem | None = None


class EnqueuedMany(Answer, kw_only=True):
    results: list[Enqueued]
