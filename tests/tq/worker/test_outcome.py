from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

import tq
from tests.tq.worker.claims import attempt
from tq.wire import CompleteOutcome, FailOutcome, Outcome, SnoozeOutcome
from tq.worker import outcome
from tq.worker.attempt import Stop

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=300)


@dataclass
class Point:
    x: int
    y: float


def of(exc: BaseException) -> Outcome:
    try:
        raise exc
    except BaseException as error:
        return outcome.raised(attempt(), error)


def context() -> tq.TaskContext:
    return tq.TaskContext(attempt().task, print, lambda: False)


def failed() -> FailOutcome:
    return outcome.failed(attempt(), type_name="ValueError", message="no", trace="here")


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (5, b"5"),
        ({"a": [1.5, "é"]}, '{"a":[1.5,"é"]}'.encode()),
        (Point(1, 2.5), b'{"x":1,"y":2.5}'),
        (datetime(2026, 1, 2, tzinfo=UTC), b'"2026-01-02T00:00:00Z"'),
        (Raw(b'{"exact": 1.10}'), b'{"exact": 1.10}'),
        (False, b"false"),
    ],
)
def test_value_becomes_the_result(value: object, result: bytes) -> None:
    ended = outcome.returned(attempt(), value, context())
    assert isinstance(ended, CompleteOutcome)
    assert (ended.id, ended.token) == (attempt().task.id, attempt().task.token)
    assert isinstance(ended.result, Raw)
    assert bytes(ended.result) == result


@pytest.mark.parametrize("value", [None, 5])
def test_what_a_handler_named_goes_along_with_its_result_in_order(value: object) -> None:
    asked = context()
    asked.then(tq.new_task("second", 2))
    asked.then(tq.new_task("third"))
    ended = outcome.returned(attempt(), value, asked)
    assert isinstance(ended, CompleteOutcome)
    assert [task.kind for task in ended.then] == ["second", "third"]


def test_what_a_handler_named_does_not_follow_a_result_that_has_no_json() -> None:
    asked = context()
    asked.then(tq.new_task("second"))
    assert isinstance(outcome.returned(attempt(), object(), asked), FailOutcome)


def test_no_value_is_no_result() -> None:
    ended = outcome.returned(attempt(), None, context())
    assert isinstance(ended, CompleteOutcome)
    assert ended.result is UNSET


class _Hostile:
    @property
    def __dict__(self) -> dict[str, object]:  # type: ignore[override]  # a value may be this strange
        raise RuntimeError("do not look")


@pytest.mark.parametrize("value", [object(), float("nan"), "\ud800", {1: {2: object()}}, _Hostile()])
def test_value_without_json_fails_for_good(value: object) -> None:
    ended = outcome.returned(attempt(), value, context())
    assert isinstance(ended, FailOutcome)
    assert ended.error is not None
    assert (ended.error.type, ended.retry) == ("UnserialisableResult", False)
    msgspec.json.encode(ended)


def test_exception_is_told_with_its_trace() -> None:
    ended = of(KeyError("missing"))
    assert isinstance(ended, FailOutcome)
    assert ended.error is not None
    assert (ended.error.type, ended.error.message, ended.retry) == ("KeyError", "'missing'", True)
    assert "test_outcome.py" in ended.error.trace


def test_exit_of_a_handler_is_a_failure_like_others() -> None:
    ended = of(SystemExit(3))
    assert isinstance(ended, FailOutcome)
    assert ended.error is not None
    assert (ended.error.type, ended.retry) == ("SystemExit", True)


class _Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_exception_that_cannot_be_read_is_still_told() -> None:
    ended = of(_Unspeakable())
    assert isinstance(ended, FailOutcome)
    assert ended.error is not None
    assert ended.error.type == "_Unspeakable"
    assert "could not be read" in ended.error.message


def test_orders_of_a_handler_are_carried_out() -> None:
    assert of(tq.Snooze(5)) == outcome.given_back(attempt(), delay_s=5)
    assert of(tq.Snooze(-5)) == outcome.given_back(attempt(), delay_s=0)
    later, never, cancelled = of(tq.RetryLater(60, "busy")), of(tq.Reject("bad")), of(tq.Cancelled("ok"))
    assert isinstance(later, FailOutcome)
    assert (later.retry, later.delay_s, later.error and later.error.message) == (True, 60, "busy")
    assert isinstance(never, FailOutcome)
    assert (never.retry, never.error and never.error.type) == (False, "Reject")
    assert isinstance(cancelled, FailOutcome)
    assert (cancelled.retry, cancelled.error and cancelled.error.type) == (False, "Cancelled")


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_any_text_of_a_failure_is_one_a_node_takes(type_name: str, message: str, trace: str) -> None:
    ended = outcome.failed(attempt(), type_name=type_name, message=message * 20, trace=trace * 200)
    assert ended.error is not None
    texts = (ended.error.type, ended.error.message, ended.error.trace)
    for text, most in zip(texts, (100, 2_000, 20_000), strict=True):
        assert len(text) <= most
        assert "\0" not in text
        text.encode()  # raises for a lone surrogate
    assert ended.error.type


def test_cut_trace_keeps_its_end_and_cut_message_its_start() -> None:
    ended = outcome.failed(attempt(), type_name="E", message="a" * 3000 + "z", trace="a" * 30_000 + "z")
    assert ended.error is not None
    assert ended.error.message.startswith("aaa")
    assert ended.error.trace.endswith("az")


DONE = outcome.completed(attempt(), Raw(b"1"))
SNOOZED = outcome.given_back(attempt(), delay_s=9)


@pytest.mark.parametrize("why", [None, Stop.CANCEL, Stop.TIMEOUT, Stop.SHUTDOWN])
def test_work_that_is_done_stays_done(why: Stop | None) -> None:
    one = attempt(timeout_s=1.0)
    if why is not None:
        one.ask_to_stop(why)
    assert outcome.verdict(one, DONE) is DONE


@pytest.mark.parametrize("ended", [DONE, SNOOZED, failed()])
def test_nothing_is_reported_under_a_lost_lease(ended: Outcome) -> None:
    one = attempt()
    one.ask_to_stop(Stop.LOST)
    assert outcome.verdict(one, ended) is None


def test_failure_after_a_cancel_is_reported_as_cancelled() -> None:
    one = attempt()
    one.ask_to_stop(Stop.CANCEL)
    ended = outcome.verdict(one, failed())
    assert isinstance(ended, FailOutcome)
    assert ended.error == tq.wire.Failure(type="Cancelled", message="no", trace="here")
    assert outcome.verdict(one, SNOOZED) is SNOOZED


def test_failure_after_a_timeout_is_reported_as_one() -> None:
    one = attempt(timeout_s=1.5)
    one.ask_to_stop(Stop.TIMEOUT)
    for ended in (outcome.verdict(one, failed()), outcome.verdict(one, SNOOZED), outcome.stopped(one)):
        assert isinstance(ended, FailOutcome)
        assert ended.error is not None
        assert (ended.error.type, ended.retry) == ("Timeout", True)
        assert "1.5" in ended.error.message


def test_failure_at_shutdown_gives_the_task_back() -> None:
    one = attempt()
    one.ask_to_stop(Stop.SHUTDOWN)
    for ended in (outcome.verdict(one, failed()), outcome.verdict(one, SNOOZED), outcome.stopped(one)):
        assert isinstance(ended, SnoozeOutcome)
        assert ended.delay_s == 0
