"""Bulk operations, counts and searches over HTTP."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.tqnode.api.conftest import Serve, Served, problem

SOME_ID = "0198c0de-0000-7000-8000-000000000000"


async def sweep(served: Served) -> None:
    """Does what the sweeper would do, to the end."""
    while await served.store.write(lambda tx: served.queue.bulker.go_on(tx, 1), background=True):
        pass


async def begin(served: Served, action: str = "cancel", **fields: Any) -> httpx.Response:
    return await served.http.post("/v1/bulk", json={"action": action, "wait_s": 0, **fields})


async def found(served: Served, query: str) -> list[Any]:
    answer = await served.http.get(f"/v1/tasks?payload=true&{query}")
    assert answer.status_code == 200, answer.text
    return [task["payload"] for task in answer.json()["tasks"]][::-1]


async def test_tasks_are_found_by_what_their_payload_and_meta_hold(served: Served) -> None:
    payloads: list[Any] = [{"user": {"id": 1}}, {"user": {"id": "1"}}, {"user": {"id": 1.0}}, {"user": None}]
    for payload in payloads:
        await served.enqueue(payload=payload, meta={"tenant": "a b"})
    assert await found(served, "payload.user.id=1") == [payloads[0], payloads[2]]
    assert await found(served, 'payload.user.id="1"') == [payloads[1]]
    assert await found(served, "payload.user=null") == [payloads[3]]
    assert await found(served, "meta.tenant=a+b") == payloads
    assert await found(served, "meta.tenant=a+b&payload.user.id=1&limit=1") == [payloads[2]]
    assert await found(served, "meta.tenant=") == []


async def test_tasks_are_found_by_text_and_by_their_last_error(served: Served) -> None:
    await served.enqueue("resize", payload=1, tags=["Big-Image"])
    await served.enqueue("mail", payload=2)
    (task, _) = await served.claim(max=2)
    error = {"type": "TimeoutError", "message": "late"}
    await served.http.post(f"/v1/tasks/{task['id']}/fail", json={"token": task["token"], "error": error})
    assert await found(served, "text=IMAGE") == [1]
    assert await found(served, "text=mai") == [2]
    assert await found(served, "error_type=TimeoutError") == [1]


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("payload.=1", "invalid_field", "payload."),
        ("payload.a..b=1", "invalid_field", "payload.a..b"),
        ("payload.a=[1]", "invalid_field", "payload.a"),
        ("payload.a={}", "invalid_field", "payload.a"),
        ("meta.a=9223372036854775808", "number_out_of_range", "meta.a"),
        ("meta.a=123456789012345678901234567890", "number_out_of_range", "meta.a"),
        ("meta.a=1&meta.a=2", "invalid_field", "meta.a"),
        (f"payload.{'a' * 201}=1", "invalid_field", f"payload.{'a' * 192}"),
        (f"payload.a={'x' * 1001}", "invalid_field", "payload.a"),
        ("&".join(f"payload.a{n}=1" for n in range(11)), "invalid_field", "payload"),
        ("text=", "invalid_field", "text"),
        (f"error_type={'x' * 101}", "invalid_field", "error_type"),
        ("meta_x=1", "unknown_field", "meta_x"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/tasks", "/v1/tasks/count"])
async def test_what_is_no_condition_is_refused(
    served: Served, path: str, query: str, code: str, field: str
) -> None:
    assert problem(await served.http.get(f"{path}?{query}")) == (422, code, field)


async def test_tasks_are_counted_by_the_filters_of_a_list(served: Served) -> None:
    for number in range(5):
        await served.enqueue(payload={"odd": bool(number % 2)})
    await served.claim()
    answer = (await served.http.get("/v1/tasks/count?payload.odd=false")).json()
    assert answer == {"count": 3, "states": {"ready": 2, "running": 1}, "estimated": False}
    assert (await served.http.get("/v1/tasks/count")).json()["count"] == 5
    assert problem(await served.http.get("/v1/tasks/count?limit=1")) == (422, "unknown_field", "limit")


async def test_a_bulk_operation_is_begun_followed_and_done(served: Served) -> None:
    for number in range(4):
        await served.enqueue(queue="a", payload={"n": number})
    (task,) = await served.claim(queues=["a"])
    asked = {
        "queue": "a",
        "state": ["ready", "running"],
        "payload": {"n": 0},
        "created_after": task["created_at"],
    }
    answer = await begin(served, filter=asked)
    assert answer.status_code == 202
    begun = answer.json()
    assert answer.headers["location"] == f"/v1/bulk/{begun['id']}"
    assert begun["filter"] == asked | {"queue": ["a"]}
    assert (begun["state"], begun["progress"], begun["matched"]) == ("running", 0.0, 0)
    await sweep(served)
    ended = (await served.http.get(answer.headers["location"])).json()
    assert ended["finished_at"] >= ended["created_at"]
    told = {name: ended.get(name) for name in ("state", "progress", "matched", "done", "asked", "skipped")}
    expected = {"state": "done", "progress": 1.0, "matched": 1, "done": 1, "asked": 1, "skipped": None}
    assert told == expected
    again = await begin(served, "move", filter={"queue": ["a"]}, queue="b")
    await sweep(served)
    moved = (await served.http.get(f"/v1/bulk/{again.json()['id']}")).json()
    assert (moved["done"], moved["skipped"], moved["skips"], moved["queue"]) == (3, 1, {"running": 1}, "b")
    page = (await served.http.get("/v1/bulk?limit=1")).json()
    assert page["bulks"] == [moved]
    rest = (await served.http.get("/v1/bulk", params={"cursor": page["next_cursor"]})).json()
    assert rest == {"bulks": [ended]}


async def test_an_answer_waits_for_the_end_and_then_has_the_counts(served: Served) -> None:
    await served.enqueue(priority=1)
    waiting = asyncio.create_task(begin(served, "reprioritize", all=True, priority=9, wait_s=30))
    while not (await served.http.get("/v1/bulk")).json()["bulks"]:
        pass
    await sweep(served)
    answer = await waiting
    assert answer.status_code == 200
    assert (answer.json()["done"], answer.json()["state"], answer.json()["filter"]) == (1, "done", {})


async def test_a_node_that_stops_lets_nobody_wait(served: Served) -> None:
    waiting = asyncio.create_task(begin(served, all=True, wait_s=60))
    while not (await served.http.get("/v1/bulk")).json()["bulks"]:
        pass
    served.draining.set()
    assert (await waiting).status_code == 202


async def test_a_dry_run_counts_and_does_nothing(served: Served) -> None:
    await served.enqueue(queue="a")
    await served.claimed(queue="default")
    answer = await begin(served, "delete", all=True, dry_run=True)
    assert answer.status_code == 200
    assert answer.json() == {
        "action": "delete",
        "filter": {},
        "state": "dry_run",
        "progress": 1.0,
        "matched": 2,
        "states": {"ready": 1, "running": 1},
    }
    assert (await served.http.get("/v1/bulk")).json() == {"bulks": []}
    assert (await served.http.get("/v1/tasks/count")).json()["count"] == 2


async def test_a_cancelled_operation_ends_where_it_stands(served: Served) -> None:
    await served.enqueue()
    begun = (await begin(served, all=True)).json()
    stopped = await served.http.post(f"/v1/bulk/{begun['id']}/cancel")
    assert (stopped.status_code, stopped.json()["state"]) == (200, "cancelled")
    await sweep(served)
    assert (await served.http.get("/v1/tasks/count?state=ready")).json()["count"] == 1


async def test_a_repeated_key_begins_nothing_new(served: Served) -> None:
    headers = {"idempotency-key": "k"}
    body = {"action": "cancel", "all": True, "wait_s": 0}
    first = (await served.http.post("/v1/bulk", json=body, headers=headers)).json()
    again = await served.http.post("/v1/bulk", json=body, headers=headers)
    assert again.json() == first
    other = await served.http.post("/v1/bulk", json=body | {"action": "delete"}, headers=headers)
    assert problem(other) == (409, "idempotency_mismatch", None)


REFUSED: list[tuple[dict[str, Any], tuple[str, str | None]]] = [
    ({}, ("filter_required", "filter")),
    ({"filter": {}}, ("filter_required", "filter")),
    ({"filter": {"min_priority": 0}}, ("filter_required", "filter")),
    ({"filter": {"queue": "a"}, "all": True}, ("invalid_field", "all")),
    ({"action": "explode", "all": True}, ("invalid_field", "action")),
    ({"action": "move", "all": True}, ("missing_field", "queue")),
    ({"action": "reprioritize", "all": True}, ("missing_field", "priority")),
    ({"queue": "a", "all": True}, ("invalid_field", "queue")),
    ({"priority": 1, "all": True}, ("invalid_field", "priority")),
    ({"action": "move", "queue": "q" * 201, "all": True}, ("invalid_field", "queue")),
    ({"action": "reprioritize", "priority": 256, "all": True}, ("invalid_field", "priority")),
    ({"filter": {"queue": []}}, ("invalid_field", "filter.queue")),
    ({"filter": {"state": ["lost"]}}, ("invalid_field", "filter.state[0]")),
    ({"filter": {"payload": {}}}, ("invalid_field", "filter.payload")),
    ({"filter": {"payload": {"a": [1]}}}, ("invalid_field", "filter.payload[...]")),
    ({"filter": {"payload": {"a..b": 1}}}, ("invalid_field", "filter.payload.a..b")),
    ({"filter": {"colour": "red"}}, ("unknown_field", "filter.colour")),
    ({"filter": {"tag": "t" * 201}}, ("invalid_field", "filter.tag")),
    ({"filter": {"kind": ["k", "k" * 201]}}, ("invalid_field", "filter.kind")),
    ({"all": True, "wait_s": 61}, ("invalid_field", "wait_s")),
]


@pytest.mark.parametrize(("body", "expected"), REFUSED)
async def test_an_operation_that_says_too_little_or_too_much_is_refused(
    served: Served, body: dict[str, Any], expected: tuple[str, str | None]
) -> None:
    answer = await served.http.post("/v1/bulk", json={"action": "cancel", **body})
    assert problem(answer) == (422, *expected)
    assert (await served.http.get("/v1/bulk")).json() == {"bulks": []}


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/cancel")])
async def test_an_operation_that_is_not_there_is_told_so(served: Served, method: str, path: str) -> None:
    answer = await served.http.request(method, f"/v1/bulk/{SOME_ID}{path}")
    assert problem(answer) == (404, "bulk_not_found", None)
    assert problem(await served.http.request(method, f"/v1/bulk/x{path}")) == (422, "invalid_field", "id")


async def test_no_more_operations_are_under_way_than_allowed(serve_with: Serve) -> None:
    async with serve_with(bulks_max=1) as served:
        assert (await begin(served, all=True)).status_code == 202
        refused = await begin(served, all=True)
        assert problem(refused) == (422, "too_many_bulks", None)
        assert refused.json()["limit"] == 1
