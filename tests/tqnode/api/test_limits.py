"""Limits over HTTP."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.tqnode.api.conftest import Serve, Served, problem


async def put(served: Served, name: str = "few", **fields: Any) -> httpx.Response:
    return await served.http.put(f"/v1/limits/{name}", json=fields)


async def test_a_limit_is_made_changed_read_and_deleted(served: Served) -> None:
    answer = await put(served, queue="q", key="c:*", running=0, rate=3, per_s=0.5)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    told = {field: value for field, value in made.items() if not field.endswith("_at")}
    assert told == {
        "name": "few",
        "queue": "q",
        "key": "c:*",
        "running": 0,
        "rate": 3,
        "per_s": 0.5,
        "burst": 3,
    }
    assert (await served.http.get("/v1/limits/few")).json() == made
    changed = await put(served, queue="q", fair=True)
    assert changed.status_code == 200
    assert {"queue", "fair"} == changed.json().keys() - {"name", "created_at", "updated_at"}
    assert (await served.http.get("/v1/limits")).json() == {"limits": [changed.json()]}
    assert (await served.http.delete("/v1/limits/few")).status_code == 204
    missing = await served.http.get("/v1/limits/few")
    assert problem(missing) == (404, "limit_not_found", None)


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"running": 1}, "missing_field", "queue"),
        ({"queue": "q"}, "missing_field", "running"),
        ({"key": "a", "fair": True}, "invalid_field", "fair"),
        ({"queue": "q", "running": 1, "burst": 1}, "invalid_field", "burst"),
        ({"queue": "q", "running": 1, "per_s": 1}, "invalid_field", "per_s"),
        ({"queue": "q", "running": -1}, "invalid_field", "running"),
        ({"queue": "q", "rate": 0}, "invalid_field", "rate"),
        ({"key": "a*b", "running": 1}, "invalid_field", "key"),
        ({"key": "a*\n", "running": 1}, "invalid_field", "key"),
        ({"key": "a" * 300, "running": 1}, "invalid_field", "key"),
        ({"key": "", "running": 1}, "invalid_field", "key"),
        ({"queue": "q", "runing": 1}, "unknown_field", "runing"),
    ],
)
async def test_a_limit_that_makes_no_sense_is_refused_with_its_field(
    served: Served, fields: dict[str, Any], code: str, field: str
) -> None:
    assert problem(await put(served, **fields)) == (422, code, field)
    assert (await served.http.get("/v1/limits")).json() == {"limits": []}


async def test_more_limits_than_allowed_and_two_on_the_same_tasks_are_refused(serve_with: Serve) -> None:
    async with serve_with(limits_max=1) as served:
        assert (await put(served, key="a", running=1)).status_code == 201
        assert problem(await put(served, "other", key="a", running=1)) == (422, "limit_exists", "key")
        assert problem(await put(served, "other", key="b", running=1))[1] == "too_many_limits"


@pytest.mark.parametrize("key", ["", "a*", "*", "a" * 300, 7])
async def test_a_key_that_no_task_may_have_is_refused(served: Served, key: Any) -> None:
    answer = await served.http.post("/v1/tasks", json={"kind": "k", "limit_key": key})
    assert problem(answer) == (422, "invalid_field", "limit_key")


async def test_a_task_s_key_is_told_wherever_the_task_is(served: Served) -> None:
    made = await served.enqueue(limit_key="c:4 2")
    await served.enqueue(limit_key="other")
    assert made["limit_key"] == "c:4 2"
    page = await served.http.get("/v1/tasks", params={"limit_key": "c:4 2"})
    assert [task["id"] for task in page.json()["tasks"]] == [made["id"]]
    (task,) = await served.claim()
    assert task["limit_key"] == "c:4 2"
    then = {"token": task["token"], "then": [{"kind": "k", "limit_key": "later"}]}
    finished = (await served.http.post(f"/v1/tasks/{task['id']}/complete", json=then)).json()
    (after,) = finished["then"]
    assert (await served.http.get(f"/v1/tasks/{after}")).json()["limit_key"] == "later"
    schedule = {"every_s": 60, "task": {"kind": "k", "limit_key": "often"}}
    answer = await served.http.put("/v1/schedules/s", json=schedule)
    assert answer.json()["task"]["limit_key"] == "often"


async def test_a_claim_that_waits_gets_the_task_when_a_slot_is_free(served: Served) -> None:
    await put(served, key="*", running=1)
    first, second = await served.enqueue(limit_key="a"), await served.enqueue(limit_key="a")
    (task,) = await served.claim(max=5)
    assert task["id"] == first["id"]
    claiming = asyncio.create_task(served.claim(wait_s=20))
    await asyncio.sleep(0)
    body = {"token": task["token"]}
    assert (await served.http.post(f"/v1/tasks/{task['id']}/complete", json=body)).status_code == 200
    (after,) = await asyncio.wait_for(claiming, 20)
    assert after["id"] == second["id"]
