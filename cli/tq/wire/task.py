"""The task as it is read."""

from msgspec import UNSET, Raw, UnsetType

from tq.wire.enqueue import Given
from tq.wire.names import AfterPolicy, Answer, Id, Name, Priority, Stamp, State
from tq.wire.retry import RetryPolicy
from tq.wire.webhook import TaskWebhook


class TaskError(Answer, kw_only=True):
    """One failed attempt."""

    type: str
    message: str
    trace: str
    attempt: int
    at: Stamp


class Task(Answer, kw_only=True):
    """A task. What is absent was never set; ``payload`` is absent in lists unless asked for.

    ``after`` holds the tasks it was enqueued after, as far as they are still there (never in lists);
    ``pending`` says how many of them have not ended. ``batch`` is the one it is a member of.
    ``given`` is only in the answer to the enqueue. ``result_expired`` says that there was a result, which was
    kept for ``result_ttl_s`` after the task's end.
    """

    id: Id
    queue: Name
    kind: Name
    state: State
    priority: Priority
    created_at: Stamp
    run_at: Stamp
    attempt: int
    max_attempts: int
    lease_s: float
    reason: str | None = None
    payload: Raw | UnsetType = UNSET
    meta: Raw | UnsetType = UNSET
    tags: list[str] = []
    retry: RetryPolicy | None = None
    timeout_s: float | None = None
    expires_at: Stamp | None = None
    unique_key: str | None = None
    crashes: int = 0
    worker: str | None = None
    attempted_by: list[str] = []
    started_at: Stamp | None = None
    lease_expires_at: Stamp | None = None
    cancel_requested_at: Stamp | None = None
    finished_at: Stamp | None = None
    result: Raw | UnsetType = UNSET
    progress: Raw | UnsetType = UNSET
    errors: list[TaskError] = []
    duplicate: bool = False
    after: list[Id] = []
    after_policy: AfterPolicy | None = None
    pending: int = 0
    webhook: TaskWebhook | None = None
    limit_key: str | None = None
    batch: Id | None = None
    given: Given | None = None
    result_ttl_s: float | None = None
    result_expired: bool = False


class TaskPage(Answer, kw_only=True):
    """``next_cursor`` is absent on the last page; a page may be short, even empty, before that."""

    tasks: list[Task]
    next_cursor: str | None = None
