from typing import Any

import msgspec
import pytest

from tests.tq.scripted_server import Say, free_port, serving
from tests.tq.worker.claims import claimed
from tq.errors import ApiError, Draining, LeaseLost, TqError, TqUnavailable, Unauthorized
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
        assert len(server.got) == 6


def test_second_node_is_asked_after_the_first_was_not_reached() -> None:
    with serving(Say(value={"tasks": []})) as server:
        line = link(f"http://127.0.0.1:{free_port()}", server.url)
        with pytest.raises(TqUnavailable):
            line.claim(CLAIM)
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
