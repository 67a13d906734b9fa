"""What a task is made from, and the answer to making one."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, UnsetType

from tq.wire.names import (
    AfterPolicy,
    Answer,
    Id,
    Key,
    LimitKey,
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
from tq.wire.retry import RetryPolicy
from tq.wire.webhook import Webhook

OnConflict = Literal["skip", "replace", "debounce", "keep_earliest", "reject"]
# A place in a payload: order.id, items.0.id, a JSON pointer (/order/id), or . for all of it.
Path = Annotated[str, Meta(min_length=1)]


class Unique(Request, kw_only=True):
    """One task per kind and key among the tasks whose state is in ``states``, for ``period_s`` at most.

    The key is ``key``, or made by the node from what the payload holds at ``fields``. When another task
    holds it, ``skip`` keeps that one and answers it, and ``reject`` is a 409. The others give a waiting task
    the new content: ``replace`` with the new time, ``debounce`` with the later of both (but not more than
    ``max_wait_s`` after it was made), ``keep_earliest`` with the earlier one; a running or final one loses
    its key, and a new task is made.

    ``states`` always include ``blocked``, ``scheduled`` and ``ready``; by default also ``running``, and
    ``succeeded`` if there is a period.
    """

    key: Key | None = None
    fields: Annotated[list[Path], Meta(min_length=1, max_length=20)] | None = None
    period_s: PositiveSeconds | None = None
    on_conflict: OnConflict = "skip"
    max_wait_s: PositiveSeconds | None = None
    states: Annotated[list[State], Meta(min_length=1, max_length=7)] | None = None


class NewTask(Request, kw_only=True):
    """A task to enqueue. ``delay_s`` and ``run_at`` exclude each other.

    ``priority``, ``max_attempts``, ``retry``, ``lease_s`` and ``timeout_s`` that are left open are those of
    its queue's settings, else the node's.

    It waits for the tasks in ``after``: ids, or ``#`` and the ``ref`` of a task in the same array. Its end is
    told to ``webhook``, or to the node's webhook of that name.
    ``result_ttl_s`` after its end its result is deleted, while the task stays; null keeps both alike.
    """

    kind: Name
    queue: Name = "default"
    payload: Raw | UnsetType = UNSET
    priority: Priority | None = None
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
    webhook: Webhook | Name | None = None
    limit_key: LimitKey | None = None
    result_ttl_s: PositiveSeconds | None = None


class Given(Answer, kw_only=True):
    """What a new task has from the settings of its queue, where it was left open."""

    priority: Priority | None = None
    max_attempts: int | None = None
    lease_s: float | None = None
    retry: RetryPolicy | None = None
    timeout_s: float | None = None


class Enqueued(Answer, kw_only=True):
    """One row of the answer to an array, in order; ``error`` only with ``?partial=true``."""

    id: Id | None = None
    state: State | None = None
    duplicate: bool = False
    given: Given | None = None
    error: Problem | None = None


class EnqueuedMany(Answer, kw_only=True):
    results: list[Enqueued]
