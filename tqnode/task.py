"""The task and its lifecycle, without I/O.

::

    blocked ──► ready ◄──► scheduled
       │          │  ▲         │
       │          ▼  │         │
       │        running ───────┤
       ▼          ▼            ▼
    cancelled  succeeded     dead
"""

from enum import StrEnum

import msgspec


class TaskState(StrEnum):
    BLOCKED = "blocked"
    """Waits on other tasks."""
    SCHEDULED = "scheduled"
    """Waits for its time, back-off included."""
    READY = "ready"
    """May be claimed."""
    RUNNING = "running"
    """Under a worker's lease."""
    SUCCEEDED = "succeeded"
    """Completed."""
    DEAD = "dead"
    """Out of attempts, failed for good, or crashed too often: ``reason`` says."""
    CANCELLED = "cancelled"
    """By a person, by expiry, by a failed dependency: ``reason`` says."""


FINAL = frozenset({TaskState.SUCCEEDED, TaskState.DEAD, TaskState.CANCELLED})
WAITING = frozenset({TaskState.BLOCKED, TaskState.SCHEDULED, TaskState.READY})

_S = TaskState
TRANSITIONS: dict[TaskState, frozenset[TaskState]] = {
    _S.BLOCKED: frozenset({_S.READY, _S.SCHEDULED, _S.CANCELLED}),
    _S.SCHEDULED: frozenset({_S.READY, _S.SCHEDULED, _S.CANCELLED}),
    _S.READY: frozenset({_S.READY, _S.SCHEDULED, _S.RUNNING, _S.CANCELLED}),
    _S.RUNNING: frozenset({_S.READY, _S.SCHEDULED, _S.SUCCEEDED, _S.DEAD, _S.CANCELLED}),
    _S.SUCCEEDED: frozenset({_S.READY}),
    _S.DEAD: frozenset({_S.READY}),
    _S.CANCELLED: frozenset({_S.READY}),
}
"""From each state, where a task may go; final states leave only by a person's retry."""


class Reason(StrEnum):
    """Why a task is dead or cancelled."""

    ATTEMPTS = "attempts_exhausted"
    FAILED = "failed_for_good"
    CRASHED = "crashed"
    REQUESTED = "requested"
    EXPIRED = "expired"
    DEPENDENCY = "dependency"
    """A task that it waited for ended without success."""


REPLACING = frozenset({"replace", "debounce", "keep_earliest"})
"""Ways to settle a conflict in which a waiting holder gets the new content: with the new time, with the later
of both, with the earlier one."""


class Needs(StrEnum):
    """What a task's parents must come to before it may run."""

    SUCCEEDED = "succeeded"
    """All succeed; if one ends otherwise, the task is cancelled."""
    FINISHED = "finished"
    """All end, however."""


class Webhook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whom to tell of a task's end: a configured endpoint, or a URL with a configured secret."""

    endpoint: str | None = None
    """The endpoint's name; where it is, is looked up at each delivery."""
    url: str | None = None
    secret: str | None = None
    """The secret's name; the secret itself is never stored."""
    on: tuple[TaskState, ...] = (TaskState.SUCCEEDED, TaskState.DEAD, TaskState.CANCELLED)
    max_attempts: int = 10
    """Of each delivery."""
    retry: bytes | None = None
    """The retry policy's JSON of the deliveries; None is that of all webhooks."""


class TaskSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A task to enqueue, checked and with every default filled in. Times in ms, JSON as bytes."""

    kind: str
    queue: str
    payload: bytes
    priority: int
    run_at_ms: int | None
    """None: at once."""
    max_attempts: int
    lease_ms: int
    retry: bytes | None = None
    """The retry policy's JSON; None is the default policy."""
    timeout_ms: int | None = None
    expires_at_ms: int | None = None
    tags: tuple[str, ...] = ()
    meta: bytes | None = None
    unique_key: str | None = None
    unique_mode: str = "skip"
    """``skip``, ``reject``, or one of :data:`REPLACING`."""
    unique_states: str = "blocked scheduled ready running"
    """Space-separated states in which the key is held; always all of :data:`WAITING`, for a key that
    a task could first come to hold by being claimed might meet another holder there."""
    unique_fields: tuple[str, ...] = ()
    """The places in the payload that the key was made from, for those who look at a schedule."""
    unique_period_ms: int | None = None
    """How long the key is held at most; None for as long as the states say."""
    unique_wait_max_ms: int | None = None
    """How long after it was made ``debounce`` may put a task off; None for ever."""
    after: tuple[bytes | int, ...] = ()
    """The tasks it waits for, each once: ids, or places in the same request."""
    needs: Needs | None = None
    """None if it waits for nobody."""
    webhook: Webhook | None = None
    """Whom to tell of its end."""
    limit_key: str | None = None
    """What limits on keys know it by."""
    unsaid: int = 0
    """What its maker left open, as the sum of :data:`UNSAID`: there its queue's own defaults come first."""
    result_ttl_ms: int | None = None
    """How long its result is kept from its end on; None: as long as the task."""


