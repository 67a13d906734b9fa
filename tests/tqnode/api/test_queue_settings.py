"""Pauses, drains, settings and quotas over HTTP."""

from typing import Any

import pytest

from tests.tqnode.api.conftest import Served, problem


async def test_a_pause_with_an_end_tells_it_and_gives_out_nothing(served: Served) -> None:
    await served.enqueue("k")
    answer = await served.http.post("/v1/queues/default/pause", json={"for_s": 60, "reason": "deploy"})
    assert answer.status_code == 200
    pause = answer.json()["pause"]
    assert answer.json()["paused"] is True
    assert pause["reason"] == "deploy"
    assert pause["since"] < pause["until"]
    listed = (await served.http.get("/v1/queues")).json()
    assert listed["queues"][0]["pause"] == pause
    claimed = await served.http.post("/v1/claims", json={"queues": ["default"], "worker": "w"})
    assert claimed.json() == {"tasks": []}
    resumed = (await served.http.post("/v1/queues/default/resume")).json()
    assert (resumed["paused"], "pause" in resumed) == (False, False)


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"for_s": 0}, "invalid_field", "for_s"),
        ({"for_s": 1, "until": "2100-01-01T00:00:00Z"}, "invalid_field", "until"),
        ({"until": "2001-01-01T00:00:00Z"}, "invalid_field", "until"),
        ({"until": "2100-01-01T00:00:00"}, "invalid_field", "until"),
        ({"reason": ""}, "invalid_field", "reason"),
        ({"reason": "x" * 501}, "invalid_field", "reason"),
        ({"why": "x"}, "unknown_field", "why"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/queues/default/pause", "/v1/pause"])
async def test_a_wrong_pause_is_refused_by_its_field(
    path: str, body: dict[str, Any], code: str, field: str, served: Served
) -> None:
    await served.enqueue("k")
    assert problem(await served.http.post(path, json=body)) == (422, code, field)


async def test_the_whole_node_is_paused_and_resumed(served: Served) -> None:
    await served.enqueue("k")
    assert (await served.http.get("/v1/pause")).json() == {"paused": False}
    paused = (await served.http.post("/v1/pause", json={"reason": "so"})).json()
    assert (paused["paused"], paused["pause"]["reason"]) == (True, "so")
    assert (await served.http.get("/v1/queues")).json()["pause"]["reason"] == "so"
    ask = {"queues": ["default"], "worker": "w"}
    assert (await served.http.post("/v1/claims", json=ask)).json() == {"tasks": []}
    await served.enqueue("k")
    assert (await served.http.post("/v1/resume")).json() == {"paused": False}
    assert len((await served.http.post("/v1/claims", json=ask | {"max": 5})).json()["tasks"]) == 2


async def test_a_draining_queue_refuses_new_tasks(served: Served) -> None:
    await served.enqueue("k")
    assert (await served.http.post("/v1/queues/default/drain")).json()["draining"] is True
    refused = await served.http.post("/v1/tasks", json={"kind": "k"})
    assert problem(refused) == (409, "queue_draining", None)
    many = await served.http.post("/v1/tasks?partial=true", json=[{"kind": "k"}, {"kind": "k", "queue": "b"}])
    assert [row.get("error", {}).get("code") for row in many.json()["results"]] == ["queue_draining", None]
    assert "draining" not in (await served.http.post("/v1/queues/default/resume")).json()
    await served.enqueue("k")


async def test_settings_are_read_as_they_were_set(served: Served) -> None:
    own = {
        "priority": 7,
        "max_attempts": 3,
        "lease_s": 60.0,
        "retry": {"type": "fixed", "delay_s": 5.0},
        "timeout_s": 9.0,
        "keep_succeeded_s": 60,
        "keep_cancelled_s": 0,
        "keep_dead_s": -1,
        "depth_max": 10,
        "bytes_max": 1000,
        "age_per_minute": 0.5,
    }
    answer = await served.http.patch("/v1/queues/new", json=own)
    assert answer.status_code == 200
    assert answer.json() == {"queue": "new", "paused": False, "counts": {}, "settings": own, "bytes": 0}
    assert (await served.http.get("/v1/queues/new")).json() == answer.json()
    less = await served.http.patch("/v1/queues/new", json=dict.fromkeys(own) | {"priority": 8})
    assert less.json()["settings"] == {"priority": 8}
    none = await served.http.patch("/v1/queues/new", json={"priority": None})
    assert "settings" not in none.json()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"priority": 256}, "priority"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"lease_s": 86_401}, "lease_s"),
        ({"keep_dead_s": -2}, "keep_dead_s"),
        ({"depth_max": 0}, "depth_max"),
        ({"bytes_max": 1.5}, "bytes_max"),
        ({"age_per_minute": 0}, "age_per_minute"),
        ({"age_per_minute": 255.1}, "age_per_minute"),
        ({"age_per_minute": "1"}, "age_per_minute"),
        ({"retry": {"type": "fixed"}}, "retry.delay_s"),
        ({"paused": True}, "paused"),
    ],
)
async def test_a_wrong_setting_is_refused_by_its_field(
    body: dict[str, Any], field: str, served: Served
) -> None:
    answer = await served.http.patch("/v1/queues/q", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert (await served.http.get("/v1/queues/q")).status_code == 404


async def test_the_answer_to_an_enqueue_tells_what_its_queue_gave(served: Served) -> None:
    own = {"priority": 7, "lease_s": 60.0, "retry": {"type": "fixed", "delay_s": 5.0}}
    await served.http.patch("/v1/queues/default", json=own)
    one = (await served.http.post("/v1/tasks", json={"kind": "k", "lease_s": 2})).json()
    assert (one["priority"], one["lease_s"], one["retry"]["delay_s"]) == (7, 2.0, 5.0)
    assert one["given"] == {"priority": 7, "retry": own["retry"]}
    stored = (await served.http.get(f"/v1/tasks/{one['id']}")).json()
    assert {name: stored[name] for name in ("priority", "lease_s", "retry")} == {
        name: one[name] for name in ("priority", "lease_s", "retry")
    }
    many = (await served.http.post("/v1/tasks", json=[{"kind": "k"}, {"kind": "k", "queue": "b"}])).json()
    assert many["results"][0]["given"]["lease_s"] == 60.0
    assert "given" not in many["results"][1]


async def test_a_tick_has_its_queues_settings(served: Served) -> None:
    await served.http.patch("/v1/queues/q", json={"priority": 7})
    task = {"kind": "k", "queue": "q"}
    await served.http.put("/v1/schedules/s", json={"every_s": 1, "task": task})
    stored = await served.queue.scheduler.get("s")
    assert stored.template.spec.unsaid == 31


async def test_a_full_queue_names_the_setting_and_its_limit(served: Served) -> None:
    await served.http.patch("/v1/queues/default", json={"bytes_max": 10})
    full = await served.http.post("/v1/tasks", json={"kind": "k", "payload": "123456789"})
    assert problem(full) == (429, "queue_full", "bytes_max")
    assert full.json()["limit"] == 10
    assert int(full.headers["retry-after"]) >= 1


async def test_priority_that_grows_decides_what_is_claimed(served: Served) -> None:
    answer = await served.http.patch("/v1/queues/default", json={"age_per_minute": 100.0004})
    assert answer.json()["settings"] == {"age_per_minute": 100.0}
    for priority in (0, 254):
        await served.enqueue("k", priority=priority)
    earlier = "UPDATE task SET run_at_ms = run_at_ms - 180000"
    await served.store.write(lambda tx: tx.run_script(earlier))
    await served.enqueue("k", priority=255)
    ask = {"queues": ["default"], "worker": "w", "max": 3}
    claimed = (await served.http.post("/v1/claims", json=ask)).json()["tasks"]
    assert [task["priority"] for task in claimed] == [0, 254, 255], "all at the highest: the oldest first"


async def test_priority_that_grows_and_turns_exclude_each_other(served: Served) -> None:
    await served.http.patch("/v1/queues/q", json={"age_per_minute": 1})
    fair = await served.http.put("/v1/limits/l", json={"queue": "q", "fair": True})
    assert problem(fair) == (422, "invalid_field", "fair")
    await served.http.patch("/v1/queues/q", json={"age_per_minute": None})
    assert (await served.http.put("/v1/limits/l", json={"queue": "q", "fair": True})).status_code == 201
    ages = await served.http.patch("/v1/queues/q", json={"age_per_minute": 1})
    assert problem(ages) == (422, "invalid_field", "age_per_minute")
