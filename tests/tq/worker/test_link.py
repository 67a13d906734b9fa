import contextlib
from typing import Any

import msgspec
import pytest

from tests.tq.scripted_server import Say, free_port, serving
from tests.tq.worker.claims import claimed
from tq.errors import ApiError, Draining, LeaseLost, NoLeader, TqError, TqUnavailable, Unauthorized
from tq.targets import Targets
from tq.wire import Claim, HeldLease, NewWorker
from tq.worker.link import Link, may_pass, unauthorised

CLAIM = Claim(worker="w", max=5, wait_s=0.0)


def problem(status: int, code: str, **fields: Any) -> Say:
    return Say(
        status=status,
        value={"type": f"/docs/api#{code}", "title": code, "status": status, "code": code, "detail": code}
        | fields,
    )


def link(*urls: str, token: str | None = None) -> Link:
    return Link(Targets(urls), token=token, timeout_s=2.0)


def test_calls_of_a_worker_are_those_of_the_api() -> None:
    answers = (
        Say(status=201, value={"id": "w" * 36, "state": "run", "heartbeat_s": 5.0}),
        Say(value={"tasks": [claimed()]}),
        Say(value={"results": [{"id": "t", "state": "succeeded"}]}),
        Say(value={"state": "quiet", "leases": [{"id": "t", "status": "ok"}]}),
        Say(status=204, raw=b""),
    )
    with serving(*answers) as server:
        line = link(server.url)
        assert line.register(NewWorker(name="me")).heartbeat_s == 5.0
        assert line.claim(CLAIM) == [claimed()]
        assert [row.state for row in line.outcomes([b'{"outcome":"complete","id":"t","token":"x"}'])] == [
            "succeeded"
        ]
        assert line.heartbeat("w", [HeldLease(id="t", token="x")], timeout_s=1).state == "quiet"
        line.deregister("w")
        line.close()
    assert [f"{got.method} {got.path}" for got in server.got] == [
        "POST /v1/workers",
        "POST /v1/claims",
        "POST /v1/outcomes",
        "POST /v1/workers/w/heartbeat",
        "DELETE /v1/workers/w",
    ]
    assert msgspec.json.decode(server.got[2].body)["outcomes"] == [
        {"outcome": "complete", "id": "t", "token": "x"}
    ]


def test_redirect_leads_to_the_node_that_leads() -> None:
    with serving(Say(value={"tasks": [claimed()]})) as leader:
        away = Say(status=307, headers={"location": leader.url + "/v1/claims"})
        with serving(away) as standby:
            targets = Targets((standby.url,))
            line = Link(targets, token="t0ken", timeout_s=2.0)
            assert line.claim(CLAIM) == [claimed()]
            assert line.claim(CLAIM) == [claimed()]
            line.close()
    assert targets.current == leader.url
    assert len(standby.got) == 1
    assert [got.headers["authorization"] for got in leader.got] == ["Bearer t0ken"] * 2


def test_redirects_in_a_circle_end() -> None:
    with serving(Say(status=307, headers={"location": "/v1/claims"})) as server:
        line = link(server.url)
        with pytest.raises(TqUnavailable, match="redirects"):
            line.claim(CLAIM)
        line.close()
        assert len(server.got) == 1


