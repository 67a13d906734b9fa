"""Heartbeats and finishes over HTTP."""

from datetime import datetime
from typing import Any

from tests.tqnode.api.conftest import Serve, Served, problem

SOME_ID = "0198c0de-0000-7000-8000-000000000000"


async def say(served: Served, task: dict[str, Any], what: str, **fields: Any) -> Any:
    return await served.http.post(f"/v1/tasks/{task['id']}/{what}", json={"token": task["token"], **fields})


async def read(served: Served, task: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = (await served.http.get(f"/v1/tasks/{task['id']}")).json()
    return body


async def test_complete_keeps_the_result_and_enqueues_what_follows(served: Served) -> None:
    task = await served.claimed()
    answer = await say(served, task, "complete", result={"r": 1}, then=[{"kind": "next", "queue": "q2"}] * 2)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["id"], body["state"], len(body["then"])) == (task["id"], "succeeded", 2)
    assert (await say(served, task, "complete", result=2)).json() == body
    done = await read(served, task)
    assert (done["state"], done["result"]) == ("succeeded", {"r": 1})
    assert {row["id"] for row in await served.claim(queues=["q2"], max=9)} == set(body["then"])


async def test_fail_records_the_error_and_schedules_the_next_attempt(served: Served) -> None:
    task = await served.claimed()
    answer = await say(served, task, "fail", error={"type": "E", "message": "m", "trace": "t"}, delay_s=60)
    assert answer.json()["state"] == "scheduled"
    again = await read(served, task)
    assert again["run_at"] == answer.json()["run_at"]
    (error,) = again["errors"]
    assert (error["type"], error["message"], error["trace"], error["attempt"]) == ("E", "m", "t", 1)
    assert datetime.fromisoformat(error["at"])


async def test_fail_without_retry_is_for_good(served: Served) -> None:
    task = await served.claimed()
    answer = await say(served, task, "fail", retry=False)
    assert (answer.json()["state"], answer.json()["reason"]) == ("dead", "failed_for_good")


async def test_a_retry_policy_decides_when_it_runs_again(served: Served) -> None:
    task = await served.claimed(retry={"type": "fixed", "delay_s": 1000})
    body = (await say(served, task, "fail")).json()
    wait_s = (
        datetime.fromisoformat(body["run_at"]) - datetime.fromisoformat(task["created_at"])
    ).total_seconds()
    assert 999 < wait_s < 1060


async def test_long_errors_are_cut_and_not_refused(serve_with: Serve) -> None:
    async with serve_with(
        error_type_chars_max=10, error_message_chars_max=20, error_trace_chars_max=30
    ) as served:
        task = await served.claimed()
        error = {"type": "é" * 99, "message": "m" * 99, "trace": "t" * 99}
        assert (await say(served, task, "fail", error=error)).status_code == 200
        (kept,) = (await read(served, task))["errors"]
        assert [len(kept[name]) for name in ("type", "message", "trace")] == [10, 20, 30]


async def test_snooze_gives_back_without_spending_the_attempt(served: Served) -> None:
    task = await served.claimed()
    assert (await say(served, task, "snooze")).json()["state"] == "ready"
    (again,) = await served.claim()
    assert (again["id"], again["attempt"]) == (task["id"], 1)
    assert (await say(served, again, "snooze", delay_s=50)).json()["state"] == "scheduled"


async def test_a_heartbeat_resets_the_lease_and_reports_progress(served: Served) -> None:
    task = await served.claimed(lease_s=5)
    answer = await say(served, task, "heartbeat", lease_s=500, progress={"done": 1.50})
    assert answer.status_code == 200
    assert "cancel" not in answer.json()
    assert answer.json()["lease_expires_at"] > task["lease_expires_at"]
    assert (await read(served, task))["progress"] == {"done": 1.5}
    large = await say(served, task, "heartbeat", progress="p" * 17_000)
    assert problem(large) == (422, "invalid_field", "progress")
    await served.http.post(f"/v1/tasks/{task['id']}/cancel")
    assert (await say(served, task, "heartbeat")).json()["cancel"] is True


async def test_a_token_that_is_not_current_changes_nothing(served: Served) -> None:
    task = await served.claimed()
    for token in ("1-0000000000000000", "nonsense", "é" * 60, "9" * 64):
        stale = {**task, "token": token}
        for what in ("heartbeat", "complete", "fail", "snooze"):
            answer = await say(served, stale, what)
            assert problem(answer) == (409, "lease_lost", None)
            assert answer.json()["task"] == task["id"]
    assert (await read(served, task))["state"] == "running"
    assert (await say(served, task, "complete")).status_code == 200
    assert problem(await say(served, task, "fail")) == (409, "lease_lost", None)


async def test_outcomes_are_answered_each_on_its_own_in_order(served: Served) -> None:
    await served.http.post("/v1/tasks", json=[{"kind": "k"}] * 4)
    a, b, c, d = await served.claim(max=4)
    outcomes = [
        {"id": a["id"], "token": a["token"], "outcome": "complete", "result": 1, "then": [{"kind": "n"}]},
        {"id": b["id"], "token": "1-0000000000000000", "outcome": "complete"},
        {"id": SOME_ID, "token": "1-0000000000000000", "outcome": "fail"},
        {"id": "nonsense", "token": "t", "outcome": "snooze"},
        {"id": c["id"].upper(), "token": c["token"], "outcome": "fail", "retry": False},
        {"id": d["id"], "token": d["token"], "outcome": "complete", "result": "x" * 1_048_600},
        {"id": d["id"], "token": d["token"], "outcome": "snooze", "delay_s": 5},
        {"id": d["id"], "token": d["token"], "outcome": "complete", "then": [{"kind": "n", "lease_s": 1e6}]},
    ]
    answer = await served.http.post("/v1/outcomes", json={"outcomes": outcomes})
    assert answer.status_code == 200, answer.text
    rows = answer.json()["results"]
    assert [row["id"].lower() for row in rows] == [outcome["id"].lower() for outcome in outcomes]
    errors = [
        (row["error"]["code"], row["error"].get("field")) if "error" in row else row["state"] for row in rows
    ]
    assert errors == [
        "succeeded",
        ("lease_lost", None),
        ("task_not_found", None),
        ("invalid_field", "outcomes[3].id"),
        "dead",
        ("invalid_field", "outcomes[5].result"),
        "scheduled",
        ("invalid_field", "outcomes[7].then[0].lease_s"),
    ]
    assert len(rows[0]["then"]) == 1
    assert [row["error"]["status"] for row in rows if "error" in row] == [409, 404, 422, 422, 422]
