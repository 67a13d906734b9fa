import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tqnode.nodes import Core, FakeClock, HeldWriter, open_core, settle, spec, sweeping
from tests.tqnode.store.failing_disk import failing_disk
from tests.waiting import eventually_async
from tqnode.queue.retention import Retention
from tqnode.queue.sliced import SLICE_MAX, SLICE_MIN, SLICE_S
from tqnode.store import Tx
from tqnode.sweeper import TICK_S
from tqnode.task import ClaimedTask, TaskState

READY, RUNNING = TaskState.READY, TaskState.RUNNING
HOUR_S = 3600


async def is_in(core: Core, task_id: str, state: TaskState) -> bool:
    return await core.state(task_id) is state


async def reaches(core: Core, task_id: str, state: TaskState) -> None:
    await eventually_async(lambda: is_in(core, task_id, state))


async def beat(core: Core, task: ClaimedTask, lease_ms: int | None = None) -> None:
    await core.queue.heartbeat(task.id, task.token, lease_ms=lease_ms, progress=None)


# -- when it looks ---------------------------------------------------------------------------------


async def test_the_sweeper_sleeps_until_the_next_task_is_due(core: Core) -> None:
    task_id = await core.enqueue(run_at_ms=core.clock.now_ms() + 250)
    async with sweeping(core):
        assert core.clock.sleepers == [pytest.approx(0.25)]
        core.clock.advance(0.25)
        await reaches(core, task_id, READY)


async def test_the_sweeper_sleeps_no_longer_than_a_tick(core: Core) -> None:
    await core.enqueue(run_at_ms=core.clock.now_ms() + 60_000)
    async with sweeping(core):
        assert core.clock.sleepers == [pytest.approx(TICK_S)]


async def test_a_task_put_off_for_less_than_the_sweeper_sleeps_wakes_it(core: Core) -> None:
    async with sweeping(core):
        task_id = await core.enqueue(run_at_ms=core.clock.now_ms() + 50)
        await eventually_async(lambda: core.clock.sleepers == [pytest.approx(0.05)])
        core.clock.advance(0.05)
        await reaches(core, task_id, READY)


async def test_a_task_put_off_while_the_sweeper_reads_when_to_look_again_is_not_overlooked(
    core: Core,
) -> None:
    made: list[asyncio.Task[str]] = []
    read = core.store.read

    async def late(operation: Any) -> Any:
        answer: Any = await read(operation)
        # Committed after the snapshot that was read, and before the sweeper has the answer.
        made.append(asyncio.create_task(core.enqueue(run_at_ms=core.clock.now_ms() + 50)))
        await made[0]
        return answer

    core.store.read = late  # type: ignore[method-assign]  # the window is too short to hit
    running = asyncio.create_task(core.sweeper.run())
    await eventually_async(lambda: made and made[0].done())
    core.store.read = read  # type: ignore[method-assign]  # from now on as usual
    await eventually_async(lambda: core.clock.sleepers == [pytest.approx(0.05)])
    running.cancel()
    await asyncio.wait([running])


async def test_a_lease_shorter_than_a_tick_is_reclaimed_within_a_tick_of_its_end(core: Core) -> None:
    async with sweeping(core):
        task = await core.running(lease_ms=100)
        for _ in range(2):
            core.clock.advance(TICK_S)
            await eventually_async(lambda: core.clock.sleepers)
        await reaches(core, task.id, READY)


async def test_the_sweeper_does_not_spin_while_expired_leases_are_spared(tmp_path: Path) -> None:
    path = tmp_path / "tq.db"
    async with open_core(path) as core:
        task = await core.running(lease_ms=30_000)
        clock = core.clock
    clock.advance(HOUR_S)
    async with open_core(path, clock=clock) as core, sweeping(core):
        assert core.clock.sleepers == [pytest.approx(TICK_S)]
        assert await core.state(task.id) is RUNNING


async def test_the_sweeper_waits_while_the_disk_is_full_and_goes_on_when_it_is_not(tmp_path: Path) -> None:
    with failing_disk() as disk:
        async with open_core(tmp_path / "tq.db") as core:
            task_id = await core.enqueue(run_at_ms=core.clock.now_ms() + 100)
            async with sweeping(core):
                disk.full = True
                core.clock.advance(0.2)
                await eventually_async(lambda: core.clock.sleepers == [pytest.approx(5)])
                disk.full = False
                core.clock.advance(5)
                await reaches(core, task_id, READY)
            assert not core.fatal


# -- nothing that still heartbeats is reclaimed ----------------------------------------------------


async def test_a_lease_that_is_kept_alive_is_never_reclaimed(core: Core) -> None:
    task = await core.running(lease_ms=3_000)
    for _ in range(40):
        await core.sweep_after(2.9)
        await beat(core, task)
    assert await core.state(task.id) is RUNNING


async def test_a_heartbeat_that_waits_in_the_writer_is_served_before_the_sweep(core: Core) -> None:
    task = await core.running(lease_ms=1_000)
    await core.sweep_after(0.9)
    async with HeldWriter(core.store):
        core.clock.advance(0.2)
        sweep = asyncio.create_task(core.sweeper.sweep())
        await settle()
        assert core.store.backlog == 1
        heartbeat = asyncio.create_task(beat(core, task))
        await settle()
    await asyncio.gather(sweep, heartbeat)
    assert await core.state(task.id) is RUNNING


