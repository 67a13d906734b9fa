"""What a call does when things go wrong."""

from typing import Any

import pytest

from tests.tq.driving import (
    NODE,
    OTHER,
    Drive,
    ManualClock,
    Script,
    exchange,
    problem,
    reply,
    task_row,
)
from tq import calls, errors, wire
from tq.effects import Effect, Lost, Reply

ID = "018f0000-0000-7000-8000-000000000001"
UNHEARD = Lost(sent=False, reason="connection refused")
CUT = Lost(sent=True, reason="the connection was closed")


def enqueue() -> calls.Call[wire.Task]:
    return calls.enqueue(calls.new_task("k"), key="the-key")


def claim(wait_s: float = 0.0) -> calls.Call[list[wire.ClaimedTask]]:
    return calls.claim(wire.Claim(worker="w", wait_s=wait_s))


def run(call: calls.Call[Any], script: Script, clock: ManualClock, *urls: str, **options: Any) -> Drive:
    return Drive(exchange(clock, *urls, **options).run(call), script, clock)


def test_an_answer_becomes_the_result() -> None:
    script = Script(reply(task_row(ID), status=201))
    assert run(enqueue(), script, ManualClock()).result.id == ID
    assert script.urls == [f"{NODE}/v1/tasks"]


def test_the_token_goes_with_each_request() -> None:
    script = Script(UNHEARD, reply(task_row(ID)))
    run(calls.get(ID), script, ManualClock(), token="secret")
    assert [request.headers["authorization"] for request in script.requests] == ["Bearer secret"] * 2


@pytest.mark.parametrize(
    "failure",
    [
        UNHEARD,
        CUT,
        problem(503, "overloaded", retry_after="1"),
        problem(429, "queue_full", retry_after_s=0.5),
        problem(504, "outcome_unknown"),
        problem(408, "request_timeout"),
        Reply(status=502, headers={"content-type": "text/html"}, body=b"<h1>Bad Gateway</h1>"),
        Reply(status=503, headers={}, body=b""),
        Reply(status=504, headers={}, body=b""),
    ],
)
def test_an_enqueue_is_sent_again_with_the_same_key_and_body(failure: Reply | Lost) -> None:
    script = Script(failure, failure, reply(task_row(ID), status=201))
    drive = run(enqueue(), script, ManualClock())
    assert drive.result.id == ID
    assert len(drive.pauses) == 2
    assert [request.headers["idempotency-key"] for request in script.requests] == ["the-key"] * 3
    assert len({request.body for request in script.requests}) == 1


@pytest.mark.parametrize("call", [claim(), calls.retry(ID), calls.purge("q", None)])
def test_what_cannot_be_repeated_is_sent_once_when_its_answer_is_lost(call: calls.Call[Any]) -> None:
    script = Script(CUT)
    with pytest.raises(errors.OutcomeUnknown, match="may or may not have been carried out") as caught:
        run(call, script, ManualClock())
    assert len(script.requests) == 1
    assert isinstance(caught.value.__cause__, errors.TqUnavailable)


def test_what_cannot_be_repeated_is_unknown_when_a_gateway_lost_the_node() -> None:
    gateway = Script(Reply(status=502, headers={"content-type": "text/html"}, body=b"<h1>Bad Gateway</h1>"))
    with pytest.raises(errors.OutcomeUnknown, match="Bad Gateway") as caught:
        run(claim(), gateway, ManualClock())
    assert caught.value.status == 502
    assert len(gateway.requests) == 1


@pytest.mark.parametrize("failure", [UNHEARD, problem(503, "draining", retry_after="1")])
def test_a_claim_that_was_certainly_not_made_is_sent_again(failure: Reply | Lost) -> None:
    script = Script(failure, reply({"tasks": []}))
    assert run(claim(), script, ManualClock()).result == []
    assert len(script.requests) == 2


