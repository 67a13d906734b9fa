"""What can go wrong when talking to a node: one class for each stable code, and three without.

::

    TqError
    ├── ConfigError              TQ_URL, TQ_TOKEN or a configuration file is wrong
    ├── TqUnavailable            no node could be reached; nothing was changed
    ├── OutcomeUnknown           the write may or may not have been made
    ├── WaitTimeout              tasks were not final in time: ``unfinished``
    ├── NoResult                 the task has ended, and there is no result of it: ``ended``
    │   └── TaskDead, TaskCancelled, ResultExpired
    └── ApiError                 the node refused; also any code this version does not know
        ├── BadRequest
        │   ├── InvalidJson
        │   ├── InvalidField     one field is wrong: ``field`` and ``limit`` say which and how
        │   │   ├── UnknownField, MissingField, DuplicateKey, NumberOutOfRange, InvalidText
        │   │   ├── TooDeep, TooManyValues, BatchTooLarge
        │   │   ├── UnknownParent, UnknownRef, DuplicateRef, DependencyCycle, TooManyParents
        │   │   ├── InvalidCron, UnknownTimeZone, TooManySchedules
        │   │   ├── ReservedQueue, UnknownWebhook
        │   │   ├── LimitExists, TooManyLimits
        │   │   ├── FilterRequired, TooManyBulks
        │   │   └── OutsideArchive, NoArchive
        │   ├── InvalidCursor
        │   ├── BodyTooLarge, HeadersTooLarge
        │   ├── UnsupportedMediaType, MethodNotAllowed, InvalidHttp
        │   └── RequestTimeout   the body did not arrive in time
        ├── Unauthorized, Forbidden
        ├── NotFound             TaskNotFound, WorkerNotFound, QueueNotFound, ScheduleNotFound, LimitNotFound,
        │                        NodeNotFound, BatchNotFound, BulkNotFound, PageNotFound, RouteNotFound
        ├── NotLeader            another node leads, and could not be followed to
        ├── Conflict
        │   ├── LeaseLost        the token is not the task's current one
        │   ├── UniqueConflict   another task holds the key: ``task``
        │   ├── WrongState, HandoverFailed, BatchFinished, BatchCancelled, QueueDraining
        │   └── IdempotencyMismatch
        ├── Busy                 come again: ``retry_after_s``
        │   └── QueueFull (NodeFull), Overloaded, Draining, DiskFull, ArchiveUnavailable, NoLeader
        └── ServerError          the node failed: quote ``request_id``
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tq.wire import Enqueued, Problem, Task


class TqError(Exception):
    """Base of all errors of this package.

    Attributes:
        code: stable name of what went wrong.
        detail: one sentence for people.
        status: HTTP status of the answer, ``None`` when there was none.
        field: path of the field at fault, as in ``tasks[3].priority``.
        limit: what the value exceeded.
        task: id of the task it is about.
        retry_after_s: seconds after which a retry makes sense.
        request_id: what the node's log calls the request.
        enqueued: what ``enqueue_many`` had made before this error stopped it, in order.
    """

    code: str = "error"
    status: int | None = None
    field: str | None = None
    limit: float | int | str | None = None
    task: str | None = None
    retry_after_s: float | None = None
    request_id: str | None = None
    enqueued: Sequence[Enqueued] = ()

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:
        # A handler that calls the API may fail in a worker's child process: its error must travel.
        return _revive, (type(self), self.args, self.__dict__)


def _revive(kind: type[TqError], args: tuple[Any, ...], facts: dict[str, Any]) -> TqError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(facts)
    return error


class ConfigError(TqError):
    """A configuration file, ``TQ_URL`` or ``TQ_TOKEN`` is wrong: ``detail`` names which, and the key."""

    code = "config"


class TqUnavailable(TqError):
    """No node could be reached, so nothing was changed: ``detail`` names the URLs and what to do."""

    code = "unavailable"


class OutcomeUnknown(TqError):
    """The request was sent but no answer came: it may or may not have been carried out."""

    code = "outcome_unknown"


class WaitTimeout(TqError):
    """Waiting ended before all tasks were final.

    Args:
        unfinished: ids of the tasks that were not final, in the order asked for; or of the batch.
        timeout_s: how long was waited, in seconds.
        what: what was waited for.
    """

    code = "wait_timeout"

    def __init__(self, unfinished: Sequence[str], *, timeout_s: float, what: str = "task(s)") -> None:
        shown = ", ".join(unfinished[:3]) + (", …" if len(unfinished) > 3 else "")
        super().__init__(f"{len(unfinished)} {what} not final after {timeout_s:g} s: {shown}")
        self.unfinished = list(unfinished)


class NoResult(TqError):
    """A task that was waited for has ended, and there is no result of it: ``ended`` is the task."""

    code = "no_result"

    def __init__(self, ended: Task) -> None:
        how = "succeeded; its result was kept for a time only, which is over"
        if ended.state != "succeeded":
            error = ended.errors[-1] if ended.state == "dead" and ended.errors else None
            why = f": {error.type}: {error.message}".rstrip(": ") if error else ""
            how = f"is {ended.state} ({ended.reason}){why}"
        super().__init__(f"task {ended.id} {how}")
        self.ended, self.task = ended, ended.id


class TaskDead(NoResult):
    """It is dead: out of attempts, or failed for good. ``ended.errors`` say why."""


class TaskCancelled(NoResult):
    """It was cancelled; ``ended.reason`` says whether by a person, by expiry or by another task."""


class ResultExpired(NoResult):
    """It succeeded, but its result was deleted after its ``result_ttl_s``."""


class ApiError(TqError):
    """The node refused the request, or something in front of it did.

    Args:
        detail: one sentence for people.
        status: HTTP status of the answer.
        problem: the node's own words, ``None`` when the answer was not a problem document.
    """

    code = "unexpected_answer"
    problem: Problem | None

    def __init__(self, detail: str, *, status: int, problem: Problem | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.problem = problem
        if problem is not None:
            self.code = problem.code
            self.field = problem.field
            self.limit = problem.limit
            self.task = problem.task
            self.retry_after_s = problem.retry_after_s
            self.request_id = problem.request_id

    def __str__(self) -> str:
        where = f" (field {self.field})" if self.field else ""
        whom = f" [request {self.request_id}]" if isinstance(self, ServerError) and self.request_id else ""
        return f"{self.detail}{where}{whom}"


class BadRequest(ApiError):
    """The request itself is wrong; the same request will never be taken."""


class InvalidJson(BadRequest):
    """The body is not JSON the node takes."""


class InvalidField(BadRequest):
    """One field is wrong: ``field`` and ``limit`` say which and how."""


class UnknownField(InvalidField):
    """A field the node does not know."""


class MissingField(InvalidField):
    """A field that must be there is absent."""


class TooDeep(InvalidField):
    """The body is nested deeper than the node's ``json_depth_max``."""


