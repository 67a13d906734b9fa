"""Claims, heartbeats, and the three ways to finish."""

from typing import Annotated

from msgspec import UNSET, Meta, Raw, UnsetType, field

from tq.wire.enqueue import NewTask
from tq.wire.log import NewLines
from tq.wire.names import (
    Answer,
    Id,
    Label,
    Name,
    PositiveSeconds,
    Priority,
    Request,
    Seconds,
    Stamp,
    State,
    Token,
)
from tq.wire.problem import Problem


class Claim(Request, kw_only=True):
    """Asks for up to ``max`` tasks, waiting up to ``wait_s`` for the first one."""

    queues: Annotated[list[Name], Meta(min_length=1, max_length=100)] = field(
        default_factory=lambda: ["default"]
    )
    kinds: Annotated[list[Name], Meta(min_length=1, max_length=500)] | None = None
    max: Annotated[int, Meta(ge=1, le=1000)] = 1
    wait_s: Annotated[float, Meta(ge=0, le=60)] = 0.0
    lease_s: PositiveSeconds | None = None
    worker: Label
    min_priority: Priority = 0


class Input(Answer, kw_only=True):
    """What a task came to that the claimed one was enqueued after.

    ``result`` is absent if there is none, or if it was too large to come along: then ``left_out`` is true.
    """

    id: Id
    kind: Name
    state: State
    result: Raw | UnsetType = UNSET
    left_out: bool = False


class ClaimedTask(Answer):
    """A task in its worker's hands; ``token`` proves this one claim; ``batch`` has it as a member."""

    id: Id
    token: Token
    queue: Name
    kind: Name
    payload: Raw
    priority: Priority
    attempt: int
    max_attempts: int
    lease_s: float
    lease_expires_at: Stamp
    created_at: Stamp
    run_at: Stamp
    crashes: int = 0
    timeout_s: float | None = None
    tags: list[str] = []
    meta: Raw | UnsetType = UNSET
    inputs: list[Input] = []
    inputs_truncated: bool = False
    limit_key: str | None = None
    batch: Id | None = None


class Claimed(Answer, kw_only=True):
    tasks: list[ClaimedTask]


class Heartbeat(Request, kw_only=True):
    """Resets the lease to now + ``lease_s``, its length from then on (as long as before when absent)."""

    token: Token
    lease_s: PositiveSeconds | None = None
    progress: Raw | UnsetType = UNSET
    log: NewLines | None = None


class HeartbeatAnswer(Answer, kw_only=True):
    """``cancel`` asks the worker to stop the task and fail, snooze or complete it."""

    lease_expires_at: Stamp
    cancel: bool = False


class Failure(Request, kw_only=True):
    """What went wrong, cut to the node's limits rather than refused when too long."""

    type: str = "Error"
    message: str = ""
    trace: str = ""


class Complete(Request, kw_only=True):
    token: Token
    result: Raw | UnsetType = UNSET
    then: Annotated[list[NewTask], Meta(max_length=1000)] = []


class Fail(Request, kw_only=True):
    """``retry: false`` makes the task dead at once; ``delay_s`` overrides the retry policy."""

    token: Token
    error: Failure | None = None
    retry: bool = True
    delay_s: Seconds | None = None


class Snooze(Request, kw_only=True):
    """Gives the task back for ``delay_s`` without spending the attempt."""

    token: Token
    delay_s: Seconds = 0.0


class Finished(Answer, kw_only=True):
    """The state the task went to; ``then`` holds the ids of the tasks enqueued with it."""

    id: Id
    state: State
    reason: str | None = None
    run_at: Stamp | None = None
    then: list[Id] = []


class CompleteOutcome(Complete, kw_only=True, tag_field="outcome", tag="complete"):
    id: str
    log: NewLines | None = None


class FailOutcome(Fail, kw_only=True, tag_field="outcome", tag="fail"):
    id: str
    log: NewLines | None = None


class SnoozeOutcome(Snooze, kw_only=True, tag_field="outcome", tag="snooze"):
    id: str
    log: NewLines | None = None


Outcome = CompleteOutcome | FailOutcome | SnoozeOutcome


class Outcomes(Request, kw_only=True):
    outcomes: Annotated[list[Outcome], Meta(min_length=1)]


class OutcomeAnswer(Answer, kw_only=True):
    """Either the finish's answer, or its ``error``."""

    id: str
    state: State | None = None
    reason: str | None = None
    run_at: Stamp | None = None
    then: list[Id] = []
    error: Problem | None = None


class OutcomesAnswer(Answer, kw_only=True):
    results: list[OutcomeAnswer]