UNSAID = {"priority": 1, "max_attempts": 2, "lease_ms": 4, "retry": 8, "timeout_ms": 16}
"""The fields of a task that a queue may have defaults for."""


class Given(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a queue's own defaults gave, or would give, a task; None where they say nothing."""

    priority: int | None = None
    max_attempts: int | None = None
    lease_ms: int | None = None
    retry: bytes | None = None
    timeout_ms: int | None = None


class Enqueued(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one enqueue made or found."""

    id: str
    state: TaskState
    duplicate: bool
    run_at_ms: int | None = None
    """None for a duplicate."""
    given: Given | None = None
    """What it has from its queue's own defaults; None if nothing."""


class TaskError(msgspec.Struct, frozen=True):
    """One failed attempt, as stored."""

    type: str
    message: str
    trace: str
    attempt: int
    at_ms: int


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A whole task as stored; JSON fields are bytes, absent ones None."""

    id: str
    queue: str
    kind: str
    state: TaskState
    reason: str | None
    priority: int
    created_at_ms: int
    run_at_ms: int
    started_at_ms: int | None
    finished_at_ms: int | None
    expires_at_ms: int | None
    lease_expires_at_ms: int | None
    cancel_requested_at_ms: int | None
    attempt: int
    max_attempts: int
    crashes: int
    lease_ms: int
    timeout_ms: int | None
    worker: str | None
    attempted_by: tuple[str, ...]
    unique_key: str | None
    tags: tuple[str, ...]
    payload: bytes
    meta: bytes | None
    retry: bytes | None
    result: bytes | None
    progress: bytes | None
    errors: tuple[TaskError, ...]
    needs: Needs | None = None
    """None: it was enqueued after nobody."""
    pending: int = 0
    """Of the tasks it was enqueued after, how many have not ended."""
    after: tuple[str, ...] = ()
    """Ids of these, as far as they are still there; empty in lists."""
    webhook: Webhook | None = None
    limit_key: str | None = None
    batch: str | None = None
    """The id of the batch it is a member of, if that is still there."""
    result_ttl_ms: int | None = None
    result_expired: bool = False
    """There was a result, and its time is over."""


class Input(msgspec.Struct, frozen=True):
    """What a parent came to. ``left_out``: its result is too large to come with the claim."""

    id: str
    kind: str
    state: TaskState
    result: bytes | None
    left_out: bool


class ClaimedTask(msgspec.Struct, frozen=True):
    """A task as its worker receives it."""

    id: str
    token: str
    queue: str
    kind: str
    priority: int
    attempt: int
    max_attempts: int
    crashes: int
    lease_ms: int
    lease_expires_at_ms: int
    timeout_ms: int | None
    created_at_ms: int
    run_at_ms: int
    payload: bytes
    meta: bytes | None
    tags: tuple[str, ...]
    inputs: tuple[Input, ...] = ()
    """Its parents, in the order of enqueueing."""
    inputs_truncated: bool = False
    """Whether there are more parents than came."""
    limit_key: str | None = None
    batch: str | None = None
    """The id of the batch it is a member of."""


class Finished(msgspec.Struct, frozen=True):
    """Where a finish took a task. Stored as its receipt, so that a repeated finish answers the same."""

    id: str
    state: TaskState
    reason: str | None = None
    run_at_ms: int | None = None
    then: tuple[str, ...] = ()


class Idempotency(msgspec.Struct, frozen=True):
    """A key the client chose for one enqueue, and the digest of what it sent with it."""

    key: str
    digest: bytes


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker asks for: up to ``max`` tasks, from the queues in the order given."""

    queues: tuple[str, ...]
    worker: str
    max: int = 1
    kinds: tuple[str, ...] | None = None
    lease_ms: int | None = None
    min_priority: int = 0


class Complete(msgspec.Struct, frozen=True, kw_only=True):
    """The attempt succeeded; ``then`` is enqueued in the same transaction."""

    id: str
    token: str
    result: bytes | None = None
    then: tuple[TaskSpec, ...] = ()


class Fail(msgspec.Struct, frozen=True, kw_only=True):
    """The attempt failed. Texts are cut to the node's limits already."""

    id: str
    token: str
    type: str = "Error"
    message: str = ""
    trace: str = ""
    retry: bool = True
    delay_ms: int | None = None


class Snooze(msgspec.Struct, frozen=True, kw_only=True):
    """The task is given back for ``delay_ms``; the attempt is not spent."""

    id: str
    token: str
    delay_ms: int = 0


Finish = Complete | Fail | Snooze


class Lease(msgspec.Struct, frozen=True):
    """The answer to a heartbeat."""

    lease_expires_at_ms: int
    cancel: bool
