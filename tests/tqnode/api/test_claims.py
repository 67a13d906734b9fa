"""Claims over HTTP: the wait, its ends, and who gets what."""

import asyncio
import json
import random
from collections.abc import MutableMapping
from typing import Any

import httpx

from tests.tqnode.api.conftest import Serve, Served, problem
from tests.waiting import eventually_async


async def test_a_claim_hands_out_the_best_task_with_all_it_needs(served: Served) -> None:
    await served.enqueue("low", priority=1)
    made = await served.enqueue(
        "high", priority=200, payload={"n": 1}, meta={"m": 2}, tags=["t"], timeout_s=9, lease_s=20
    )
    (task,) = await served.claim()
    assert task["id"] == made["id"]
    assert (task["attempt"], task["max_attempts"], task["priority"]) == (1, 10, 200)
    assert (task["payload"], task["meta"], task["tags"]) == ({"n": 1}, {"m": 2}, ["t"])
    assert (task["lease_s"], task["timeout_s"]) == (20.0, 9.0)
    assert task["token"]
    assert task["lease_expires_at"] > task["created_at"]
    read = (await served.http.get(f"/v1/tasks/{task['id']}")).json()
    assert (read["state"], read["worker"], read["attempted_by"]) == ("running", "w", ["w"])
    assert read["lease_expires_at"] == task["lease_expires_at"]


async def test_a_claim_takes_up_to_max_in_the_order_of_its_queues(served: Served) -> None:
    for queue in ("a", "b", "c"):
        await served.http.post("/v1/tasks", json=[{"kind": "k", "queue": queue}] * 2)
    tasks = await served.claim(queues=["c", "a", "c"], max=3)
    assert [task["queue"] for task in tasks] == ["c", "c", "a"]


async def test_a_claim_holds_to_kinds_priority_and_lease(served: Served) -> None:
    await served.enqueue("a", priority=10)
    await served.enqueue("b", priority=20)
    assert await served.claim(kinds=["c"]) == []
    assert await served.claim(min_priority=21) == []
    (task,) = await served.claim(kinds=["a", "c"], lease_s=77)
    assert (task["kind"], task["lease_s"]) == ("a", 77.0)


async def test_a_claim_without_a_wait_answers_at_once(served: Served) -> None:
    assert await served.claim() == []


async def test_a_waiting_claim_gets_the_task_that_comes(served: Served) -> None:
    waiting = asyncio.create_task(served.claim(wait_s=30))
    await eventually_async(lambda: len(served.queue.waiting) == 1)
    made = await served.enqueue()
    (task,) = await waiting
    assert task["id"] == made["id"]


async def test_a_wait_that_runs_out_answers_an_empty_list(served: Served) -> None:
    assert await served.claim(wait_s=0.05) == []


async def test_a_drain_ends_the_waits_with_empty_lists(served: Served) -> None:
    waiting = [asyncio.create_task(served.claim(wait_s=60)) for _ in range(5)]
    await eventually_async(lambda: len(served.queue.waiting) == 5)
    served.draining.set()
    assert await asyncio.wait_for(asyncio.gather(*waiting), 5) == [[]] * 5
    await served.enqueue()
    assert await served.claim(wait_s=60) == []
    assert (await served.http.get("/v1/tasks?state=ready")).json()["tasks"]


async def raw_claim(served: Served, **fields: object) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Sends a claim over a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    body = json.dumps({"worker": "gone", **fields}).encode()
    head = b"POST /v1/claims HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    return reader, writer


async def test_a_claim_whose_client_has_gone_is_not_made(served: Served) -> None:
    _, writer = await raw_claim(served, wait_s=60)
    await eventually_async(lambda: len(served.queue.waiting) == 1)
    writer.close()
    await writer.wait_closed()
    await eventually_async(lambda: len(served.queue.waiting) == 0)
    made = await served.enqueue()
    (task,) = await served.claim()
    assert (task["id"], task["attempt"]) == (made["id"], 1)


async def claim_until(gone: asyncio.Event, served: Served) -> list[str]:
    """Calls the application as its server does, for a client that leaves when ``gone`` is set.

    Returns the ids of the tasks in the answer; none when none was sent.
    """
    body = json.dumps({"worker": "w", "wait_s": 60, "max": 2}).encode()
    incoming = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[bytes] = []

    async def receive() -> dict[str, object]:
        if incoming:
            return incoming.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message.get("body", b""))

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/claims", "query_string": b"", "headers": headers}
    await served.app(scope, receive, send)
    return [task["id"] for task in json.loads(b"".join(sent))["tasks"]] if sent else []