class NumberOutOfRange(InvalidField):
    """An integer outside 64 bits, or a float that overflows."""


class DuplicateKey(InvalidField):
    """An object names the same key twice."""


class InvalidText(InvalidField):
    """A string holds a lone surrogate or U+0000."""


class BatchTooLarge(InvalidField):
    """The request brings more tasks or outcomes than ``limit``."""


class TooManyValues(InvalidField):
    """The body holds more JSON values than ``limit``."""


class UnknownParent(InvalidField):
    """A task in ``after`` is not there."""


class UnknownRef(InvalidField):
    """No task of the request has this ``ref``."""


class DuplicateRef(InvalidField):
    """Two tasks of the request have the same ``ref``."""


class DependencyCycle(InvalidField):
    """The tasks of the request wait for each other in a circle."""


class TooManyParents(InvalidField):
    """A task waits for more others than ``limit``."""


class InvalidCron(InvalidField):
    """It is no cron expression, or no time to come is like it."""


class UnknownTimeZone(InvalidField):
    """The IANA database has no time zone of that name."""


class TooManySchedules(InvalidField):
    """The node has as many schedules as it allows: ``limit``."""


class ReservedQueue(InvalidField):
    """The queue is the node's own."""


class UnknownWebhook(InvalidField):
    """The node's configuration has no webhook, or no secret, of that name."""


