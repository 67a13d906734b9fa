"""Log lines over HTTP: told, paged, followed, bounded."""

import asyncio
from typing import Any

from tests.tqnode.api.conftest import Serve, Served, problem
from tests.waiting import eventually_async


async def tell(served: Served, task: dict[str, Any], *texts: str, **fields: Any) -> int:
    body = {"token": task["token"], "lines": [{"text": text} for text in texts], **fields}
    answer = await served.http.post(f"/v1/tasks/{task['id']}/logs", json=body)
    assert answer.status_code == 200, answer.text
    last: int = answer.json()["last"]
    return last


async def log_of(served: Served, task: dict[str, Any], **params: Any) -> dict[str, Any]:
    answer = await served.http.get(f"/v1/tasks/{task['id']}/logs", params=params)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


def texts_of(page: dict[str, Any]) -> list[str]:
    return [line["text"] for line in page["lines"]]


async def test_lines_come_back_as_they_were_told(served: Served) -> None:
    task = await served.claimed()
    line = {"text": "hot", "level": "warning", "at": "2026-01-31T13:00:00.5+01:00"}
    body = {"token": task["token"], "lines": [line, {"text": "cold"}]}
    answer = await served.http.post(f"/v1/tasks/{task['id']}/logs", json=body)
    assert answer.json() == {"last": 2}
    page = await log_of(served, task)
    told = {"number": 1, "attempt": 1, "level": "warning", "text": "hot", "at": "2026-01-31T12:00:00.500Z"}
    assert page["lines"][0] == told
    assert page["lines"][1]["level"] == "info"
    assert page["next_cursor"] == "2"
    assert "ended" not in page


async def test_pages_follow_each_other_by_their_cursor(served: Served) -> None:
    task = await served.claimed()
    await tell(served, task, *"abcde")
    first = await log_of(served, task, limit=2)
    second = await log_of(served, task, limit=2, after=first["next_cursor"])
    third = await log_of(served, task, limit=2, after=second["next_cursor"])
    assert texts_of(first) + texts_of(second) + texts_of(third) == [*"abcde"]
    assert third["next_cursor"] == (await log_of(served, task, after=third["next_cursor"]))["next_cursor"]


async def test_only_the_last_lines_are_kept_and_the_rest_is_counted(serve_with: Serve) -> None:
    async with serve_with(log_lines_max=3) as served:
        task = await served.claimed()
        await tell(served, task, *"ab")
        assert await tell(served, task, *"cdefg") == 7
        page = await log_of(served, task)
        assert (texts_of(page), page["dropped"]) == ([*"efg"], 4)


async def test_who_follows_gets_the_next_lines_and_then_the_end(served: Served) -> None:
    task = await served.claimed()
    following = asyncio.create_task(log_of(served, task, wait_s=30))
    await eventually_async(lambda: len(served.queue.onlookers) == 1)
    await tell(served, task, "a")
    page = await asyncio.wait_for(following, 10)
    assert texts_of(page) == ["a"]
    following = asyncio.create_task(log_of(served, task, wait_s=30, after=page["next_cursor"]))
    await eventually_async(lambda: len(served.queue.onlookers) == 1)
    row = {
        "outcome": "complete",
        "id": task["id"],
        "token": task["token"],
        "log": {"first": 1, "lines": [{"text": "b"}]},
    }
    await served.http.post("/v1/outcomes", json={"outcomes": [row]})
    page = await asyncio.wait_for(following, 10)
    assert (texts_of(page), page["ended"]) == (["b"], True)


async def test_lines_come_along_with_every_kind_of_heartbeat(served: Served) -> None:
    task = await served.claimed()
    log = {"first": 0, "lines": [{"text": "a"}]}
    beat = {"token": task["token"], "log": log}
    await served.http.post(f"/v1/tasks/{task['id']}/heartbeat", json=beat)
    worker = (await served.http.post("/v1/workers", json={"name": "w"})).json()
    log = {"first": 0, "lines": [{"text": "a"}, {"text": "b"}]}
    leases = [
        {"id": task["id"], "token": task["token"], "log": log},
        {"id": "gone", "token": "1-0", "log": log},
    ]
    answer = await served.http.post(f"/v1/workers/{worker['id']}/heartbeat", json={"leases": leases})
    assert [lease["status"] for lease in answer.json()["leases"]] == ["ok", "lost"]
    assert texts_of(await log_of(served, task)) == ["a", "b"]


async def test_only_the_current_token_tells_lines(served: Served) -> None:
    task = await served.claimed()
    path = f"/v1/tasks/{task['id']}"
    body = {"token": "1-0000000000000001", "lines": [{"text": "a"}]}
    assert problem(await served.http.post(f"{path}/logs", json=body))[:2] == (409, "lease_lost")
    missing = "0198c0de-0000-7000-8000-000000000000"
    assert problem(await served.http.post(f"/v1/tasks/{missing}/logs", json=body))[:2] == (
        404,
        "task_not_found",
    )
    assert problem(await served.http.get(f"/v1/tasks/{missing}/logs"))[:2] == (404, "task_not_found")


async def test_wrong_lines_and_cursors_are_refused_by_name(served: Served) -> None:
    task = await served.claimed()
    path = f"/v1/tasks/{task['id']}/logs"
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"lines": []}, "lines"),
        ({"lines": [{"text": "a", "level": "loud"}]}, "lines[0].level"),
        ({"lines": [{"text": "a", "at": "2026-01-31T12:00:00"}]}, "lines[0].at"),
        ({"lines": [{"text": "a"}], "first": -1}, "first"),
        ({"lines": [{"text": "a"}] * 10_001}, "lines"),
    ]
    for body, field in wrong:
        answer = await served.http.post(path, json={"token": task["token"], **body})
        assert problem(answer) == (422, "invalid_field", field)
    for cursor in ("", "x", "-1", "9" * 19, "\u0661"):
        answer = await served.http.get(path, params={"after": cursor})
        assert problem(answer) == (400, "invalid_cursor", "after")
    assert problem(await served.http.get(path, params={"limit": 0}))[2] == "limit"


async def test_a_clock_that_is_far_off_loses_no_line(served: Served) -> None:
    task = await served.claimed()
    lines = [{"text": at, "at": at} for at in ("9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00")]
    await served.http.post(f"/v1/tasks/{task['id']}/logs", json={"token": task["token"], "lines": lines})
    at = [line["at"] for line in (await log_of(served, task))["lines"]]
    assert at == ["9999-12-31T23:59:59.999Z", "1970-01-01T00:00:00.000Z"]
