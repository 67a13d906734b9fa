"""From an answer that refuses to the exception that tells of it; whoever talks to a node raises these."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tq.errors import CODES, ApiError, TqError

if TYPE_CHECKING:
    from tq.wire import Problem

EXCERPT_CHARS_MAX = 300


def from_problem(problem: Problem) -> TqError:
    """The exception for a problem document; :class:`ApiError` for a code this version does not know."""
    kind = CODES.get(problem.code, ApiError)
    if issubclass(kind, ApiError):
        return kind(problem.detail or problem.title, status=problem.status, problem=problem)
    error = kind(problem.detail or problem.title)
    error.status = problem.status
    error.retry_after_s = problem.retry_after_s
    error.request_id = problem.request_id
    return error


def from_bytes(body: bytes, *, status: int, url: str) -> ApiError:
    """The error for an answer that is no problem document, with a bounded excerpt of what it said."""
    text = body[: EXCERPT_CHARS_MAX * 4].decode(errors="replace")
    words = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    said = words[:EXCERPT_CHARS_MAX] + ("…" if len(words) > EXCERPT_CHARS_MAX else "")
    return ApiError(f"{url} answered {status}, not as a node does: {said or '(nothing)'}", status=status)