def test_redirects_without_end_are_given_up() -> None:
    with contextlib.ExitStack() as stack:
        answers: list[Say] = [Say(value={"tasks": []})]
        nodes = [stack.enter_context(serving(answers[0]))]
        for _ in range(8):
            moved = Say(status=307, headers={"location": f"{nodes[-1].url}/v1/claims"})
            nodes.append(stack.enter_context(serving(moved)))
        line = link(nodes[-1].url)
        with pytest.raises(TqUnavailable, match="redirects"):
            line.claim(CLAIM)
        line.close()
        assert [len(node.got) for node in nodes] == [0, 0, 0, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("code", ["no_leader", "draining", "disk_full"])
def test_node_that_certainly_did_nothing_is_passed_over_at_once(code: str) -> None:
    with serving(problem(503, code)) as other, serving(Say(value={"tasks": [claimed()]})) as leader:
        line = link(f"http://127.0.0.1:{free_port()}", other.url, leader.url)
        assert line.claim(CLAIM) == [claimed()]
        assert line.claim(CLAIM) == [claimed()]
        line.close()
    assert (len(other.got), len(leader.got)) == (1, 2)


def test_each_node_is_asked_once_while_there_is_no_leader() -> None:
    with serving(problem(503, "no_leader", retry_after_s=0.25)) as one, serving(one.answers[0]) as other:
        line = link(one.url, other.url)
        with pytest.raises(NoLeader) as caught:
            line.claim(CLAIM)
        line.close()
    assert may_pass(caught.value)
    assert caught.value.retry_after_s == 0.25
    assert (len(one.got), len(other.got)) == (1, 1)


def test_dead_leader_that_others_still_name_is_passed_over() -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    moved = Say(status=307, headers={"location": f"{dead}/v1/claims"})
    with serving(moved) as one, serving(moved) as other, serving(Say(value={"tasks": [claimed()]})) as third:
        line = link(one.url, other.url, third.url)
        assert line.claim(CLAIM) == [claimed()]
        line.close()
    assert (len(one.got), len(other.got), len(third.got)) == (1, 1, 1)


def test_claim_whose_answer_was_lost_is_not_made_at_another_node() -> None:
    with serving(Say(cut_after=0)) as dying, serving(Say(value={"tasks": [claimed()]})) as other:
        line = link(dying.url, other.url)
        with pytest.raises(TqUnavailable):
            line.claim(CLAIM)
        assert other.got == []
        assert line.claim(CLAIM) == [claimed()]
        line.close()
    assert len(dying.got) == 1


def test_outcome_goes_to_the_new_leader_with_the_same_token() -> None:
    row = b'{"outcome":"complete","id":"t","token":"x"}'
    with serving(Say(value={"results": [{"id": "t", "state": "succeeded"}]})) as leader:
        moved = Say(status=307, headers={"location": f"{leader.url}/v1/outcomes"})
        with serving(problem(503, "no_leader")) as old, serving(moved) as other:
            line = link(old.url, other.url)
            assert [answer.state for answer in line.outcomes([row])] == ["succeeded"]
            line.close()
    assert len({got.body for node in (old, other, leader) for got in node.got}) == 1


def test_second_node_is_asked_when_the_first_is_not_reached() -> None:
    with serving(Say(value={"tasks": []})) as server:
        line = link(f"http://127.0.0.1:{free_port()}", server.url)
        assert line.claim(CLAIM) == []
        line.close()


def test_refusals_come_out_as_what_they_are() -> None:
    answers = (
        problem(409, "lease_lost"),
        problem(401, "unauthorized"),
        problem(503, "draining", retry_after_s=2.5),
        Say(status=502, raw=b"<html>bad gateway</html>"),
        Say(value={"nothing": "of that kind"}),
    )
    with serving(*answers) as server:
        line = link(server.url)
        errors: list[TqError] = []
        for _ in answers:
            with pytest.raises(TqError) as caught:
                line.claim(CLAIM)
            errors.append(caught.value)
        line.close()
    assert [type(error) for error in errors] == [LeaseLost, Unauthorized, Draining, ApiError, ApiError]
    assert errors[2].retry_after_s == 2.5
    assert [may_pass(error) for error in errors] == [False, False, True, True, True]
    assert [unauthorised(error) for error in errors] == [False, True, False, False, False]


def test_line_that_was_broken_off_asks_no_more() -> None:
    with serving(Say(value={"tasks": []})) as server:
        line = link(server.url)
        line.break_off()
        with pytest.raises(TqUnavailable):
            line.claim(CLAIM)
        assert server.got == []