class LimitExists(InvalidField):
    """Another limit is on the same tasks; the message says which."""


class TooManyLimits(InvalidField):
    """The node has as many limits as it allows: ``limit``."""


class FilterRequired(InvalidField):
    """The filter lets all tasks through: to mean that, say so with ``all``."""


class TooManyBulks(InvalidField):
    """As many bulk operations are under way as the node allows: ``limit``."""


class OutsideArchive(InvalidField):
    """The node's archive does not have that moment; the message says what it has."""


class NoArchive(InvalidField):
    """The node keeps no archive: it has no past to read."""


class InvalidCursor(BadRequest):
    """The cursor did not come from this kind of list."""


class BodyTooLarge(BadRequest):
    """The body exceeds the node's ``body_bytes_max``."""


class HeadersTooLarge(BadRequest):
    """The path and headers have too many bytes."""


class InvalidHttp(BadRequest):
    """What came is not HTTP."""


class UnsupportedMediaType(BadRequest):
    """The body was not sent as JSON."""


class MethodNotAllowed(BadRequest):
    """The path exists, but not with this method."""


class RequestTimeout(BadRequest):
    """The body did not arrive in time."""


class Unauthorized(ApiError):
    """No token, or one the node does not know."""


class Forbidden(ApiError):
    """The token does not allow this."""


class NotFound(ApiError):
    """Nothing of that name."""


class TaskNotFound(NotFound):
    """No such task, or its retention has passed."""


class WorkerNotFound(NotFound):
    """No such worker: it was dropped, or the node never knew it."""


class QueueNotFound(NotFound):
    """No such queue."""


class ScheduleNotFound(NotFound):
    """No such schedule."""


class LimitNotFound(NotFound):
    """No such limit."""


class BatchNotFound(NotFound):
    """No such batch; or it was deleted, some time after it had finished."""


class BulkNotFound(NotFound):
    """No such bulk operation, or it was forgotten since it ended."""


class PageNotFound(NotFound):
    """No such page of documentation."""


class RouteNotFound(NotFound):
    """No such path: most likely the URL names something that is not a node."""


class Conflict(ApiError):
    """The task is not as the request assumes."""


class LeaseLost(Conflict):
    """The token is not the task's current one: another attempt owns it, or it is finished."""


class UniqueConflict(Conflict):
    """Another task, ``task``, holds the unique key."""


class WrongState(Conflict):
    """The task's state does not allow the operation."""


class QueueDraining(Conflict):
    """The queue is being drained: it takes no new tasks until it is resumed."""


class IdempotencyMismatch(Conflict):
    """The idempotency key was used before with another body."""


class Busy(ApiError):
    """Nothing is wrong with the request; the node cannot take it now."""


class QueueFull(Busy):
    """The queue holds as much as it may; ``field`` says by which setting, ``limit`` is its value."""


class NodeFull(QueueFull):
    """All queues together hold as much as they may."""


class Overloaded(Busy):
    """The node has more to do than it can."""


class Draining(Busy):
    """The node is stopping."""


class DiskFull(Busy):
    """The node has no room to store the write."""


class ArchiveUnavailable(Busy):
    """The node's archive cannot be asked for the past just now."""


class NodeNotFound(NotFound):
    """The cluster has no such node."""


class BatchFinished(Conflict):
    """The batch takes no more tasks: all its members have ended."""


class BatchCancelled(Conflict):
    """The batch takes no more tasks: it was cancelled."""


class HandoverFailed(Conflict):
    """No other node could take over; the leader goes on."""


class NotLeader(ApiError):
    """Another node leads, and could not be followed to."""


class NoLeader(Busy):
    """No node of the cluster may write at the moment."""


class ServerError(ApiError):
    """The node failed; its log holds why, under ``request_id``."""
