"""Queues, statistics and events."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, UnsetType, field

from tq.wire.names import Answer, Id, Moment, Name, PositiveSeconds, Priority, Request, Stamp
from tq.wire.retry import RetryPolicy

Attempts = Annotated[int, Meta(ge=1, le=1000)]
KeptSeconds = Annotated[int, Meta(ge=-1, le=315_360_000)]
Quota = Annotated[int, Meta(ge=1, le=1_125_899_906_842_624)]

Ageing = Annotated[float, Meta(ge=0.001, le=255)]


class NewPause(Request, kw_only=True):
    """A pause. ``for_s`` and ``until`` exclude each other; with neither it lasts until it is ended."""

    for_s: PositiveSeconds | None = None
    until: Moment | None = None
    reason: Annotated[str, Meta(min_length=1, max_length=500)] | None = None


class Pause(Answer, kw_only=True):
    """A pause that lasts now; without ``until`` it does so until it is ended."""

    since: Stamp
    until: Stamp | None = None
    reason: str | None = None


class NodePause(Answer, kw_only=True):
    """Whether the whole node is paused."""

    paused: bool
    pause: Pause | None = None


class QueueChanges(Request, kw_only=True):
    """Settings of one queue to change; null gives back to the node's.

    ``keep_…_s``: for how long its tasks are kept after their end, -1 for ever. ``age_per_minute``: how much
    priority its ready tasks gain in each minute that they wait, to a thousandth.
    """

    priority: Priority | UnsetType | None = UNSET
    max_attempts: Attempts | UnsetType | None = UNSET
    lease_s: PositiveSeconds | UnsetType | None = UNSET
    retry: RetryPolicy | UnsetType | None = UNSET
    timeout_s: PositiveSeconds | UnsetType | None = UNSET
    keep_succeeded_s: KeptSeconds | UnsetType | None = UNSET
    keep_cancelled_s: KeptSeconds | UnsetType | None = UNSET
    keep_dead_s: KeptSeconds | UnsetType | None = UNSET
    depth_max: Quota | UnsetType | None = UNSET
    bytes_max: Quota | UnsetType | None = UNSET
    age_per_minute: Ageing | UnsetType | None = UNSET


class QueueSettings(Answer, kw_only=True):
    """What a queue has of its own; what is absent is the node's."""

    priority: Priority | None = None
    max_attempts: int | None = None
    lease_s: float | None = None
    retry: RetryPolicy | None = None
    timeout_s: float | None = None
    keep_succeeded_s: int | None = None
    keep_cancelled_s: int | None = None
    keep_dead_s: int | None = None
    depth_max: int | None = None
    bytes_max: int | None = None
    age_per_minute: float | None = None


class QueueInfo(Answer, kw_only=True):
    """``counts`` holds the states that have tasks.

    ``draining``: it takes no new tasks. ``bytes`` are those of its waiting and running tasks, if they are
    limited.
    """

    queue: Name
    paused: bool
    counts: dict[str, int]
    oldest_ready_age_s: float | None = None
    pause: Pause | None = None
    draining: bool = False
    settings: QueueSettings | None = None
    bytes: int | None = None


class Queues(Answer, kw_only=True):
    """``pause``: no queue gives out tasks."""

    queues: list[QueueInfo]
    pause: Pause | None = None


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
