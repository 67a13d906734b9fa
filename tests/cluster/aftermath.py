"""What is looked at when the faults have ended: queues drained, every task listed, the order of claims."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from tests.cluster.asking import Asker
from tests.cluster.raw_clients import LEASES_S, PROBE_QUEUE, QUEUES, Stage, Worker
from tests.cluster.records import Op, Recorder, read, tag_of
from tests.e2e.history import Left, out_of_order
from tests.e2e.raw_http import RawClient

DRAIN_S = 180.0
ORDERED_TASKS = 60
ORDER_QUEUE = "order"


def drain(urls: Sequence[str], file: Path) -> list[Op]:
    """Completes whatever is left, waiting for the leases of those who went away; what it asked for that.

    Tasks that nobody gets in all that time are left for the checker to find.

    Args:
        urls: of the nodes.
        file: for its history.
    """
    recorder = Recorder(file)
    with contextlib.suppress(TimeoutError):
        asyncio.run(asyncio.wait_for(_drain(urls, recorder), DRAIN_S))
    recorder.close()
    return read([file])


async def _drain(urls: Sequence[str], recorder: Recorder) -> None:
    worker = Worker(Stage("drain", "", urls, recorder), "worker")
    reader = Asker(urls)
    while True:
        held = await worker.claim([*QUEUES, PROBE_QUEUE], 500, lease_s=LEASES_S[-1], wait_s=0.5)
        if held:
            await worker.say_many([(op, "complete") for op in held])
            continue
        # A worker that claims nothing has not asked a standby: the answer is the leader's.
        totals = (await reader.post("/v1/claims", {"queues": ["none"], "max": 1, "worker": "drain"})).node
        client = RawClient(totals)
        stats = (await client.get("/v1/stats")).json()
        client.close()
        if not any(stats["totals"].get(state, 0) for state in ("ready", "scheduled", "running")):
            break
    worker.asker.close()
    reader.close()


def all_tasks(url: str) -> list[Left]:
    """Every task of the node at ``url``."""

    async def collect() -> list[Left]:
        return [one async for one in _pages(url)]

    return asyncio.run(collect())


async def _pages(url: str) -> AsyncIterator[Left]:
    client = RawClient(url)
    cursor = ""
    while True:
        page = (await client.get(f"/v1/tasks?limit=1000&payload=true{cursor}")).json()
        for task in page["tasks"]:
            result = task.get("result")
            yield Left(
                task=task["id"],
                tag=tag_of(task["payload"]),
                state=task["state"],
                reason=task.get("reason"),
                completed_by=None if result is None else result["by"],
            )
        if "next_cursor" not in page:
            break
        cursor = f"&cursor={page['next_cursor']}"
    client.close()


def order_kept(urls: Sequence[str], seed: str, disturb: Callable[[], None]) -> list[str]:
    """C6: where a queue that nobody else writes to was not given out by priority, oldest first.

    Args:
        urls: of the nodes.
        seed: of priorities and sizes.
        disturb: called between enqueues and claims, to make another node lead.
    """
    chance = random.Random(seed)
    priorities = [chance.choice((0, 7, 128, 255)) for _ in range(ORDERED_TASKS)]

    async def enqueue() -> list[str]:
        asker = Asker(urls)
        made = []
        for number, priority in enumerate(priorities):
            task = {
                "kind": "fault",
                "queue": ORDER_QUEUE,
                "priority": priority,
                "payload": {"tag": f"o{number}"},
            }
            reply = await asker.post("/v1/tasks", task)
            assert reply.outcome == "ok", reply
            made.append(str(reply.json()["id"]))
        asker.close()
        return made

    async def claim(most: int) -> list[str]:
        asker = Asker(urls)
        ask = {"queues": [ORDER_QUEUE], "max": most, "worker": "order", "lease_s": 3600}
        reply = await asker.post("/v1/claims", ask)
        asker.close()
        # The order of a claim whose answer is lost nobody knows; nothing disturbs it here.
        assert reply.outcome == "ok", reply
        return [str(task["id"]) for task in reply.json()["tasks"]]

    enqueued = asyncio.run(enqueue())
    claimed: list[str] = []
    while len(claimed) < len(enqueued):
        disturb()
        claimed += asyncio.run(claim(chance.randint(5, ORDERED_TASKS // 2)))
    return out_of_order(list(zip(enqueued, priorities, strict=True)), claimed)
