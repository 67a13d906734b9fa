"""The error tree: each class is one defined answer, with a stable ``code``.

::

    TqnodeError
    ├── BadRequest
    │   ├── InvalidJson          the body is not JSON this node takes
    │   ├── InvalidField         one field is wrong: ``field`` and ``limit`` say which and how
    │   ├── InvalidCursor
    │   ├── BodyTooLarge
    │   ├── UnsupportedMediaType
    │   ├── MethodNotAllowed
    │   └── RequestTimeout       the body did not arrive in time
    ├── NotFound                 task, worker, queue, schedule, limit, batch or route
    ├── Conflict
    │   ├── LeaseLost            the token is not the task's current one
    │   ├── UniqueConflict       another task holds the key
    │   ├── WrongState           the task's state does not allow the operation
    │   ├── BatchFinished        the batch takes no more tasks: it has finished
    │   ├── BatchCancelled       the same: it was cancelled
    │   ├── QueueDraining        the queue takes no new tasks
    │   └── IdempotencyMismatch  the key came before, with another body
    ├── Elsewhere                another node leads: ``url`` is where
    ├── HandoverFailed           the leader goes on to lead
    ├── Busy                     come again: ``retry_after_s``
    │   ├── Overloaded
    │   ├── Draining
    │   ├── NoLeader             no node leads, or this one does not know which
    │   ├── QueueFull            ``field`` and ``limit`` say which quota
    │   ├── DiskFull
    │   └── ArchiveUnavailable   the past can't be read just now
    └── OutcomeUnknown           the write may or may not have been made
"""

from typing import ClassVar


class TqnodeError(Exception):
    """Base of all errors that have a defined answer.

    Args:
        detail: one sentence for people, without secrets.
    """

    code: ClassVar[str] = "internal"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class BadRequest(TqnodeError):
    """The request itself is wrong.

    Args:
        detail: one sentence for people.
        field: path of the field at fault, as in ``tasks[3].priority``.
        limit: what the value exceeded.
        code: a finer stable code than the class's own, such as ``duplicate_key``.
    """

    code = "bad_request"

    def __init__(
        self,
        detail: str,
        *,
        field: str | None = None,
        limit: float | int | str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.field = field
        self.limit = limit
        if code is not None:
            self.code = code  # type: ignore[misc]  # the instance refines the class's code


class InvalidJson(BadRequest):
    code = "invalid_json"


class InvalidField(BadRequest):
    code = "invalid_field"


class InvalidCursor(BadRequest):
    code = "invalid_cursor"


class BodyTooLarge(BadRequest):
    code = "body_too_large"


class UnsupportedMediaType(BadRequest):
    code = "unsupported_media_type"


class MethodNotAllowed(BadRequest):
    code = "method_not_allowed"


class RequestTimeout(BadRequest):
    code = "request_timeout"


class NotFound(TqnodeError):
    """Nothing of that name. ``code`` is ``task_not_found``, ``worker_not_found``, ..."""

    code = "not_found"

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"no {what} {name}")
        self.code = f"{what}_not_found"  # type: ignore[misc]  # one class, a code per noun


class Conflict(TqnodeError):
    """The task is not as the request assumes.

    Args:
        detail: one sentence for people.
        task: id of the task it is about.
    """

    code = "conflict"

    def __init__(self, detail: str, *, task: str | None = None) -> None:
        super().__init__(detail)
        self.task = task


class LeaseLost(Conflict):
    code = "lease_lost"


class UniqueConflict(Conflict):
    code = "unique_conflict"


class WrongState(Conflict):
    code = "wrong_state"


class BatchFinished(Conflict):
    code = "batch_finished"


class BatchCancelled(Conflict):
    code = "batch_cancelled"


class QueueDraining(Conflict):
    code = "queue_draining"


class IdempotencyMismatch(Conflict):
    code = "idempotency_mismatch"


class Busy(TqnodeError):
    """Nothing is wrong with the request; the node cannot take it now.

    Args:
        detail: one sentence for people.
        retry_after_s: seconds after which a retry makes sense.
    """

    code = "busy"

    def __init__(self, detail: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Overloaded(Busy):
    code = "overloaded"


class Draining(Busy):
    code = "draining"


class NoLeader(Busy):
    code = "no_leader"


class QueueFull(Busy):
    """There is no room for the tasks.

    Args:
        detail: one sentence for people.
        retry_after_s: seconds after which a retry makes sense.
        field: the setting that says how much room there is.
        limit: its value.
    """

    code = "queue_full"

    def __init__(
        self, detail: str, *, retry_after_s: float = 1.0, field: str | None = None, limit: int | None = None
    ) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)
        self.field = field
        self.limit = limit


class DiskFull(Busy):
    code = "disk_full"


class ArchiveUnavailable(Busy):
    code = "archive_unavailable"


class Elsewhere(TqnodeError):
    """Another node takes requests.

    Args:
        detail: one sentence for people.
        url: where it takes them.
    """

    code = "not_leader"

    def __init__(self, detail: str, *, url: str) -> None:
        super().__init__(detail)
        self.url = url


class HandoverFailed(Conflict):
    code = "handover_failed"


class OutcomeUnknown(TqnodeError):
    code = "outcome_unknown"
