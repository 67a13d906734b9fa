import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.tqnode.nodes import Core, open_core, spec
from tests.tqnode.queue.families import child
from tqnode.errors import NotFound
from tqnode.queue import WorkerSpec
from tqnode.sweeps import FREE_PAGES_KEPT, NEVER_MS, next_moment_ms
from tqnode.task import Fail, Idempotency, Needs, TaskState

DAY_S = 86_400


async def next_moment(core: Core) -> int:
    return await core.store.read(lambda reader: next_moment_ms(reader, began_ms=core.clock.now_ms()))


# -- time ------------------------------------------------------------------------------------------


async def test_a_scheduled_task_becomes_ready_at_its_time_and_not_before(core: Core) -> None:
    task_id = await core.enqueue(run_at_ms=core.clock.now_ms() + 2_000)
    await core.sweep_after(1.999)
    assert await core.state(task_id) is TaskState.SCHEDULED
    await core.sweep_after(0.001)
    assert await core.state(task_id) is TaskState.READY
    assert (await core.task(task_id)).run_at_ms == core.clock.now_ms()


async def test_due_tasks_line_up_by_when_they_were_due(core: Core) -> None:
    late = await core.enqueue(run_at_ms=core.clock.now_ms() + 20)
    early = await core.enqueue(run_at_ms=core.clock.now_ms() + 10)
    await core.sweep_after(1)
    fresh = await core.enqueue()
    assert [task.id for task in await core.claim(max=5)] == [early, late, fresh]


@pytest.mark.parametrize("delay_ms", [None, 60_000])
async def test_a_waiting_task_past_its_expiry_is_cancelled_with_that_reason(
    core: Core, delay_ms: int | None
) -> None:
    now_ms = core.clock.now_ms()
    run_at_ms = None if delay_ms is None else now_ms + delay_ms
    task_id = await core.enqueue(expires_at_ms=now_ms + 2_000, run_at_ms=run_at_ms)
    await core.sweep_after(1.999)
    assert await core.state(task_id) in (TaskState.READY, TaskState.SCHEDULED)
    await core.sweep_after(0.001)
    stored = await core.task(task_id)
    assert (stored.state, stored.reason) == (TaskState.CANCELLED, "expired")
    assert stored.finished_at_ms == core.clock.now_ms()


async def test_tasks_that_wait_for_each_other_expire_together(core: Core) -> None:
    expires_at_ms = core.clock.now_ms() + 1_000
    first = spec(expires_at_ms=expires_at_ms)
    after_all = child(0, needs=Needs.FINISHED, expires_at_ms=expires_at_ms)
    made = await core.queue.enqueue([first, child(0, expires_at_ms=expires_at_ms), after_all])
    await core.sweep_after(2)
    reasons = [(await core.task(one.id)).reason for one in made]
    assert reasons == ["expired", "dependency", "expired"]
    assert not await core.drift()


async def test_a_running_task_does_not_expire_but_its_next_wait_does(core: Core) -> None:
    task = await core.running(expires_at_ms=core.clock.now_ms() + 1_000)
    await core.sweep_after(2)
    assert await core.state(task.id) is TaskState.RUNNING
    await core.finish(Fail(id=task.id, token=task.token))
    await core.sweep_after(0)
    await core.sweeper.sweep()
    assert (await core.task(task.id)).reason == "expired"
    again = await core.finish(Fail(id=task.id, token=task.token))
    assert again.state is TaskState.SCHEDULED, "its receipt outlives the expiry"


async def test_the_next_moment_is_the_earliest_of_all_that_time_will_do(core: Core) -> None:
    now_ms = core.clock.now_ms()
    assert await next_moment(core) == NEVER_MS
    await core.enqueue(run_at_ms=now_ms + 9_000)
    assert await next_moment(core) == now_ms + 9_000
    await core.enqueue(expires_at_ms=now_ms + 8_000, queue="b")
    assert await next_moment(core) == now_ms + 8_000
    await core.running(lease_ms=7_000)
    assert await next_moment(core) == now_ms + 7_000


# -- retention -------------------------------------------------------------------------------------


async def final_task(core: Core, state: TaskState) -> str:
    task = await core.running(tags=("t",))
    if state is TaskState.SUCCEEDED:
        await core.complete(task)
    elif state is TaskState.DEAD:
        await core.finish(Fail(id=task.id, token=task.token, retry=False))
    else:
        await core.queue.cancel(task.id)
        await core.finish(Fail(id=task.id, token=task.token))
    return task.id


async def is_gone(core: Core, task_id: str) -> bool:
    try:
        await core.task(task_id)
    except NotFound:
        return True
    return False


async def sweep_at(core: Core, seconds: float) -> None:
    core.clock.advance(seconds)
    await core.sweeper.sweep()


@pytest.mark.parametrize(
    ("state", "days"), [(TaskState.SUCCEEDED, 1), (TaskState.CANCELLED, 1), (TaskState.DEAD, 7)]
)
async def test_a_final_task_is_kept_as_long_as_its_state_says_and_then_leaves_nothing(
    core: Core, state: TaskState, days: int
) -> None:
    task_id = await final_task(core, state)
    await sweep_at(core, days * DAY_S)
    assert await core.state(task_id) is state
    await sweep_at(core, 0.001)
    assert await is_gone(core, task_id)
    for table in ("task", "task_body", "task_note", "task_tag"):
        assert await core.count(table) == 0
    assert (await core.queue.catalogue.one("default")).counts == {}


