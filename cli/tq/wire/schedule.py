"""Schedules: what is put, and how they are read."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, UnsetType

from tq.wire.enqueue import Unique
from tq.wire.names import Answer, Id, LimitKey, Name, PositiveSeconds, Priority, Request, Stamp, Tag
from tq.wire.retry import RetryPolicy
from tq.wire.webhook import TaskWebhook, Webhook

Missed = Literal["skip", "one", "all"]
Overlap = Literal["allow", "skip", "replace"]
DstGap = Literal["run", "skip"]
DstOverlap = Literal["once", "twice"]
EverySeconds = Annotated[float, Meta(ge=1, le=315_360_000)]


class ScheduleTask(Request, kw_only=True):
    """The task that each tick makes: as one to enqueue, but for the times.

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
    unique: Unique | None = None
    webhook: Webhook | Name | None = None
    limit_key: LimitKey | None = None
    result_ttl_s: PositiveSeconds | None = None


class NewSchedule(Request, kw_only=True):
    """A schedule. ``cron`` and ``every_s`` exclude each other; the time zone is that of ``cron``.

    ``missed``: ticks that nobody was there for get no task, one for all, or one each. ``overlap``: while
    the last tick's task is not final, a tick gets a task all the same, none, or one in place of that.
    ``paused`` null leaves a schedule that is there already as it is.
    """

    cron: Annotated[str, Meta(min_length=1)] | None = None
    every_s: EverySeconds | None = None
    time_zone: Annotated[str, Meta(min_length=1)] | None = None
    dst_gap: DstGap | None = None
    dst_overlap: DstOverlap | None = None
    task: ScheduleTask
    missed: Missed = "one"
    overlap: Overlap = "allow"
    paused: bool | None = None


class ScheduledTask(Answer, kw_only=True):
    """The task of a schedule; ``payload`` is absent in lists."""

    kind: Name
    queue: Name
    priority: Priority
    max_attempts: int
    lease_s: float
    payload: Raw | UnsetType = UNSET
    meta: Raw | UnsetType = UNSET
    retry: RetryPolicy | None = None
    timeout_s: float | None = None
    expires_s: float | None = None
    tags: list[str] = []
    unique: Unique | None = None
    webhook: TaskWebhook | None = None
    limit_key: str | None = None
    result_ttl_s: float | None = None


class Schedule(Answer, kw_only=True):
    """A schedule as it stands.

    ``last_run`` is the last tick that made a task, ``last_task`` that task. ``next_runs`` are the ticks to
    come, the first of them alone in lists, none while it is paused. ``fires`` counts the ticks that made a
    task, ``skips`` the times that ticks were left out.
    """

    name: Name
    cron: str | None = None
    every_s: float | None = None
    time_zone: str | None = None
    dst_gap: DstGap | None = None
    dst_overlap: DstOverlap | None = None
    task: ScheduledTask
    missed: Missed
    overlap: Overlap
    paused: bool
    created_at: Stamp
    updated_at: Stamp
    last_run: Stamp | None = None
    last_task: Id | None = None
    next_runs: list[Stamp]
    fires: int
    skips: int


class SchedulePage(Answer, kw_only=True):
    """``next_cursor`` is absent on the last page; a page may be short before that."""

    schedules: list[Schedule]
    next_cursor: str | None = None
