"""From an error to its answer: the one table of statuses, and the shape of a problem."""

import http
import math

import msgspec

from tq import wire
from tqnode import errors
from tqnode.errors import TqnodeError

PROBLEM_TYPE = b"application/problem+json"

STATUS: dict[type[TqnodeError], int] = {
    errors.InvalidJson: 400,
    errors.InvalidCursor: 400,
    errors.InvalidField: 422,
    errors.BodyTooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.MethodNotAllowed: 405,
    errors.RequestTimeout: 408,
    errors.BadRequest: 400,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.QueueFull: 429,
    errors.Busy: 503,
    errors.OutcomeUnknown: 504,
    errors.Elsewhere: 307,
    TqnodeError: 500,
}
"""Each error's status; a class that is not here has that of its nearest base."""

_encode = msgspec.json.Encoder().encode


def status_of(error: TqnodeError) -> int:
    """The status an error is answered with."""
    for base in type(error).__mro__:
        status = STATUS.get(base)
        if status is not None:
            return status
    return 500


def problem_of(error: TqnodeError, *, request_id: str | None = None) -> wire.Problem:
    """The RFC 9457 body that tells of ``error``.

    Args:
        error: what went wrong.
        request_id: what the log calls this request; None inside a batch's answer.
    """
    retry_after_s = error.retry_after_s if isinstance(error, errors.Busy) else None
    limited = error if isinstance(error, errors.BadRequest | errors.QueueFull) else None
    return wire.Problem(
        type=f"/docs/api#{error.code}",
        title=error.code.replace("_", " ").capitalize(),
        status=status_of(error),
        code=error.code,
        detail=error.detail,
        field=None if limited is None else limited.field,
        limit=None if limited is None else limited.limit,
        task=error.task if isinstance(error, errors.Conflict) else None,
        retry_after_s=retry_after_s,
        request_id=request_id,
    )


def headers_of(error: TqnodeError) -> list[tuple[bytes, bytes]]:
    """The headers an error's answer has besides those of every problem."""
    if isinstance(error, errors.Busy):
        return [(b"retry-after", b"%d" % max(1, math.ceil(error.retry_after_s)))]
    return []


def encode_problem(problem: wire.Problem) -> bytes:
    """The problem's JSON."""
    return _encode(problem)


def internal(request_id: str) -> wire.Problem:
    """What a client learns of a fault of ours: nothing but where to find it in the log."""
    return wire.Problem(
        type="/docs/api#internal",
        title=http.HTTPStatus.INTERNAL_SERVER_ERROR.phrase,
        status=500,
        code="internal",
        detail="the node failed; its log has the reason under this request_id",
        request_id=request_id,
    )
