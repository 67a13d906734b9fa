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
        │   └── QueueFull, Overloaded, Draining, DiskFull, ArchiveUnavailable, NoLeader
        └── ServerError          the node failed: quote ``request_id``
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tq.wire import Task

# All of them are found here, wherever they stand.
from tq.error_base import *  # noqa: F403  # as above
from tq.error_base import ApiError, BadRequest, TqError
from tq.field_errors import *  # noqa: F403  # as above


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


class InvalidJson(BadRequest):
    """The body is not JSON the node takes."""


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
    """Queue or node hold as much as they may; ``field`` says by which setting, ``limit`` is its value."""


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
