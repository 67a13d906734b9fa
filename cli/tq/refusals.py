"""From an answer that is an error to the exception that says so; for all that talks to a node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tq import errors

if TYPE_CHECKING:
    from tq.wire import Problem

EXCERPT_CHARS_MAX = 300

CODES: dict[str, type[errors.TqError]] = {
    "bad_request": errors.BadRequest,
    "invalid_json": errors.InvalidJson,
    "too_deep": errors.TooDeep,
    "number_out_of_range": errors.NumberOutOfRange,
    "duplicate_key": errors.DuplicateKey,
    "invalid_text": errors.InvalidText,
    "invalid_field": errors.InvalidField,
    "unknown_field": errors.UnknownField,
    "missing_field": errors.MissingField,
    "batch_too_large": errors.BatchTooLarge,
    "too_many_values": errors.TooManyValues,
    "unknown_parent": errors.UnknownParent,
    "unknown_ref": errors.UnknownRef,
    "duplicate_ref": errors.DuplicateRef,
    "dependency_cycle": errors.DependencyCycle,
    "too_many_parents": errors.TooManyParents,
    "invalid_cron": errors.InvalidCron,
    "unknown_time_zone": errors.UnknownTimeZone,
    "too_many_schedules": errors.TooManySchedules,
    "reserved_queue": errors.ReservedQueue,
    "unknown_webhook": errors.UnknownWebhook,
    "limit_exists": errors.LimitExists,
    "too_many_limits": errors.TooManyLimits,
    "filter_required": errors.FilterRequired,
    "too_many_bulks": errors.TooManyBulks,
    "outside_archive": errors.OutsideArchive,
    "no_archive": errors.NoArchive,
    "invalid_cursor": errors.InvalidCursor,
    "body_too_large": errors.BodyTooLarge,
    "headers_too_large": errors.HeadersTooLarge,
    "invalid_http": errors.InvalidHttp,
    "unsupported_media_type": errors.UnsupportedMediaType,
    "method_not_allowed": errors.MethodNotAllowed,
    "request_timeout": errors.RequestTimeout,
    "unauthorized": errors.Unauthorized,
    "forbidden": errors.Forbidden,
    "not_found": errors.NotFound,
    "task_not_found": errors.TaskNotFound,
    "worker_not_found": errors.WorkerNotFound,
    "queue_not_found": errors.QueueNotFound,
    "schedule_not_found": errors.ScheduleNotFound,
    "limit_not_found": errors.LimitNotFound,
    "batch_not_found": errors.BatchNotFound,
    "bulk_not_found": errors.BulkNotFound,
    "node_not_found": errors.NodeNotFound,
    "page_not_found": errors.PageNotFound,
    "route_not_found": errors.RouteNotFound,
    "conflict": errors.Conflict,
    "lease_lost": errors.LeaseLost,
    "unique_conflict": errors.UniqueConflict,
    "wrong_state": errors.WrongState,
    "idempotency_mismatch": errors.IdempotencyMismatch,
    "batch_finished": errors.BatchFinished,
    "batch_cancelled": errors.BatchCancelled,
    "handover_failed": errors.HandoverFailed,
    "not_leader": errors.NotLeader,
    "busy": errors.Busy,
    "queue_draining": errors.QueueDraining,
    "queue_full": errors.QueueFull,
    "overloaded": errors.Overloaded,
    "draining": errors.Draining,
    "disk_full": errors.DiskFull,
    "archive_unavailable": errors.ArchiveUnavailable,
    "no_leader": errors.NoLeader,
    "internal": errors.ServerError,
    "outcome_unknown": errors.OutcomeUnknown,
}


def from_problem(problem: Problem) -> errors.TqError:
    """The exception for a problem document; an ``ApiError`` for a code this version does not know."""
    kind = CODES.get(problem.code, errors.ApiError)
    if issubclass(kind, errors.ApiError):
        return kind(problem.detail or problem.title, status=problem.status, problem=problem)
    error = kind(problem.detail or problem.title)
    error.status = problem.status
    error.retry_after_s = problem.retry_after_s
    error.request_id = problem.request_id
    return error


def from_bytes(body: bytes, *, status: int, url: str) -> errors.ApiError:
    """The error for an answer that is no problem document, with a bounded excerpt of what it said."""
    text = body[: EXCERPT_CHARS_MAX * 4].decode(errors="replace")
    words = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    said = words[:EXCERPT_CHARS_MAX] + ("…" if len(words) > EXCERPT_CHARS_MAX else "")
    return errors.ApiError(
        f"{url} answered {status}, not as a node does: {said or '(nothing)'}", status=status
    )
