"""Waiting for a task's end over HTTP, and results that go before their tasks."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import httpx

from tests.tqnode.api.conftest import Serve, Served, problem
from tests.waiting import eventually_async


async def start(served: Served, work: Coroutine[Any, Any, httpx.Response]) -> asyncio.Task[httpx.Response]:
    """A request that waits for a task by now."""
    there = len(served.queue.onlookers)
    asking = asyncio.create_task(work)
    await eventually_async(lambda: len(served.queue.onlookers) > there)
    return asking


async def complete(served: Served, task: dict[str, Any], **fields: Any) -> None:
    path = f"/v1/tasks/{task['id']}/complete"
    answer = await served.http.post(path, json={"token": task["token"], **fields})
    assert answer.status_code == 200, answer.text


async def test_a_read_that_waits_is_answered_when_the_task_has_ended(served: Served) -> None:
    task = await served.claimed()
    asking = await start(served, served.http.get(f"/v1/tasks/{task['id']}?wait_s=30"))
    await complete(served, task, result={"n": 1})
    answer = (await asyncio.wait_for(asking, 10)).json()
    assert (answer["state"], answer["result"]) == ("succeeded", {"n": 1})
    began = time.monotonic()
    assert (await served.http.get(f"/v1/tasks/{task['id']}?wait_s=30")).json() == answer
    assert time.monotonic() - began < 10


async def test_a_wait_that_is_over_is_answered_with_the_task_as_it_stands(served: Served) -> None:
    made = await served.enqueue()
    answer = await served.http.get(f"/v1/tasks/{made['id']}", params={"wait_s": "0.05"})
    assert (answer.status_code, answer.json()["state"]) == (200, "ready")


async def test_head_waits_as_get_does_and_has_no_body(served: Served) -> None:
    made = await served.enqueue()
    answer = await served.http.head(f"/v1/tasks/{made['id']}", params={"wait_s": "0.05"})
    assert (answer.status_code, answer.content) == (200, b"")


async def test_who_waits_for_a_task_that_is_deleted_gets_404(served: Served) -> None:
    made = await served.enqueue()
    asking = await start(served, served.http.get(f"/v1/tasks/{made['id']}?wait_s=30"))
    await served.http.delete(f"/v1/tasks/{made['id']}")
    assert problem(await asyncio.wait_for(asking, 10))[:2] == (404, "task_not_found")


async def test_a_drain_answers_those_who_wait_with_the_task_as_it_stands(served: Served) -> None:
    made = await served.enqueue()
    asking = await start(served, served.http.get(f"/v1/tasks/{made['id']}?wait_s=30"))
    following = await start(served, served.http.get(f"/v1/tasks/{made['id']}/logs?wait_s=30"))
    served.draining.set()
    answer = await asyncio.wait_for(asking, 10)
    assert (answer.status_code, answer.json()["state"]) == (200, "ready")
    page = await asyncio.wait_for(following, 10)
    assert page.json() == {"lines": [], "next_cursor": "0"}


async def test_a_client_that_goes_away_is_waited_for_no_longer(served: Served) -> None:
    made = await served.enqueue()
    asking = await start(served, served.http.get(f"/v1/tasks/{made['id']}?wait_s=30"))
    asking.cancel()
    await eventually_async(lambda: len(served.queue.onlookers) == 0)


async def test_more_waits_than_allowed_are_told_when_to_come_again(serve_with: Serve) -> None:
    async with serve_with(waiting_reads_max=1) as served:
        made = await served.enqueue()
        asking = await start(served, served.http.get(f"/v1/tasks/{made['id']}?wait_s=30"))
        refused = await served.http.get(f"/v1/tasks/{made['id']}/logs?wait_s=1")
        assert problem(refused)[:2] == (503, "overloaded")
        assert int(refused.headers["retry-after"]) > 0
        asking.cancel()


async def test_a_wait_out_of_bounds_is_refused_by_name_and_limit(served: Served) -> None:
    made = await served.enqueue()
    for path in (f"/v1/tasks/{made['id']}", f"/v1/tasks/{made['id']}/logs"):
        for wrong in ("61", "-1", "soon", "1e3", "inf"):
            answer = await served.http.get(path, params={"wait_s": wrong})
            assert problem(answer) == (422, "invalid_field", "wait_s")
    too_long = await served.http.get(f"/v1/tasks/{made['id']}?wait_s=61")
    assert too_long.json()["limit"] == 60
    past = {"wait_s": "1", "at": "2026-01-01T00:00:00Z"}
    assert problem(await served.http.get(f"/v1/tasks/{made['id']}", params=past))[2] == "wait_s"


async def test_the_time_of_a_result_is_part_of_the_task(served: Served) -> None:
    made = await served.enqueue(result_ttl_s=90)
    assert made["result_ttl_s"] == 90
    read = (await served.http.get(f"/v1/tasks/{made['id']}")).json()
    assert (read["result_ttl_s"], read.get("result_expired")) == (90, None)
    refused = await served.http.post("/v1/tasks", json={"kind": "k", "result_ttl_s": 0})
    assert problem(refused) == (422, "invalid_field", "result_ttl_s")


async def test_a_result_that_is_too_large_is_refused_by_name_and_limit(serve_with: Serve) -> None:
    async with serve_with(result_bytes_max=1024) as served:
        task = await served.claimed()
        body = {"token": task["token"], "result": "x" * 1023}
        refused = await served.http.post(f"/v1/tasks/{task['id']}/complete", json=body)
        assert problem(refused) == (422, "invalid_field", "result")
        assert refused.json()["limit"] == 1024
        row = {"outcome": "complete", "id": task["id"], **body}
        many = await served.http.post("/v1/outcomes", json={"outcomes": [row]})
        assert many.json()["results"][0]["error"]["field"] == "outcomes[0].result"