@pytest.mark.parametrize(
    ("state", "setting"),
    [
        (TaskState.SUCCEEDED, "keep_succeeded_s"),
        (TaskState.CANCELLED, "keep_cancelled_s"),
        (TaskState.DEAD, "keep_dead_s"),
    ],
)
async def test_a_state_that_is_kept_for_ever_is_never_deleted_while_the_others_are(
    tmp_path: Path, state: TaskState, setting: str
) -> None:
    forever: dict[str, Any] = {setting: -1}
    async with open_core(tmp_path / "tq.db", **forever) as core:
        kept = {
            made: await final_task(core, made)
            for made in (TaskState.SUCCEEDED, TaskState.CANCELLED, TaskState.DEAD)
        }
        await sweep_at(core, 1000 * DAY_S)
        assert {made for made, task_id in kept.items() if not await is_gone(core, task_id)} == {state}


async def test_a_state_that_is_not_kept_at_all_goes_with_the_next_sweep(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", keep_succeeded_s=0) as core:
        task_id = await final_task(core, TaskState.SUCCEEDED)
        await sweep_at(core, 0.001)
        assert await is_gone(core, task_id)


async def test_waiting_and_running_tasks_are_kept_however_old(core: Core) -> None:
    running = await core.running()
    ready = await core.enqueue()
    for _ in range(3):
        await sweep_at(core, 1000 * DAY_S)
        await core.queue.heartbeat(running.id, running.token, lease_ms=None, progress=None)
    assert await core.state(ready) is TaskState.READY
    assert await core.state(running.id) is TaskState.RUNNING


async def test_idempotency_keys_are_forgotten_when_their_time_is_over(core: Core) -> None:
    key = Idempotency("a", b"body")
    (first,) = await core.queue.enqueue([spec()], idempotency=key)
    await sweep_at(core, 3600)
    assert await core.queue.enqueue([spec()], idempotency=key) == [first]
    await sweep_at(core, 0.001)
    assert await core.count("idempotency") == 0
    (second,) = await core.queue.enqueue([spec()], idempotency=key)
    assert second.id != first.id


# -- workers ---------------------------------------------------------------------------------------


async def test_a_silent_worker_is_dropped_while_its_leases_last_until_their_own_end(core: Core) -> None:
    silent = await core.queue.registry.register(WorkerSpec(name="silent"))
    alive = await core.queue.registry.register(WorkerSpec(name="alive"))
    await core.enqueue(lease_ms=90_000)
    task = await core.claim_one(worker=silent.id)
    for _ in range(60):
        await core.sweep_after(1)
        await core.queue.registry.heartbeat(alive.id, [])
    assert len(await core.queue.registry.all()) == 2
    await core.sweep_after(0.001)
    assert [worker.name for worker in await core.queue.registry.all()] == ["alive"]
    assert await core.state(task.id) is TaskState.RUNNING
    await core.sweep_after(29.999)
    assert await core.state(task.id) is TaskState.READY


async def test_workers_are_not_dropped_for_the_silence_of_a_node_that_was_away(tmp_path: Path) -> None:
    path = tmp_path / "tq.db"
    async with open_core(path) as core:
        worker = await core.queue.registry.register(WorkerSpec(name="w"))
        clock = core.clock
    clock.advance(3600)
    async with open_core(path, clock=clock) as core:
        await core.sweep_after(59)
        assert await core.queue.registry.heartbeat(worker.id, []) == ("run", [])
        await core.sweep_after(61)
        assert await core.queue.registry.all() == []


# -- the file --------------------------------------------------------------------------------------


async def pages(core: Core) -> tuple[int, int]:
    """All pages and the free ones among them."""
    database = (await core.queue.stats()).database
    return database["file"] // 4096, database["free"] // 4096


def size_of(path: Path) -> int:
    return path.stat().st_size


async def test_the_pages_of_deleted_tasks_go_back_to_the_file_system_but_for_a_reserve(
    tmp_path: Path,
) -> None:
    path = tmp_path / "tq.db"
    async with open_core(path, keep_succeeded_s=0) as core:
        await core.queue.enqueue([spec(payload=b'"' + b"x" * 10_000 + b'"') for _ in range(2_000)])
        full, _ = await pages(core)
        while tasks := await core.claim(max=500):
            await asyncio.gather(*[core.complete(task) for task in tasks])
        await sweep_at(core, 1)
        left, free = await pages(core)
        assert free == FREE_PAGES_KEPT
        assert left < full / 5
    assert size_of(path) == left * 4096, "the file itself is as short as the database says"


async def test_a_file_without_many_free_pages_is_left_alone(core: Core) -> None:
    await core.queue.enqueue([spec() for _ in range(100)])
    before = await pages(core)
    await core.sweeper.sweep()
    assert await pages(core) == before