def test_a_refusal_without_a_time_to_come_again_does_not_repeat_a_claim() -> None:
    script = Script(problem(503, "overloaded"))
    with pytest.raises(errors.Overloaded):
        run(claim(), script, ManualClock())
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (problem(422, "invalid_field", field="priority", limit=255), errors.InvalidField),
        (problem(409, "lease_lost", task=ID), errors.LeaseLost),
        (problem(404, "task_not_found"), errors.TaskNotFound),
        (problem(500, "internal", request_id="r-1"), errors.ServerError),
        (problem(418, "teapot"), errors.ApiError),
    ],
)
def test_a_definite_answer_is_never_asked_for_twice(answer: Reply, kind: type[errors.ApiError]) -> None:
    script = Script(answer)
    with pytest.raises(kind) as caught:
        run(enqueue(), script, ManualClock())
    assert len(script.requests) == 1
    assert caught.value.status == answer.status
    assert caught.value.problem is not None
    assert caught.value.code == caught.value.problem.code


def test_an_error_carries_the_facts_of_its_problem() -> None:
    script = Script(
        problem(409, "unique_conflict", task=ID, field="unique", limit="k", request_id="r", retry_after_s=2)
    )
    with pytest.raises(errors.UniqueConflict) as caught:
        run(enqueue(), script, ManualClock())
    error = caught.value
    assert (error.task, error.field, error.limit, error.request_id) == (ID, "unique", "k", "r")
    assert (error.detail, error.retry_after_s, error.status) == ("so", 2.0, 409)


def test_a_page_of_something_else_is_an_error_with_a_bounded_excerpt() -> None:
    page = Reply(status=200, headers={"content-type": "text/html"}, body=b"<h1>It works!</h1>\0" * 5000)
    with pytest.raises(errors.ApiError, match="http://node:7333 answered 200, not as a node does") as caught:
        run(enqueue(), Script(page), ManualClock())
    assert caught.value.status == 200
    assert "<h1>It works!</h1>" in str(caught.value)
    assert len(str(caught.value)) < 500
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"status": 400}', b""])
def test_a_problem_that_is_none_is_quoted_like_any_page(body: bytes) -> None:
    answer = Reply(status=400, headers={"content-type": "application/problem+json"}, body=body)
    with pytest.raises(errors.ApiError, match="answered 400, not as a node does") as caught:
        run(enqueue(), Script(answer), ManualClock())
    assert caught.value.problem is None


def test_an_unreachable_node_is_named_with_what_to_do() -> None:
    with pytest.raises(errors.TqUnavailable) as caught:
        run(enqueue(), Script(UNHEARD), ManualClock())
    assert f"cannot reach {NODE}: connection refused" in str(caught.value)
    assert "TQ_URL" in str(caught.value)


def test_attempts_end_after_the_retries() -> None:
    script, clock = Script(UNHEARD), ManualClock()
    with pytest.raises(errors.TqUnavailable):
        run(enqueue(), script, clock, retries=3)
    assert len(script.requests) == 4


def test_attempts_end_with_the_time_that_the_call_may_take() -> None:
    script, clock = Script(problem(503, "overloaded", retry_after="2")), ManualClock()
    began = clock.now
    with pytest.raises(errors.Overloaded):
        run(enqueue(), script, clock, retries=1000, timeout_s=9.0)
    assert clock.now - began < 9.0
    assert 2 <= len(script.requests) <= 5


def test_a_node_that_is_busy_for_longer_than_the_call_may_take_is_not_waited_for() -> None:
    script, clock = Script(problem(503, "overloaded", retry_after="3600")), ManualClock()
    began = clock.now
    with pytest.raises(errors.Overloaded) as caught:
        run(enqueue(), script, clock)
    assert clock.now == began
    assert caught.value.retry_after_s == 3600


def test_a_pause_is_at_least_what_the_node_asks_for() -> None:
    script = Script(problem(503, "overloaded", retry_after="2"), reply(task_row(ID)))
    assert run(enqueue(), script, ManualClock()).pauses[0] >= 2.0


def test_a_write_whose_answers_were_all_lost_is_unknown_not_unavailable() -> None:
    script = Script(CUT, UNHEARD)
    with pytest.raises(errors.OutcomeUnknown, match="POST /v1/tasks may or may not"):
        run(enqueue(), script, ManualClock())
    assert len(script.requests) == 6


def test_a_read_whose_answers_were_all_lost_is_unavailable() -> None:
    with pytest.raises(errors.TqUnavailable, match="no answer from"):
        run(calls.get(ID), Script(CUT), ManualClock())