async def test_no_task_is_lost_to_clients_that_leave_at_any_moment(served: Served) -> None:
    """Whatever runs at the end was answered to someone; all else is ready for the next one."""
    answered: list[str] = []
    for hops in range(60):
        gone = [asyncio.Event() for _ in range(3)]
        claims = [asyncio.create_task(claim_until(event, served)) for event in gone]
        await all_wait(served, claims)
        made, _ = await asyncio.gather(served.http.post("/v1/tasks", json={"kind": "k"}), leave(gone, hops))
        assert made.status_code == 201
        for ids in await asyncio.gather(*claims):
            answered += ids

    async def only_answered_tasks_run() -> bool:
        page = await served.http.get("/v1/tasks", params={"limit": 1000})
        running = [task["id"] for task in page.json()["tasks"] if task["state"] == "running"]
        return len(page.json()["tasks"]) == 60 and sorted(running) == sorted(answered)

    await eventually_async(only_answered_tasks_run)


async def test_claimed_task_reaches_its_client_or_is_ready_again_when_the_client_says_no_more(
    served: Served,
) -> None:
    """The client shuts its half of the connection about when the task comes, and reads on as workers do."""
    chance = random.Random(1)
    handed_over = 0
    for number in range(150):
        reader, writer = await raw_claim(served, wait_s=30)
        await eventually_async(lambda: len(served.queue.waiting) == 1, every_s=0)
        making = asyncio.create_task(served.enqueue())
        if number % 3 == 0:
            await eventually_async(lambda: len(served.queue.waiting) == 0, every_s=0)
        for _ in range(chance.randrange(60)):
            await asyncio.sleep(0)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        made = await making
        if made["id"].encode() in answer:
            handed_over += 1
        else:
            (task,) = await eventually_async(served.claim)
            assert (task["id"], task["attempt"]) == (made["id"], 1)
    assert 0 < handed_over < 150


async def all_wait(served: Served, claims: list[asyncio.Task[list[str]]]) -> None:
    """Returns once each claim waits, or has got what an earlier round left."""
    await eventually_async(lambda: len(served.queue.waiting) + sum(claim.done() for claim in claims) >= 3)


async def leave(gone: list[asyncio.Event], hops: int) -> None:
    for event in gone:
        for _ in range(hops):
            await asyncio.sleep(0)
        event.set()


async def test_more_waiting_claims_than_allowed_are_told_to_come_again(serve_with: Serve) -> None:
    async with serve_with(waiting_claims_max=2) as served:
        waiting = [asyncio.create_task(served.claim(wait_s=60)) for _ in range(2)]
        await eventually_async(lambda: len(served.queue.waiting) == 2)
        refused = await served.http.post("/v1/claims", json={"worker": "w", "wait_s": 60})
        assert problem(refused) == (503, "overloaded", None)
        assert int(refused.headers["retry-after"]) >= 1
        served.draining.set()
        await asyncio.gather(*waiting)


async def test_the_node_may_allow_less_than_the_protocol(serve_with: Serve) -> None:
    async with serve_with(claim_max=5, claim_wait_s_max=2) as served:
        for fields, field, limit in (({"max": 6}, "max", 5), ({"wait_s": 2.5}, "wait_s", 2)):
            answer = await served.http.post("/v1/claims", json={"worker": "w", **fields})
            assert problem(answer) == (422, "invalid_field", field)
            assert answer.json()["limit"] == limit


async def test_a_quiet_worker_claims_nothing(served: Served) -> None:
    await served.enqueue()
    worker = (await served.http.post("/v1/workers", json={"name": "w"})).json()["id"]
    await served.http.post(f"/v1/workers/{worker}/quiet")
    assert await served.claim(worker=worker) == []
    await served.http.post(f"/v1/workers/{worker}/run")
    assert len(await served.claim(worker=worker)) == 1


async def test_a_paused_queue_gives_nothing_until_it_is_resumed(served: Served) -> None:
    await served.enqueue()
    await served.http.post("/v1/queues/default/pause")
    assert await served.claim() == []
    waiting = asyncio.create_task(served.claim(wait_s=30))
    await eventually_async(lambda: len(served.queue.waiting) == 1)
    await served.http.post("/v1/queues/default/resume")
    assert len(await waiting) == 1


async def test_many_clients_claim_each_task_once(served: Served) -> None:
    await served.http.post("/v1/tasks", json=[{"kind": "k"}] * 200)

    async def drain() -> list[str]:
        async with httpx.AsyncClient(base_url=served.url) as http:
            got: list[str] = []
            while tasks := (await http.post("/v1/claims", json={"worker": "w", "max": 7})).json()["tasks"]:
                got += [task["id"] for task in tasks]
            return got

    ids = [task_id for part in await asyncio.gather(*(drain() for _ in range(8))) for task_id in part]
    assert len(ids) == len(set(ids)) == 200
