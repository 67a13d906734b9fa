"""Kills a node with SIGKILL at random moments under load, and holds it to every answer it gave.

CRASH_KILLS=2000 CRASH_SEED=7 python -m pytest tests/e2e/test_crash.py

runs it longer, with the choices of an earlier run. That its checks can fail test_history.py shows; that the
whole can was tried by hand, with faults put into the node: a commit put off until five groups were answered,
finishes that don't look at the token, idempotency keys that aren't remembered, claims that take the newest
first: each failed within 20 kills. What it can't show is what only a power cut shows, for the kernel outlives
its processes and writes what they had written.
"""

import asyncio
import json
import os
import random
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.crash_load import QUEUES, Stage, Worker, crew, tag_of
from tests.e2e.database_file import inspect
from tests.e2e.history import Left, out_of_order, violations
from tests.e2e.processes import NodeProcess, running_node
from tests.e2e.raw_http import RawClient
from tests.waiting import eventually_async

KILLS = int(os.environ.get("CRASH_KILLS", "200"))
SEED = int(os.environ.get("CRASH_SEED", secrets.randbelow(1_000_000)))
KILL_WITHIN_S = (0.05, 0.05, 0.1, 0.1, 0.5)
STALL_S = 60.0
START_KILLED_SHARE = 0.08
DRAIN_S = 60.0
QUIET_TASKS = 60
FLAGS = ("--crashes-max", "100", "--log-level", "warning")


@pytest.mark.timeout(1_800)  # by far: coverage and loaded machines make each start a slow one
async def test_no_answer_is_broken_by_any_of_many_kills_under_load(tmp_path: Path) -> None:
    print(f"CRASH_SEED={SEED} CRASH_KILLS={KILLS}")
    with running_node(tmp_path, *FLAGS) as node:
        stage = Stage(node.url, SEED)
        clients = [asyncio.create_task(client.work(), name=client.name) for client in crew(stage)]
        stage.up.set()
        await kill_again_and_again(node, stage, clients)
        stage.ending = True
        await asyncio.wait_for(asyncio.gather(*clients), STALL_S)
        await asyncio.wait_for(drain(stage), DRAIN_S)
        left = [one async for one in all_tasks(node.url)]
        assert node.stop() == 0
        found = violations(stage.history, left)
        assert not found, "\n".join([f"CRASH_SEED={SEED}", *found[:20]])
        assert inspect(node.data_dir / "tq.db") == len(left)
        assert_there_was_load(stage, left)


async def kill_again_and_again(node: NodeProcess, stage: Stage, clients: list[asyncio.Task[None]]) -> None:
    """Kills and restarts the node ``KILLS`` times, each time some moment after it has begun to answer."""
    chance = random.Random(SEED)
    for _ in range(KILLS):
        stage.answer_came.clear()
        await asyncio.wait_for(stage.answer_came.wait(), STALL_S)
        await asyncio.sleep(chance.uniform(0, chance.choice(KILL_WITHIN_S)))
        ended = [client for client in clients if client.done()]
        for client in ended:
            client.result()
        assert not ended, "a client gave up"
        node.kill()
        stage.up.clear()
        if chance.random() < START_KILLED_SHARE:
            await kill_while_it_starts(node, chance.uniform(0.1, 0.5))
        await asyncio.to_thread(node.restart)
        stage.up.set()


async def kill_while_it_starts(node: NodeProcess, after_s: float) -> None:
    """A start that is killed before, in the middle of, or just after its recovery."""
    before = node.process
    starting = asyncio.create_task(asyncio.to_thread(node.restart))
    await eventually_async(lambda: node.process is not before, every_s=0.001)
    await asyncio.sleep(after_s)
    node.process.kill()
    await asyncio.gather(starting, return_exceptions=True)
    assert await asyncio.to_thread(node.wait) == -9


async def drain(stage: Stage) -> None:
    """Completes whatever is left, waiting for the leases of those who went away."""
    worker = Worker(stage, "drainer")
    client = RawClient(stage.url)
    while True:
        held = await worker.claim(list(QUEUES), 500, wait_s=0.2)
        if held:
            await worker.say_many([(grant, "complete") for grant in held])
            continue
        totals = (await client.get("/v1/stats")).json()["totals"]
        if not any(totals.get(state, 0) for state in ("ready", "scheduled", "running")):
            break
    client.close()
    worker.http.close()


async def all_tasks(url: str) -> AsyncIterator[Left]:
    """Each task, page by page."""
    client = RawClient(url)
    cursor = ""
    while True:
        page = (await client.get(f"/v1/tasks?limit=1000&payload=true{cursor}")).json()
        for task in page["tasks"]:
            result: Any = task.get("result")
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


def assert_there_was_load(stage: Stage, left: list[Left]) -> None:
    """A run that hardly did anything proves nothing."""
    history = stage.history
    said = {(one.what, one.outcome) for one in history.said}
    print(
        f"{stage.answered} answers, {len(left)} tasks, {len(history.grants)} claims, "
        f"{sum(one.task is None for one in history.enqueues)} enqueues and "
        f"{sum(one.outcome == 'unknown' for one in history.said)} finishes without an answer"
    )
    assert stage.answered > 10 * KILLS
    assert len(left) > KILLS
    assert any(one.task is None for one in history.enqueues)
    assert {("complete", "ok"), ("complete", "unknown"), ("complete", "refused"), ("bury", "ok")} <= said
    assert any(number > 1 for number in (grant.attempt for grant in history.grants))


@pytest.mark.parametrize("seed", range(3))
async def test_a_kill_leaves_a_quiet_queue_in_order(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with running_node(tmp_path, *FLAGS) as node:
        client = RawClient(node.url)
        enqueued: list[tuple[str, int]] = []

        async def enqueue(count: int) -> None:
            priorities = [chance.choice((0, 7, 128, 255)) for _ in range(count)]
            tasks = [{"kind": "quiet", "priority": priority} for priority in priorities]
            made = (await client.post("/v1/tasks", tasks)).json()["results"]
            enqueued.extend(zip([one["id"] for one in made], priorities, strict=True))

        async def claim(most: int) -> list[str]:
            answer = await client.post("/v1/claims", {"worker": "w", "max": most})
            return [task["id"] for task in json.loads(answer.body)["tasks"]]

        async def die() -> None:
            client.close()
            node.kill()
            await asyncio.to_thread(node.restart)

        for _ in range(3):
            await enqueue(chance.randint(1, QUIET_TASKS // 3))
            await die()
        claimed: list[str] = []
        while len(claimed) < len(enqueued):
            claimed += await claim(chance.randint(1, QUIET_TASKS // 2))
            await die()
        assert await claim(1) == []
        client.close()
        assert out_of_order(enqueued, claimed) == []
