"""The stream of events over HTTP."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec

from tests.tqnode.api.conftest import Serve, Served, problem
from tests.waiting import eventually_async
from tqnode.api import events as module


class Follower:
    """Reads a stream into a list of events."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.events: list[dict[str, str]] = []
        self.comments: list[str] = []
        self.ended = False

    async def read(self) -> None:
        event: dict[str, str] = {}
        async for line in self.answer.aiter_lines():
            if not line:
                if event.get("event"):
                    self.events.append(event)
                event = {}
            elif line.startswith(":"):
                self.comments.append(line)
            else:
                name, _, value = line.partition(": ")
                event[name] = value
        self.ended = True

    def states(self) -> list[tuple[str, str]]:
        bodies = [msgspec.json.decode(event["data"]) for event in self.events if event["event"] == "task"]
        return [(body["kind"], body["state"]) for body in bodies]


@contextlib.asynccontextmanager
async def follow(served: Served, query: str = "", **headers: str) -> AsyncIterator[Follower]:
    async with served.http.stream("GET", f"/v1/events{query}", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream"
        follower = Follower(answer)
        reading = asyncio.create_task(follower.read())
        try:
            yield follower
        finally:
            reading.cancel()
            await asyncio.wait([reading])


async def one_life(served: Served, kind: str, **fields: Any) -> dict[str, Any]:
    """Enqueues, claims, completes and deletes a task."""
    made = await served.enqueue(kind, **fields)
    (task,) = await served.claim(queues=[made["queue"]])
    await served.http.post(f"/v1/tasks/{task['id']}/complete", json={"token": task["token"]})
    await served.http.delete(f"/v1/tasks/{task['id']}")
    return task


LIFE = ["ready", "running", "succeeded", "deleted"]


async def test_a_follower_sees_each_change_of_state_in_order(served: Served) -> None:
    async with follow(served) as follower:
        task = await one_life(served, "k")
        await eventually_async(lambda: len(follower.events) == 4)
        assert follower.states() == [("k", state) for state in LIFE]
        first = msgspec.json.decode(follower.events[1]["data"])
        assert (first["id"], first["queue"], first["attempt"]) == (task["id"], "default", 1)
        numbers = [int(event["id"].rpartition("-")[2]) for event in follower.events]
        assert numbers == list(range(numbers[0], numbers[0] + 4))


async def test_a_follower_chooses_queues_kinds_and_tasks(served: Served) -> None:
    async with (
        follow(served, "?queue=q1&queue=q2") as by_queue,
        follow(served, "?kind=b") as by_kind,
        contextlib.AsyncExitStack() as stack,
    ):
        first = await served.enqueue("a", queue="q1")
        by_id = await stack.enter_async_context(follow(served, f"?id={first['id'].upper()}"))
        await one_life(served, "b", queue="q3")
        await served.claim(queues=["q1"])
        await served.enqueue("b", queue="q2")
        await eventually_async(lambda: len(by_queue.events) == 3)
        await eventually_async(lambda: len(by_kind.events) == 5)
        assert by_queue.states() == [("a", "ready"), ("a", "running"), ("b", "ready")]
        assert by_kind.states() == [*(("b", state) for state in LIFE), ("b", "ready")]
        assert by_id.states() == [("a", "running")]


async def test_who_asks_for_it_hears_of_progress_the_newest_of_each_task(served: Served) -> None:
    async with follow(served) as plain, follow(served, "?progress=true&kind=a") as follower:
        tasks = {}
        for kind in "ab":
            made = await served.enqueue(kind, queue=kind)
            (tasks[kind],) = await served.claim(queues=[kind])
            assert tasks[kind]["id"] == made["id"]
        for percent in range(30):
            for task in tasks.values():
                body = b'{"token": "%s", "progress": {\n"percent": %d}}' % (task["token"].encode(), percent)
                headers = {"content-type": "application/json"}
                path = f"/v1/tasks/{task['id']}/heartbeat"
                assert (await served.http.post(path, content=body, headers=headers)).status_code == 200

        def told() -> list[dict[str, Any]]:
            of_progress = [event for event in follower.events if event["event"] == "progress"]
            assert all("id" not in event for event in of_progress)
            return [msgspec.json.decode(event["data"]) for event in of_progress]

        await eventually_async(lambda: told() and told()[-1]["progress"] == {"percent": 29})
        assert {(body["id"], body["attempt"]) for body in told()} == {(tasks["a"]["id"], 1)}
        assert len(told()) < 30
        assert follower.states() == [("a", "ready"), ("a", "running")]
        assert {event["event"] for event in plain.events} == {"task"}


async def test_a_follower_resumes_after_the_last_event_it_saw(served: Served) -> None:
    async with follow(served) as follower:
        await one_life(served, "k")
        await eventually_async(lambda: len(follower.events) == 4)
        seen = follower.events
    async with follow(served, **{"last-event-id": seen[1]["id"]}) as again:
        await served.enqueue("later")
        await eventually_async(lambda: len(again.events) == 3)
        assert again.events[:2] == seen[2:]
        assert again.states()[-1] == ("later", "ready")


async def test_a_follower_that_missed_events_is_told_to_begin_anew(serve_with: Serve) -> None:
    async with serve_with(events_kept=3) as served:
        async with follow(served) as follower:
            await served.enqueue()
            await eventually_async(lambda: len(follower.events) == 1)
            last = follower.events[0]["id"]
        await one_life(served, "k")
        for stale in (last, "elsewhere-7", "nonsense", last.rpartition("-")[0] + "-999"):
            async with follow(served, **{"last-event-id": stale}) as again:
                await eventually_async(lambda again=again: len(again.events) == 1)
                assert again.events[0]["event"] == "reset"
                await served.enqueue("then")
                await eventually_async(lambda again=again: len(again.events) == 2)
                assert again.states() == [("then", "ready")]


async def test_a_quiet_stream_shows_that_it_lives(served: Served, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "COMMENT_EVERY_S", 0.05)
    async with follow(served) as follower:
        await eventually_async(lambda: follower.comments.count(": alive") >= 3)
        assert follower.events == []


async def test_a_drain_ends_the_streams_properly(served: Served) -> None:
    async with follow(served) as follower:
        await eventually_async(lambda: follower.comments)
        served.draining.set()
        await eventually_async(lambda: follower.ended)
    refused = await served.http.get("/v1/events")
    assert problem(refused) == (503, "draining", None)


async def test_a_follower_that_leaves_is_forgotten(served: Served) -> None:
    async with follow(served) as follower:
        await eventually_async(lambda: follower.comments)
        assert served.queue.hub.followers == 1
    await eventually_async(lambda: served.queue.hub.followers == 0)


async def test_more_followers_than_allowed_are_told_to_come_again(serve_with: Serve) -> None:
    async with serve_with(event_streams_max=2) as served, follow(served), follow(served):
        refused = await served.http.get("/v1/events")
        assert problem(refused) == (503, "overloaded", None)


async def test_a_follower_that_reads_nothing_costs_a_bounded_amount_and_is_reset(served: Served) -> None:
    """A client with a full receive buffer: its events pile up to a bound, then it is told to begin anew."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1024)
    writer.write(b"GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n")
    await reader.readuntil(b": follow")
    batch = [{"kind": "k" * 200, "queue": "q" * 200}] * 5000
    for _ in range(6):
        assert (await served.http.post("/v1/tasks", json=batch)).status_code == 201
    received = bytearray()

    async def is_reset() -> bool:
        received.extend(await asyncio.wait_for(reader.read(1 << 20), 5))
        return b"event: reset" in received

    await eventually_async(is_reset, within_s=30)
    assert received.count(b"event: task") < 30_000
    writer.transport.abort()
    await eventually_async(lambda: served.queue.hub.followers == 0)


async def test_a_head_request_gets_the_head_alone(served: Served) -> None:
    answer = await served.http.head("/v1/events")
    assert (answer.status_code, answer.content) == (200, b"")
    assert served.queue.hub.followers == 0
