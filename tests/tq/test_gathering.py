"""Enqueues that meet at one client: what goes in one request, and that each caller gets what is its own."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import tq
from tests.tq.crowd import Call, Crowd
from tests.tq.driving import problem, reply
from tq import errors, wire
from tq.effects import Lost, Send, Wait


def crowd_of(count: int, **options: Any) -> tuple[Crowd, Call, list[Call]]:
    """One caller whose request is under way, and ``count`` that came meanwhile."""
    crowd = Crowd(**options)
    first = crowd.call(0)
    return crowd, first, [crowd.call(number) for number in range(1, count + 1)]


def gathered(count: int) -> tuple[Crowd, list[Call]]:
    """Callers of one batch, the first of whom is about to send it."""
    crowd, first, rest = crowd_of(count)
    crowd.step(first)
    crowd.step(rest[0])
    return crowd, rest


def test_the_first_goes_at_once_and_those_that_come_meanwhile_go_together() -> None:
    crowd, first, rest = crowd_of(3)
    assert [row["payload"] for row in first.rows] == [0]
    assert all(isinstance(call.asks, Wait) for call in rest)
    crowd.step(first)
    crowd.step(rest[0])
    assert [row["payload"] for row in rest[0].rows] == [1, 2, 3]
    crowd.step(rest[0])
    crowd.finish()
    assert [crowd.store.numbers[call.task.id] for call in crowd.calls] == [0, 1, 2, 3]


def test_one_that_came_meanwhile_goes_as_a_lone_one() -> None:
    crowd, first, (second,) = crowd_of(1)
    crowd.step(first)
    crowd.step(second)
    assert (second.request.body or b"").startswith(b"{")
    crowd.finish()
    assert second.task.kind == "k"


def test_a_lone_caller_never_waits() -> None:
    crowd = Crowd()
    for number in range(3):
        call = crowd.call(number)
        assert not isinstance(call.asks, Wait)
        crowd.step(call)
        assert call.task


def test_those_answered_together_meet_again_but_wait_for_nobody_who_stays_away() -> None:
    crowd, rest = gathered(3)
    crowd.clock.now += 0.001
    crowd.step(rest[0])
    for call in rest[1:]:
        crowd.step(call)
    again = [crowd.call(number) for number in (4, 5)]
    assert all(isinstance(call.asks, Wait) and call.asks.seconds <= 0.002 for call in again[:1])
    assert not crowd.ready(again[0])
    again.append(crowd.call(6))
    assert crowd.ready(again[0])
    crowd.step(again[0])
    assert len(again[0].rows) == 3
    crowd.clock.now += 0.001
    crowd.step(again[0])
    late = crowd.call(7)
    crowd.step(late)
    assert len(late.rows) == 1
    crowd.clock.now += 1.0
    crowd.finish()
    assert not isinstance(crowd.call(8).asks, Wait)


@pytest.mark.parametrize(
    "options",
    [
        {"unique": wire.Unique(key="u")},
        {"delay_s": 1.0},
        {"run_at": datetime(2030, 1, 1, tzinfo=UTC)},
        {"expires_at": datetime(2030, 1, 1, tzinfo=UTC)},
        {"priority": 256},
        {"kind": ""},
    ],
)
def test_a_task_whose_answer_only_the_node_knows_goes_alone_and_at_once(options: dict[str, Any]) -> None:
    crowd, _, _ = crowd_of(1)
    call = crowd.call(2, **options)
    assert len(call.rows) == 1


def test_tasks_go_singly_until_the_node_has_said_what_it_gives_those_that_leave_it_open() -> None:
    crowd = Crowd()
    crowd.store.lease_s = 7.5
    first = crowd.call(0, max_attempts=3)
    rest = [crowd.call(number) for number in (1, 2, 3)]
    crowd.step(first)
    crowd.step(rest[0])
    assert len(rest[0].rows) == 1
    crowd.step(rest[1])
    assert isinstance(rest[1].asks, Wait)
    crowd.step(rest[0])
    crowd.step(rest[1])
    assert len(rest[1].rows) == 2
    crowd.finish()
    first = crowd.call(3)
    more = [crowd.call(4), crowd.call(5, max_attempts=2, lease_s=0.0001)]
    crowd.step(first)
    crowd.step(more[0])
    assert len(more[0].rows) == 2
    crowd.finish()
    assert [(call.task.max_attempts, call.task.lease_s) for call in more] == [(10, 7.5), (2, 0.001)]


def test_what_a_node_gives_is_asked_anew_after_any_trouble() -> None:
    crowd, rest = gathered(2)
    crowd.step(rest[0], "busy")
    crowd.step(rest[0])
    crowd.step(rest[0])
    crowd.finish()
    crowd.store.lease_s = 9.0
    first = crowd.call(3, lease_s=1.0)
    again = [crowd.call(4), crowd.call(5)]
    crowd.step(first)
    crowd.finish()
    assert [call.task.lease_s for call in again] == [9.0, 9.0]


def test_a_batch_holds_no_more_tasks_than_a_request_may() -> None:
    crowd, first, rest = crowd_of(1001)
    crowd.step(first)
    crowd.step(rest[0])
    assert len(rest[0].rows) == 1000
    crowd.finish()
    assert crowd.store.made() == list(range(1002))


def test_a_batch_holds_no_more_bytes_than_a_request_may() -> None:
    crowd = Crowd()
    crowd.bounds.bytes = 200
    first = crowd.call(0)
    rest = [crowd.call(number, meta=tq.Raw(b'{"a":"%s"}' % (b"x" * 40))) for number in range(1, 5)]
    big = crowd.call(5, meta=tq.Raw(b'{"a":"%s"}' % (b"x" * 400)))
    crowd.step(first)
    crowd.step(rest[0])
    assert len(rest[0].request.body or b"") <= 202
    assert len(rest[0].rows) == 2
    crowd.finish()
    assert crowd.store.made() == list(range(6))
    assert big.task


def test_a_node_that_takes_less_is_believed() -> None:
    crowd, rest = gathered(5)
    rest[0].go_on(problem(422, "batch_too_large", limit=2))
    crowd.finish()
    assert crowd.store.made() == list(range(6))
    assert crowd.bounds.rows == 2


def test_one_that_is_refused_fails_no_other() -> None:
    crowd = Crowd()
    first = crowd.call(0)
    good, bad, full = crowd.call(1), crowd.call(2, kind="refused"), crowd.call(3, queue="full")
    other = crowd.call(4)
    crowd.step(first)
    crowd.finish()
    assert crowd.store.made() == [0, 1, 4]
    assert good.task.id != other.task.id
    assert isinstance(bad.end, errors.InvalidField)
    assert bad.end.field == "kind"
    assert isinstance(full.end, errors.QueueFull)


def test_a_full_queue_is_waited_for_by_its_own_callers_alone() -> None:
    crowd = Crowd()
    first = crowd.call(0)
    full, other = crowd.call(1, queue="full"), crowd.call(2)
    began = crowd.clock.now
    crowd.step(first)
    crowd.step(full)
    crowd.step(full)
    while other.end is None:
        crowd.step(other)
    assert crowd.clock.now == began
    crowd.finish()
    assert isinstance(full.end, errors.QueueFull)


def test_a_refusal_after_a_lost_answer_is_an_unknown_outcome_and_nothing_is_sent_again() -> None:
    crowd, rest = gathered(2)
    crowd.step(rest[0], "lost after")
    crowd.step(rest[0])
    rest[0].go_on(problem(422, "invalid_field", field="[0].kind"))
    crowd.finish()
    assert all(isinstance(call.end, errors.OutcomeUnknown) for call in rest)
    assert crowd.store.made() == [0, 1, 2]


def test_an_error_of_the_node_reaches_every_caller_as_its_own() -> None:
    crowd, rest = gathered(3)
    rest[0].go_on(problem(403, "forbidden", request_id="r"))
    crowd.finish()
    ends = [call.end for call in rest]
    assert [type(end) for end in ends] == [errors.Forbidden] * 3
    assert [getattr(end, "request_id", None) for end in ends] == ["r"] * 3
    assert len({id(end) for end in ends}) == 3


def test_a_batch_is_sent_again_as_it_was() -> None:
    crowd, rest = gathered(2)
    sent = rest[0].request
    crowd.step(rest[0], "lost after")
    late = crowd.call(9)
    crowd.step(rest[0])
    again = rest[0].request
    assert (sent.body, sent.headers["idempotency-key"]) == (again.body, again.headers["idempotency-key"])
    crowd.finish()
    assert late.task
    assert crowd.store.made() == [0, 1, 2, 9]


@pytest.mark.parametrize("body", [b'{"results":[]}', b'{"results":[{},{}]}', b"<html>"])
def test_an_answer_that_does_not_fit_the_batch_is_an_error_for_all(body: bytes) -> None:
    crowd, rest = gathered(2)
    rest[0].go_on(reply({}).__class__(status=201, headers={}, body=body))
    crowd.finish()
    assert all(type(call.end) is errors.ApiError for call in rest)


def test_a_caller_that_is_stopped_before_its_batch_goes_leaves_its_task_out() -> None:
    crowd, first, rest = crowd_of(4)
    rest[0].stop(KeyboardInterrupt())
    rest[2].stop(KeyboardInterrupt())
    crowd.step(first)
    crowd.finish()
    assert crowd.store.made() == [0, 2, 4]


def test_a_caller_that_is_stopped_while_it_sends_hands_the_same_request_to_the_next() -> None:
    crowd, rest = gathered(3)
    sent = rest[0].request
    crowd.store.answer(sent)
    rest[0].stop(KeyboardInterrupt())
    assert crowd.ready(rest[1])
    crowd.step(rest[1])
    again = rest[1].request
    assert (sent.body, sent.headers["idempotency-key"]) == (again.body, again.headers["idempotency-key"])
    crowd.finish()
    assert crowd.store.made() == [0, 1, 2, 3]
    assert rest[2].task


@pytest.mark.parametrize("refusal", [problem(422, "invalid_field"), Lost(sent=False, reason="gone")])
def test_a_request_taken_over_that_has_no_answer_is_an_unknown_outcome(refusal: Any) -> None:
    crowd, rest = gathered(3)
    crowd.stop(rest[0], "stop late")
    crowd.step(rest[1])
    while rest[1].end is None:
        if isinstance(rest[1].asks, Send):
            rest[1].go_on(refusal)
        else:
            crowd.step(rest[1])
    crowd.finish()
    assert all(isinstance(call.end, errors.OutcomeUnknown) for call in rest[1:])
    assert crowd.store.made() == [0, 1, 2, 3]


def test_when_all_callers_of_a_batch_are_stopped_the_next_batch_goes() -> None:
    crowd, rest = gathered(2)
    late = [crowd.call(number) for number in (3, 4)]
    for call in rest:
        call.stop(KeyboardInterrupt())
    assert crowd.ready(late[0])
    crowd.step(late[0])
    assert len(late[0].rows) == 2
    crowd.finish()
    assert crowd.store.made() == [0, 3, 4]


def test_a_request_that_hangs_holds_up_nobody_for_long() -> None:
    crowd, _ = gathered(2)
    crowd.finish()
    began = crowd.clock.now
    hanging = crowd.call(3)
    rest = [crowd.call(number) for number in (4, 5)]
    crowd.step(rest[0])
    assert crowd.clock.now - began == pytest.approx(0.5)
    assert len(rest[0].rows) == 2
    crowd.step(rest[0])
    # Only those that waited: the next ones do not wait for the one that hangs.
    crowd.clock.now += 0.1
    assert not isinstance(crowd.call(6).asks, Wait)
    assert hanging.asks is not None
    crowd.finish()
    assert crowd.store.made() == list(range(7))


def test_a_first_request_that_hangs_holds_up_nobody_for_long_either() -> None:
    crowd, _, rest = crowd_of(3)
    began = crowd.clock.now
    crowd.step(rest[0])
    assert len(rest[0].rows) == 1
    # It hangs, too; what the node gives is not known yet.
    crowd.step(rest[1])
    crowd.step(rest[1])
    assert crowd.clock.now - began == pytest.approx(1.0)
    crowd.step(rest[1])
    crowd.finish()
    assert crowd.store.made() == [0, 1, 2, 3]


def test_a_caller_whose_time_is_over_before_its_turn_comes_was_not_sent() -> None:
    crowd, _, rest = crowd_of(3, timeout_s=2.0)
    crowd.clock.now += 2.0
    for call in rest:
        call.go_on()
    assert all(isinstance(call.end, errors.TqUnavailable) for call in rest)
    crowd.finish()
    assert crowd.store.made() == [0]


def test_the_time_in_line_is_part_of_the_time_of_a_call() -> None:
    crowd, first, rest = crowd_of(1, timeout_s=2.0)
    began = crowd.clock.now
    crowd.step(rest[0])
    while rest[0].end is None:
        crowd.step(rest[0], "unsent")
    assert isinstance(rest[0].end, errors.TqUnavailable)
    assert crowd.clock.now - began <= 2.0
    assert first.end is None


def test_a_caller_whose_batch_is_long_overdue_is_let_go() -> None:
    crowd, rest = gathered(2)
    crowd.clock.now += 36.0
    rest[1].go_on()
    assert isinstance(rest[1].end, errors.OutcomeUnknown)
    assert rest[0].asks is not None


FAULTS = ("", "", "busy", "unsent", "lost before", "lost after", "stop", "stop late")
Moves = list[tuple[int, int, str]]
MOVES: st.SearchStrategy[Moves] = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 30), st.sampled_from(FAULTS)), max_size=60
)


BATCH: Moves = [(0, 0, ""), (0, 0, ""), (0, 0, ""), (1, 0, ""), (1, 0, "")]


@given(MOVES)
@example([*BATCH, (1, 0, "stop"), (1, 0, "lost after")])
@example([*BATCH, (1, 0, "busy"), (1, 0, "stop")])
def test_whatever_happens_each_caller_gets_its_own_end_and_no_task_is_made_twice(moves: Moves) -> None:
    crowd = Crowd()
    for move, which, fault in moves:
        waiting = crowd.open_calls()
        if move == 0 or not waiting:
            number = len(crowd.calls)
            crowd.call(
                number, kind="refused" if which % 7 == 3 else "k", queue="full" if which % 11 == 5 else "q"
            )
            continue
        call = waiting[which % len(waiting)]
        if fault.startswith("stop"):
            crowd.stop(call, fault)
        elif move == 3 or crowd.ready(call):
            crowd.step(call, fault)
    crowd.finish()
    numbers = crowd.store.made()
    assert len(set(numbers)) == len(numbers)
    for number, call in enumerate(crowd.calls):
        assert_end(crowd, number, call, made=number in numbers)
    # Nobody is left in the way of the next.
    crowd.clock.now += 1.0
    after = crowd.call(len(crowd.calls))
    assert not isinstance(after.asks, Wait)


def assert_end(crowd: Crowd, number: int, call: Call, *, made: bool) -> None:
    end = call.end
    if isinstance(end, wire.Task):
        assert crowd.store.numbers[end.id] == number
    elif isinstance(end, errors.InvalidField):
        assert not made
        assert end.field == "kind"
    else:
        assert isinstance(end, errors.TqError | KeyboardInterrupt)
        assert not made or isinstance(end, errors.OutcomeUnknown | KeyboardInterrupt)
