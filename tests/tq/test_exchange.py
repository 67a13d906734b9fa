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
from tq.effects import Lost, Reply

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
    clock, script = ManualClock(), Script(reply(task_row(ID)))
    run(enqueue(), script, clock, NODE, OTHER, timeout_s=30.0)
    assert script.requests[0].until == clock.now + 15.0
    run(enqueue(), script, clock, NODE, timeout_s=30.0)
    assert script.requests[1].until == clock.now + 30.0


def test_a_long_poll_may_take_its_own_time_on_top() -> None:
    clock, script = ManualClock(), Script(reply({"tasks": []}))
    run(claim(wait_s=60.0), script, clock, timeout_s=30.0)
    assert script.requests[0].until == clock.now + 90.0


def redirect(location: str) -> Reply:
    return Reply(status=307, headers={"location": location}, body=b"")


def test_a_redirect_is_followed_with_method_body_and_key() -> None:
    clock = ManualClock()
    script = Script(redirect(f"{OTHER}/v1/tasks"), reply(task_row(ID)))
    nodes = exchange(clock, NODE, token="t")
    Drive(nodes.run(enqueue()), script, clock)
    first, second = script.requests
    assert (second.method, second.url, second.body) == ("POST", f"{OTHER}/v1/tasks", first.body)
    assert second.headers == first.headers
    Drive(nodes.run(calls.get(ID)), script, clock)
    assert script.urls[-1] == f"{OTHER}/v1/tasks/{ID}"


def test_a_leader_that_went_away_leads_back_to_the_nodes_known() -> None:
    clock = ManualClock()
    script = Script(redirect(f"{OTHER}/v1/tasks"), UNHEARD, reply(task_row(ID)))
    run(enqueue(), script, clock, NODE)
    assert script.urls == [f"{NODE}/v1/tasks", f"{OTHER}/v1/tasks", f"{NODE}/v1/tasks"]


def test_nodes_that_name_each_other_as_leader_are_asked_again_until_the_time_is_over() -> None:
    clock = ManualClock()
    began = clock.now
    script = Script(
        redirect(f"{OTHER}/v1/tasks"), *[redirect(f"{NODE}/v1/tasks"), redirect(f"{OTHER}/v1/tasks")] * 200
    )
    with pytest.raises(errors.TqUnavailable, match="send each other's callers round"):
        run(enqueue(), script, clock, NODE, OTHER, timeout_s=10.0, retries=2)
    assert 8.0 < clock.now - began < 10.0


def test_a_chain_of_redirects_without_end_is_given_up() -> None:
    chain = [redirect(f"http://node-{number}/v1/tasks") for number in range(20)]
    script = Script(*chain)
    with pytest.raises(errors.TqUnavailable, match="round"):
        run(enqueue(), script, ManualClock(), retries=0)
    assert len(script.requests) == 6


def test_a_claim_that_no_node_took_for_its_own_goes_to_the_leader_once_there_is_one() -> None:
    script = Script(redirect(f"{OTHER}/v1/claims"), redirect(f"{NODE}/v1/claims"), reply({"tasks": []}))
    assert run(claim(), script, ManualClock(), NODE).result == []


def test_a_dead_leader_that_all_others_still_name_leads_past_it_to_each_of_them() -> None:
    first, second, third = (f"http://{name}:7333" for name in "abc")
    to_dead = redirect(f"{second}/v1/tasks")
    # The first has a leader that died; so has the third; the second is that leader.
    script = Script(to_dead, UNHEARD, UNHEARD, to_dead, UNHEARD, reply(task_row(ID), status=201))
    drive = run(enqueue(), script, ManualClock(), first, second, third)
    assert drive.result.id == ID
    assert [url.removesuffix("/v1/tasks") for url in script.urls] == [
        first,
        second,
        second,
        third,
        second,
        first,
    ]
    assert len(drive.pauses) == 1


@pytest.mark.parametrize("retries", [1, 5])
def test_an_election_is_waited_for_however_few_retries_there_are(retries: int) -> None:
    clock = ManualClock()
    script = Script(*[problem(503, "no_leader", retry_after_s=0.25)] * 30, reply(task_row(ID), status=201))
    drive = run(enqueue(), script, clock, NODE, OTHER, retries=retries)
    assert drive.result.id == ID
    assert len(drive.pauses) == 15
    assert 0.25 < max(drive.pauses) <= 0.75


def test_an_election_that_does_not_end_is_told_as_such() -> None:
    script = Script(UNHEARD, problem(503, "no_leader", retry_after_s=0.25))
    clock = ManualClock()
    began = clock.now
    with pytest.raises(errors.NoLeader):
        run(enqueue(), script, clock, NODE, OTHER, timeout_s=5.0)
    assert 4.0 < clock.now - began < 5.0


def test_without_retries_every_node_is_asked_once_and_nobody_waits() -> None:
    script = Script(problem(503, "no_leader", retry_after_s=0.25))
    with pytest.raises(errors.NoLeader):
        run(enqueue(), script, ManualClock(), NODE, OTHER, retries=0)
    assert len(script.requests) == 2


def test_a_claim_is_not_sent_again_once_a_node_may_have_carried_it_out() -> None:
    script = Script(problem(503, "no_leader", retry_after_s=0.25), problem(504, "outcome_unknown"))
    with pytest.raises(errors.OutcomeUnknown):
        run(claim(), script, ManualClock(), NODE, OTHER)
    assert len(script.requests) == 2


def test_a_machine_that_is_gone_is_not_waited_for_long_where_another_can_be_asked() -> None:
    script = Script(UNHEARD, redirect(f"{OTHER}/v1/tasks"), reply(task_row(ID)))
    run(enqueue(), script, ManualClock(), NODE)
    run(enqueue(), script, ManualClock(), NODE, OTHER)
    assert [request.connect_s for request in script.requests] == [5.0, 5.0, 2.0, 2.0]


@pytest.mark.parametrize(
    "location",
    [
        "http://node/v1/tasks",
        "ftp://node/v1/tasks",
        "mailto:node",
        "https://node:0/v1/tasks",
        "https://node:99999/v1/tasks",
        "https://[::1/v1/tasks",
        "https://no de/v1/tasks",
        "https://me:secret@other/v1/tasks",
        "https://other/login?next=/v1/tasks",
        "/v1/tasks/",
        "",
    ],
)
def test_a_redirect_away_from_tls_or_to_what_is_no_node_is_refused(location: str) -> None:
    script = Script(redirect(location))
    with pytest.raises(errors.ApiError, match=r"redirects to|Port out of range|Invalid IPv6") as caught:
        run(enqueue(), script, ManualClock(), "https://node", token="t")
    assert caught.value.status == 307
    assert len(script.requests) == 1


@pytest.mark.parametrize(("timeout_s", "retries"), [(0.0, 5), (-1.0, 5), (float("nan"), 5), (1.0, -1)])
def test_bounds_that_bound_nothing_are_refused(timeout_s: float, retries: int) -> None:
    with pytest.raises(ValueError, match="timeout_s"):
        exchange(ManualClock(), timeout_s=timeout_s, retries=retries)
