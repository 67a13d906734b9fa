"""Batches over HTTP."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.tqnode.api.conftest import Serve, Served, problem
from tests.waiting import eventually_async

NONE = "0198c0de-0000-7000-8000-000000000000"


async def make(served: Served, size: int = 1, **fields: Any) -> dict[str, Any]:
    body = {"tasks": [{"kind": "k"}] * size, **fields}
    answer = await served.http.post("/v1/batches", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def read(served: Served, batch_id: str) -> dict[str, Any]:
    answer = await served.http.get(f"/v1/batches/{batch_id}")
    assert answer.status_code == 200, answer.text
    batch: dict[str, Any] = answer.json()
    return batch


async def complete(served: Served, **fields: Any) -> dict[str, Any]:
    (task,) = await served.claim(**fields)
    answer = await served.http.post(f"/v1/tasks/{task['id']}/complete", json={"token": task["token"]})
    assert answer.status_code == 200
    return task


async def test_a_batch_goes_from_its_tasks_to_its_end_with_its_figures_told(served: Served) -> None:
    callback = {"kind": "done", "queue": "after", "payload": [1], "meta": {"m": 1}, "expires_s": 60}
    made = await make(served, 2, name="import", on_success=callback, on_failure={"kind": "alarm"})
    assert [row["state"] for row in made["results"]] == ["ready", "ready"]
    batch = await read(served, made["id"])
    assert batch.pop("created_at")
    assert batch == {
        "id": made["id"],
        "name": "import",
        "state": "running",
        "total": 2,
        "pending": 2,
        "succeeded": 0,
        "dead": 0,
        "cancelled": 0,
        "on_success": {"kind": "done", "queue": "after"},
        "on_failure": {"kind": "alarm", "queue": "default"},
    }
    for _ in range(2):
        task = await complete(served)
        assert task["batch"] == made["id"]
        assert (await served.http.get(f"/v1/tasks/{task['id']}")).json()["batch"] == made["id"]
    batch = await read(served, made["id"])
    assert (batch["state"], batch["succeeded"]) == ("finished", 2)
    assert batch["finished_at"] == batch["succeeded_at"]
    assert "failed_at" not in batch


async def test_an_open_batch_is_added_to_and_closed(served: Served) -> None:
    made = await make(served, 0, open=True)
    url = f"/v1/batches/{made['id']}"
    added = await served.http.post(
        f"{url}/tasks", json=[{"kind": "k", "ref": "a"}, {"kind": "k", "after": ["#a"]}]
    )
    assert added.status_code == 201, added.text
    assert [row["state"] for row in added.json()["results"]] == ["ready", "blocked"]
    closed = (await served.http.post(f"{url}/close")).json()
    assert (closed["state"], closed["total"]) == ("running", 2)
    await complete(served)
    await complete(served)
    assert problem(await served.http.post(f"{url}/tasks", json=[{"kind": "k"}])) == (
        409,
        "batch_finished",
        None,
    )
    assert (await read(served, made["id"]))["succeeded"] == 2


async def test_a_cancelled_batch_ends_with_its_members_and_takes_no_more(served: Served) -> None:
    made = await make(served, 3)
    url = f"/v1/batches/{made['id']}"
    (task,) = await served.claim()
    batch = (await served.http.post(f"{url}/cancel")).json()
    assert (batch["state"], batch["cancelled"], batch["pending"]) == ("running", 2, 1)
    answer = await served.http.post(f"/v1/tasks/{task['id']}/heartbeat", json={"token": task["token"]})
    assert answer.json()["cancel"] is True
    assert problem(await served.http.post(f"{url}/tasks", json=[{"kind": "k"}])) == (
        409,
        "batch_cancelled",
        None,
    )


async def test_a_repeated_key_makes_nothing_and_another_body_is_refused(served: Served) -> None:
    headers = {"idempotency-key": "k"}
    body = {"tasks": [{"kind": "k"}], "open": True}
    answers = [await served.http.post("/v1/batches", json=body, headers=headers) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    other = await served.http.post("/v1/batches", json={}, headers=headers)
    assert problem(other) == (409, "idempotency_mismatch", None)
    as_tasks = await served.http.post("/v1/tasks", json=[{"kind": "k"}], headers=headers)
    assert problem(as_tasks)[1] == "idempotency_mismatch"
    url = f"/v1/batches/{answers[0].json()['id']}/tasks"
    added = [
        await served.http.post(url, json=[{"kind": "k"}], headers={"idempotency-key": "a"}) for _ in "12"
    ]
    assert added[0].json() == added[1].json()
    assert (await read(served, answers[0].json()["id"]))["total"] == 2


async def test_batches_and_their_members_are_listed(served: Served) -> None:
    made = [await make(served, 2) for _ in range(3)]
    first = (await served.http.get("/v1/batches", params={"limit": 2})).json()
    rest = (await served.http.get("/v1/batches", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    found = [batch["id"] for batch in first["batches"] + rest["batches"]]
    assert found == [one["id"] for one in reversed(made)]
    assert "next_cursor" not in rest
    page = (await served.http.get("/v1/tasks", params={"batch": made[1]["id"]})).json()
    assert [task["id"] for task in page["tasks"]] == [row["id"] for row in reversed(made[1]["results"])]
    assert {task["batch"] for task in page["tasks"]} == {made[1]["id"]}
    assert (await served.http.get("/v1/tasks", params={"batch": NONE})).json() == {"tasks": []}


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"task": []}, "unknown_field", "task"),
        ({"tasks": [{"kind": "k"}, {}]}, "missing_field", "tasks[1].kind"),
        ({"tasks": [{"kind": "k"}] * 4}, "batch_too_large", "tasks"),
        ({"tasks": [{"kind": "k", "after": ["#a"]}]}, "unknown_ref", "tasks[0].after[0]"),
        ({"tasks": [{"kind": "k", "after": [NONE]}]}, "unknown_parent", "tasks[0].after[0]"),
        ({"tasks": [{"kind": "k", "delay_s": -1}]}, "invalid_field", "tasks[0].delay_s"),
        ({"name": "x" * 201}, "invalid_field", "name"),
        ({"name": ""}, "invalid_field", "name"),
        ({"on_success": {"kind": "k", "delay_s": 1}}, "unknown_field", "on_success.delay_s"),
        ({"on_success": {"kind": "k", "unique": {"key": "a"}}}, "unknown_field", "on_success.unique"),
        ({"on_finished": {"kind": "k" * 201}}, "invalid_field", "on_finished.kind"),
        ({"on_failure": {"kind": "k", "meta": {"batch": 1}}}, "invalid_field", "on_failure.meta.batch"),
        ({"on_failure": {"kind": "k", "meta": []}}, "invalid_field", "on_failure.meta"),
        ({"webhook": "nobody"}, "unknown_webhook", "webhook"),
        ({"webhook": {"url": "https://example.com", "secret": "no"}}, "unknown_webhook", "webhook.secret"),
        ({"webhook": {"url": "ftp://example.com"}}, "invalid_field", "webhook.url"),
        ({"webhook": {"url": "https://example.com", "on": ["dead"]}}, "invalid_field", "webhook.on[0]"),
        ({"webhook": {"url": "https://example.com", "on": []}}, "invalid_field", "webhook.on"),
        ({"webhook": {"url": "https://example.com", "endpoint": "a"}}, "unknown_field", "webhook.endpoint"),
    ],
)
async def test_what_is_wrong_is_told_with_its_place(
    serve_with: Serve, body: dict[str, Any], code: str, field: str
) -> None:
    async with serve_with(batch_max=3) as served:
        assert problem(await served.http.post("/v1/batches", json=body)) == (422, code, field)
        assert (await served.http.get("/v1/batches")).json() == {"batches": []}
        assert (await served.http.get("/v1/tasks")).json() == {"tasks": []}


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", f"/v1/batches/{NONE}", (404, "batch_not_found", None)),
        ("POST", f"/v1/batches/{NONE}/close", (404, "batch_not_found", None)),
        ("POST", f"/v1/batches/{NONE}/cancel", (404, "batch_not_found", None)),
        ("GET", "/v1/batches/x", (422, "invalid_field", "id")),
        ("GET", f"/v1/batches/{NONE}?wait_s=1", (404, "batch_not_found", None)),
        ("GET", f"/v1/batches/{NONE}?wait_s=61", (422, "invalid_field", "wait_s")),
        ("GET", f"/v1/batches/{NONE}?wait_s=soon", (422, "invalid_field", "wait_s")),
        ("GET", f"/v1/batches/{NONE}?at=now", (422, "unknown_field", "at")),
        ("GET", "/v1/batches?limit=0", (422, "invalid_field", "limit")),
        ("GET", "/v1/batches?cursor=x", (400, "invalid_cursor", "cursor")),
        ("GET", "/v1/batches?state=open", (422, "unknown_field", "state")),
        ("GET", "/v1/tasks?batch=x", (422, "invalid_field", "batch")),
    ],
)
async def test_what_is_not_there_or_not_known_is_refused(
    served: Served, method: str, path: str, expected: tuple[int, str, str | None]
) -> None:
    answer: httpx.Response = await served.http.request(method, path)
    assert problem(answer) == expected


async def test_adding_is_refused_as_enqueueing_is(served: Served) -> None:
    url = f"/v1/batches/{(await make(served, 0, open=True))['id']}/tasks"
    assert problem(await served.http.post(url, json=[]))[:2] == (422, "invalid_field")
    assert problem(await served.http.post(url, json=[{}])) == (422, "missing_field", "[0].kind")
    twice = [{"kind": "k", "ref": "a"}, {"kind": "k", "ref": "a"}]
    assert problem(await served.http.post(url, json=twice)) == (422, "duplicate_ref", "[1].ref")
    gone = await served.http.post(f"/v1/batches/{NONE}/tasks", json=[{"kind": "k"}])
    assert problem(gone) == (404, "batch_not_found", None)


async def waits(served: Served, batch_id: str) -> "asyncio.Task[httpx.Response]":
    """A request that waits for a batch by now."""
    there = len(served.queue.onlookers)
    asking = asyncio.create_task(served.http.get(f"/v1/batches/{batch_id}?wait_s=30"))
    await eventually_async(lambda: len(served.queue.onlookers) > there)
    return asking


async def test_a_read_that_waits_is_answered_when_the_batch_has_ended(served: Served) -> None:
    made = await make(served, 2)
    asking = await waits(served, made["id"])
    for _ in range(2):
        assert not asking.done()
        await complete(served)
    answer = (await asyncio.wait_for(asking, 10)).json()
    assert (answer["state"], answer["succeeded"]) == ("finished", 2)
    again = await asyncio.wait_for(served.http.get(f"/v1/batches/{made['id']}?wait_s=30"), 10)
    assert again.json() == answer


async def test_a_wait_that_is_over_is_answered_with_the_batch_as_it_stands(served: Served) -> None:
    made = await make(served, 1)
    answer = await served.http.get(f"/v1/batches/{made['id']}?wait_s=0.05")
    assert (answer.status_code, answer.json()["state"]) == (200, "running")


async def test_a_drain_answers_who_waits_and_who_comes_with_the_batch_as_it_stands(served: Served) -> None:
    made = await make(served, 1)
    asking = await waits(served, made["id"])
    served.draining.set()
    later = await served.http.get(f"/v1/batches/{made['id']}?wait_s=30")
    for answer in (await asyncio.wait_for(asking, 10), later):
        assert (answer.status_code, answer.json()["state"]) == (200, "running")


async def test_a_client_that_goes_away_is_waited_for_no_longer(served: Served) -> None:
    asking = await waits(served, (await make(served, 1))["id"])
    asking.cancel()
    await eventually_async(lambda: len(served.queue.onlookers) == 0)
