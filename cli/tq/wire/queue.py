"""Queues, statistics and events."""

from typing import Literal

from msgspec import Raw, field

from tq.wire.names import Answer, Id, Name, Request, Stamp


class QueueInfo(Answer, kw_only=True):
    """``counts`` holds the states that have tasks."""

    queue: Name
    paused: bool
    counts: dict[str, int]
    oldest_ready_age_s: float | None = None


class Queues(Answer, kw_only=True):
    queues: list[QueueInfo]


class Purge(Request, kw_only=True):
    """Which waiting states to delete; running tasks are never purged."""

    states: list[Literal["blocked", "scheduled", "ready", "succeeded", "dead", "cancelled"]] = field(
        default_factory=lambda: ["blocked", "scheduled", "ready"]
    )


class Purged(Answer, kw_only=True):
    deleted: int


class Stats(Answer, kw_only=True):
    """``since_start`` counts operations of this process; ``database`` is in bytes."""

    version: str
    uptime_s: float
    totals: dict[str, int]
    queues: list[QueueInfo]
    workers: int
    since_start: dict[str, int]
    database: dict[str, int]


class Health(Answer, kw_only=True):
    """``checks`` says of each thing looked at that it is ``ok``, or what is wrong with it."""

    ok: bool
    checks: dict[str, str] = {}


class TaskEvent(Answer, kw_only=True):
    """The data of one ``task`` event: the state a task went to (or ``deleted``)."""

    id: Id
    queue: Name
    kind: Name
    state: str
    at: Stamp
    attempt: int = 0
    reason: str | None = None


class ProgressEvent(Answer, kw_only=True):
    """A running task's progress."""

    id: Id
    queue: Name
    kind: Name
    at: Stamp
    attempt: int
    progress: Raw