async def test_after_an_outage_every_lease_has_its_full_time_again(tmp_path: Path) -> None:
    path = tmp_path / "tq.db"
    async with open_core(path) as core:
        task = await core.running(lease_ms=10_000)
        clock = core.clock
    clock.advance(HOUR_S)
    async with open_core(path, clock=clock) as core:
        await core.sweep_after(9.999)
        assert await core.state(task.id) is RUNNING
        await core.sweep_after(0.001)
        stored = await core.task(task.id)
        assert (stored.state, stored.crashes) == (READY, 1)


async def test_after_an_outage_a_worker_may_keep_and_finish_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "tq.db"
    async with open_core(path) as core:
        task = await core.running(lease_ms=10_000)
        clock = core.clock
    clock.advance(HOUR_S)
    async with open_core(path, clock=clock) as core:
        await core.sweep_after(9)
        await beat(core, task)
        await core.sweep_after(9)
        assert (await core.complete(task)).state is TaskState.SUCCEEDED


async def test_after_a_stall_every_lease_has_its_full_time_again(core: Core) -> None:
    task = await core.running(lease_ms=10_000)
    await core.sweep_after(20 - 20)
    core.clock.advance(600)
    await core.sweeper.sweep()
    assert await core.state(task.id) is RUNNING
    await core.sweep_after(9.999)
    assert await core.state(task.id) is RUNNING
    await core.sweep_after(0.001)
    assert await core.state(task.id) is READY


async def test_a_node_that_stands_still_within_a_sweep_reclaims_nothing(core: Core) -> None:
    task = await core.running(lease_ms=10_000)
    await core.sweep_after(5)
    async with HeldWriter(core.store):
        # The sweep has looked at the clock and waits for the writer when everything stops.
        sweep = asyncio.create_task(core.sweeper.sweep())
        await settle()
        core.clock.advance(600)
    await sweep
    assert await core.state(task.id) is RUNNING
    await core.sweeper.sweep()
    assert await core.state(task.id) is RUNNING
    await core.sweep_after(10)
    assert await core.state(task.id) is READY


# -- slices ----------------------------------------------------------------------------------------


async def test_a_sweep_does_more_than_one_slice_of_work(core: Core) -> None:
    due_ms = core.clock.now_ms() + 100
    await core.queue.enqueue([spec(run_at_ms=due_ms) for _ in range(SLICE_MAX + 500)])
    await core.sweep_after(1)
    assert (await core.queue.stats()).totals == {"ready": SLICE_MAX + 500}


async def test_all_kinds_of_work_that_have_little_to_do_share_one_transaction(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    await core.sweeper.sweep()
    await core.enqueue(run_at_ms=core.clock.now_ms() + 100)
    await core.running(lease_ms=100, queue="other")
    core.clock.advance(0.5)
    write, written = core.store.write, 0

    async def counted(operation: Callable[[Tx], Any], *, background: bool = False) -> Any:
        nonlocal written
        written += 1
        return await write(operation, background=background)

    monkeypatch.setattr(core.store, "write", counted)
    await core.sweeper.sweep()
    assert (await core.queue.stats()).totals == {"ready": 2}
    assert written == 1


async def test_old_tasks_are_deleted_as_fast_as_tasks_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete, clock, asked = Retention.work, FakeClock(), list[int]()

    def timed(self: Retention, tx: Tx, limit: int) -> int:
        deleted = delete(self, tx, limit)
        clock.advance(deleted * SLICE_S / SLICE_MIN)
        if deleted:
            asked.append(limit)
        return deleted

    monkeypatch.setattr(Retention, "work", timed)
    async with open_core(tmp_path / "tq.db", clock=clock, keep_cancelled_s=0) as core:
        made = await core.queue.enqueue([spec() for _ in range(SLICE_MIN * 6)])
        for ending in (made[: SLICE_MIN * 3], made[SLICE_MIN * 3 : SLICE_MIN * 5]):
            await asyncio.gather(*[core.queue.cancel(task.id) for task in ending])
            clock.advance(0.1)
            await core.sweeper.sweep()
        # At first it is not known how long a slice takes.
        assert asked == [SLICE_MIN] * 3 + [SLICE_MIN * 2 * 5 // 4]
        assert (await core.queue.stats()).totals == {"ready": SLICE_MIN}


async def test_a_due_task_does_not_wait_until_all_old_tasks_are_deleted(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", keep_cancelled_s=0) as core:
        made = await core.queue.enqueue([spec() for _ in range(SLICE_MAX * 3)])
        await asyncio.gather(*[core.queue.cancel(task.id) for task in made])
        core.clock.advance(0.5)
        due = await core.enqueue(run_at_ms=core.clock.now_ms() + 100)
        left_when_ready: list[int] = []

        def watch(tx: Tx) -> None:
            (left,) = tx.one("SELECT count(*) FROM task WHERE state = 'cancelled'") or (0,)
            (ready,) = tx.one("SELECT count(*) FROM task WHERE state = 'ready'") or (0,)
            if left and not left_when_ready and left < SLICE_MAX * 3:
                core.clock.advance(0.2)
            if ready:
                left_when_ready.append(left)

        sweep = asyncio.create_task(core.sweeper.sweep())
        while not sweep.done():
            await core.store.write(watch)
        await sweep
        assert await core.state(due) is READY
        assert left_when_ready
        assert left_when_ready[0] > 0


async def test_a_clock_of_a_test_wakes_sleepers_in_order_and_steps_alone() -> None:
    clock = FakeClock()
    woken: list[str] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(name)

    sleeping = [asyncio.create_task(sleeper("b", 2)), asyncio.create_task(sleeper("a", 1))]
    await settle()
    clock.step(HOUR_S)
    await settle()
    assert woken == []
    clock.advance(5)
    await asyncio.gather(*sleeping)
    assert woken == ["a", "b"]