def test_a_delete_that_finds_nothing_after_a_lost_answer_has_done_its_work() -> None:
    script = Script(CUT, problem(404, "task_not_found"))
    assert run(calls.delete(ID), script, ManualClock()).result is None
    with pytest.raises(errors.TaskNotFound):
        run(calls.delete(ID), Script(UNHEARD, problem(404, "task_not_found")), ManualClock())


def test_a_node_that_cannot_be_reached_leads_to_the_next_without_a_pause() -> None:
    script = Script(UNHEARD, reply(task_row(ID)))
    drive = run(enqueue(), script, ManualClock(), NODE, OTHER)
    assert drive.pauses == []
    assert script.urls == [f"{NODE}/v1/tasks", f"{OTHER}/v1/tasks"]


def test_every_node_is_asked_once_before_each_pause() -> None:
    script, clock = Script(UNHEARD), ManualClock()
    with pytest.raises(errors.TqUnavailable, match=f"cannot reach {NODE} or {OTHER}"):
        run(enqueue(), script, clock, NODE, OTHER, retries=2)
    assert script.urls == [f"{NODE}/v1/tasks", f"{OTHER}/v1/tasks"] * 3


def test_the_node_that_answered_is_asked_first_next_time() -> None:
    clock, script = ManualClock(), Script(UNHEARD, reply(task_row(ID)))
    nodes = exchange(clock, NODE, OTHER)
    Drive(nodes.run(calls.get(ID)), script, clock)
    Drive(nodes.run(calls.get(ID)), script, clock)
    assert [url.partition("/v1")[0] for url in script.urls] == [NODE, OTHER, OTHER]


def test_a_node_without_a_leader_leads_to_the_next_one() -> None:
    script = Script(problem(503, "no_leader", retry_after="1"), reply(task_row(ID)))
    run(enqueue(), script, ManualClock(), NODE, OTHER)
    assert script.urls == [f"{NODE}/v1/tasks", f"{OTHER}/v1/tasks"]


def test_a_node_that_hangs_leaves_time_to_ask_another() -> None:
    clock, script = ManualClock(), Script(CUT, CUT, CUT, reply(task_row(ID)))
    began = clock.now
    waited: list[float] = []

    def hang(effect: Effect) -> Reply | Lost:
        answer: Reply | Lost = script(effect)
        if isinstance(answer, Lost):
            waited.append(script.requests[-1].until - clock.now)
            clock.now = script.requests[-1].until
        return answer

    Drive(exchange(clock, NODE, OTHER, timeout_s=60.0).run(enqueue()), hang, clock)
    # Each is given twice as long as the one before, so that a slow node is not asked again and again.
    assert waited == pytest.approx([5.0, 10.0, 20.0], abs=0.1)
    assert clock.now - began < 60.0


def test_one_node_alone_may_take_all_the_time_and_several_at_most_half_of_what_is_left() -> None:
    clock, script = ManualClock(), Script(reply(task_row(ID)))
    run(enqueue(), script, clock, NODE, timeout_s=30.0)
    assert script.requests[0].until == clock.now + 30.0
    run(enqueue(), script, clock, NODE, OTHER, timeout_s=6.0)
    assert script.requests[1].until == clock.now + 3.0


def test_a_large_request_may_take_the_time_that_a_slow_line_needs() -> None:
    clock, script = ManualClock(), Script(reply({"results": []}))
    rows = calls.enqueue_rows([b"1" * 1_000_000], partial=False, key="k")
    run(rows, script, clock, NODE, OTHER, timeout_s=100.0)
    assert script.requests[0].until == pytest.approx(clock.now + 15.0, abs=0.1)


def test_a_long_poll_may_take_its_own_time_on_top() -> None:
    clock, script = ManualClock(), Script(reply({"tasks": []}))
    run(claim(wait_s=60.0), script, clock, timeout_s=30.0)
    assert script.requests[0].until == clock.now + 90.0


@pytest.mark.parametrize(("timeout_s", "retries"), [(0.0, 5), (-1.0, 5), (float("nan"), 5), (1.0, -1)])
def test_bounds_that_bound_nothing_are_refused(timeout_s: float, retries: int) -> None:
    with pytest.raises(ValueError, match="timeout_s"):
        exchange(ManualClock(), timeout_s=timeout_s, retries=retries)
