"""How a call finds the leader: along redirects, past nodes that are gone, through an election."""

import pytest

from tests.tq.driving import NODE, OTHER, Drive, ManualClock, Script, exchange, problem, reply, task_row
from tests.tq.test_exchange import ID, UNHEARD, claim, enqueue, run
from tq import calls, errors
from tq.effects import Reply


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
