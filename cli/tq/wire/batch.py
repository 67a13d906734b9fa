"""Batches: what is made, and how they are read."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, UnsetType

from tq.wire.enqueue import Enqueued, NewTask
from tq.wire.names import Answer, Id, Label, LimitKey, Name, PositiveSeconds, Priority, Request, Stamp, Tag
from tq.wire.retry import RetryPolicy
from tq.wire.webhook import BatchWebhook, NewBatchWebhook, Webhook

BatchState = Literal["open", "running", "finished"]


class CallbackTask(Request, kw_only=True):
    """The task of an event: as one to enqueue, but for the times, and without a unique key: it comes once.

    It is cancelled if it still waits ``expires_s`` after it was made.
    """

    kind: Name
    queue: Name = "default"
    payload: Raw | UnsetType = UNSET
    priority: Priority | None = None
    max_attempts: Annotated[int, Meta(ge=1, le=1000)] | None = None
    retry: RetryPolicy | None = None
    lease_s: PositiveSeconds | None = None
    timeout_s: PositiveSeconds | None = None
    expires_s: PositiveSeconds | None = None
    tags: Annotated[list[Tag], Meta(max_length=50)] = []
    meta: Raw | UnsetType = UNSET
    webhook: Webhook | Name | None = None
    limit_key: LimitKey | None = None
    result_ttl_s: PositiveSeconds | None = None


class NewBatch(Request, kw_only=True):
    """A batch with its first tasks; an ``open`` one can't finish before it is closed.

    ``on_failure`` is enqueued when the first member is dead, ``on_finished`` when all have ended,
    ``on_success`` when all have succeeded: each once. ``webhook`` is told of the same events.
    """

    tasks: list[NewTask] = []
    name: Label | None = None
    open: bool = False
    on_failure: CallbackTask | None = None
    on_finished: CallbackTask | None = None
    on_success: CallbackTask | None = None
    webhook: NewBatchWebhook | Name | None = None


class EnqueuedBatch(Answer, kw_only=True):
    """The batch, and a result for each task that came with the request, in order.

    A ``duplicate`` is no member, unless it was one before.
    """

    id: Id
    results: list[Enqueued]


class Callback(Answer, kw_only=True):
    """What an event is answered with; ``task`` once it has come."""

    kind: Name
    queue: Name
    task: Id | None = None


class Batch(Answer, kw_only=True):
    """A batch as it stands.

    Of its ``total`` members ``pending`` have not ended. The others are counted as they ended, deleted
    since or not; those deleted before they had ended, as ``cancelled``. ``failed_at`` is when one was dead
    first, ``finished_at`` when all had ended first, ``succeeded_at`` when all had succeeded first.
    """

    id: Id
    name: str | None = None
    state: BatchState
    total: int
    pending: int
    succeeded: int
    dead: int
    cancelled: int
    created_at: Stamp
    failed_at: Stamp | None = None
    finished_at: Stamp | None = None
    succeeded_at: Stamp | None = None
    cancelled_at: Stamp | None = None
    on_failure: Callback | None = None
    on_finished: Callback | None = None
    on_success: Callback | None = None
    webhook: BatchWebhook | None = None


class BatchPage(Answer, kw_only=True):
    """``next_cursor`` is absent on the last page."""

    batches: list[Batch]
    next_cursor: str | None = None
