"""How an attempt ended, in the words the node takes: from results, exceptions and stops."""

import traceback
from collections.abc import Sequence

from msgspec import UNSET, Raw, UnsetType

from tq.context import Cancelled, Reject, RetryLater, Snooze, TaskContext
from tq.values import encode
from tq.wire import (
    CompleteOutcome,
    FailOutcome,
    Failure,
    NewTask,
    Outcome,
    SnoozeOutcome,
)
from tq.worker.attempt import Attempt, Stop
from tq.worker.text import clean

TYPE_CHARS_MAX = 100
MESSAGE_CHARS_MAX = 2_000
TRACE_CHARS_MAX = 20_000


def completed(
    attempt: Attempt, result: Raw | UnsetType = UNSET, then: Sequence[NewTask] = ()
) -> CompleteOutcome:
    """The handler is done; ``result`` is JSON, ``then`` what is enqueued with it."""
    return CompleteOutcome(id=attempt.task.id, token=attempt.task.token, result=result, then=list(then))


def returned(attempt: Attempt, value: object, context: TaskContext) -> Outcome:
    """The handler returned ``value``: the task's result, unless JSON cannot hold it.

    None is no result. A value that cannot be encoded fails the task for good: the work is done, and
    doing it again would only bring the same value.
    """
    then = context.end()
    if value is None:
        return completed(attempt, then=then)
    try:
        return completed(attempt, encode(value, name="result"), then)
    except Exception as error:  # a value's own code runs while it is encoded, and may raise anything
        return failed(
            attempt,
            type_name="UnserialisableResult",
            message=f"the handler returned a {type(value).__qualname__} that JSON cannot hold: {error}",
            retry=False,
        )


def failed(
    attempt: Attempt,
    *,
    type_name: str,
    message: str,
    trace: str = "",
    retry: bool = True,
    delay_s: float | None = None,
) -> FailOutcome:
    """The attempt failed; texts are cut to what a node keeps and freed of what JSON cannot hold."""
    failure = Failure(
        type=_text(type_name, TYPE_CHARS_MAX) or "Error",
        message=_text(message, MESSAGE_CHARS_MAX),
        trace=_tail(trace, TRACE_CHARS_MAX),
    )
    return FailOutcome(
        id=attempt.task.id, token=attempt.task.token, error=failure, retry=retry, delay_s=delay_s
    )


def given_back(attempt: Attempt, *, delay_s: float = 0.0) -> SnoozeOutcome:
    """The task goes back as if it had not been tried."""
    return SnoozeOutcome(id=attempt.task.id, token=attempt.task.token, delay_s=delay_s)


def raised(attempt: Attempt, error: BaseException) -> Outcome:
    """The handler raised: one of the orders of :mod:`tq.context`, or a failure."""
    match error:
        case Snooze():
            return given_back(attempt, delay_s=max(0.0, error.delay_s))
        case RetryLater():
            delay_s = error.delay_s
            return failed(
                attempt, type_name="RetryLater", message=str(error), trace=_trace(error), delay_s=delay_s
            )
        case Reject():
            return failed(attempt, type_name="Reject", message=str(error), trace=_trace(error), retry=False)
        case Cancelled():
            return failed(attempt, type_name="Cancelled", message=str(error), retry=False)
        case _:
            return failed(
                attempt, type_name=type(error).__qualname__, message=_said(error), trace=_trace(error)
            )


def verdict(attempt: Attempt, outcome: Outcome) -> Outcome | None:
    """What to report for a handler that ended with ``outcome``, given that it may have been told to stop.

    Work that got done stays done, whatever was asked of it meanwhile. None: nothing is to be reported,
    because the lease is lost.
    """
    if attempt.stop is None:
        return outcome
    if attempt.stop is Stop.LOST:
        return None
    if isinstance(outcome, CompleteOutcome):
        return outcome
    return stopped(attempt, outcome)


def stopped(attempt: Attempt, outcome: Outcome | None = None) -> Outcome:
    """What to report for a handler stopped before it was done, or not waited for any longer.

    Args:
        attempt: with its ``stop`` set, and not to a lost lease.
        outcome: what the handler ended with, if it ended: its message and trace are kept.
    """
    error = outcome.error if isinstance(outcome, FailOutcome) else None
    message, trace = (error.message, error.trace) if error is not None else ("", "")
    match attempt.stop:
        case Stop.SHUTDOWN:
            return given_back(attempt)
        case Stop.TIMEOUT:
            limit = f"the attempt took longer than timeout_s = {attempt.task.timeout_s:g}"
            return failed(attempt, type_name="Timeout", message=limit, trace=trace)
        case _:
            if isinstance(outcome, SnoozeOutcome):
                return outcome
            return failed(
                attempt,
                type_name="Cancelled",
                message=message or "stopped because the task was cancelled",
                trace=trace,
                retry=False,
            )


def _text(text: str, chars_max: int) -> str:
    return clean(text if len(text) <= chars_max else text[: chars_max - 1] + "…")


def _tail(text: str, chars_max: int) -> str:
    # The last calls of a trace say the most.
    return clean(text if len(text) <= chars_max else "…" + text[-(chars_max - 1) :])


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # an exception's own __str__ is the handler's code
        return f"(its message could not be read: {type(broken).__name__})"


def _trace(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error, limit=-50))
    except Exception as broken:  # formatting reads the handler's objects
        return f"(the traceback could not be formatted: {type(broken).__name__})"
