"""What all errors of this package are made from; :mod:`tq.errors` shows the whole tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tq.wire import Enqueued, Problem


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


class InvalidField(BadRequest):
    """One field is wrong: ``field`` and ``limit`` say which and how."""


class ServerError(ApiError):
    """The node failed; its log holds why, under ``request_id``."""


def _revive(kind: type[TqError], args: tuple[Any, ...], facts: dict[str, Any]) -> TqError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(facts)
    return error
