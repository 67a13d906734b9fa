"""Leases and workers end when they should, though wall clocks are set, or differ from node to node."""

from pathlib import Path

import pytest

from tests.tqnode.nodes import Core, HeldWriter, fails_after_writing, open_core
from tqnode.queue import WorkerSpec
from tqnode.task import ClaimedTask, TaskState

READY, RUNNING = TaskState.READY, TaskState.RUNNING
HOUR_S = 3600


async def beat(core: Core, task: ClaimedTask, lease_ms: int | None = None) -> None:
    await core.queue.heartbeat(task.id, task.token, lease_ms=lease_ms, progress=None)


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S, 1, -1, 86_400 * 365, -86_400 * 365])
async def test_leases_end_when_they_would_have_ended_though_the_wall_clock_steps(
    core: Core, step_s: int
) -> None:
    await core.sweep_after(11)
    task = await core.running(lease_ms=10_000)
    await core.sweep_after(4)
    core.clock.step(step_s)
    await core.sweep_after(5.9)
    assert await core.state(task.id) is RUNNING
    await core.sweep_after(0.1)
    assert await core.state(task.id) is READY


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
async def test_a_lease_kept_alive_right_after_the_clock_was_set_ends_when_it_should(
    core: Core, step_s: int
) -> None:
    await core.sweep_after(11)
    task = await core.running(lease_ms=10_000)
    await core.sweep_after(4)
    core.clock.step(step_s)
    # Before any sweep could see that the clock was set.
    await beat(core, task)
    core.clock.advance(0.5)
    await core.sweep_after(9.4)
    assert await core.state(task.id) is RUNNING
    await core.sweep_after(0.1)
    assert await core.state(task.id) is READY


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
async def test_a_lease_longer_than_the_task_s_own_survives_a_clock_that_is_set(
    core: Core, step_s: int
) -> None:
    await core.sweep_after(11)
    task = await core.running(lease_ms=10_000)
    await beat(core, task, lease_ms=60_000)
    core.clock.step(step_s)
    await core.sweep_after(59.9)
    assert await core.state(task.id) is RUNNING
    await core.sweep_after(0.1)
    assert await core.state(task.id) is READY


async def test_a_claim_right_after_the_clock_was_set_back_is_not_taken_away(core: Core) -> None:
    await core.sweep_after(31)
    await core.enqueue()
    core.clock.step(-HOUR_S)
    task = await core.claim_one()
    await core.sweep_after(29.9)
    assert await core.state(task.id) is RUNNING


async def test_the_spared_time_after_an_outage_lasts_though_the_wall_clock_steps(tmp_path: Path) -> None:
    path = tmp_path / "tq.db"
    async with open_core(path) as core:
        task = await core.running(lease_ms=10_000)
        clock = core.clock
    clock.advance(HOUR_S)
    async with open_core(path, clock=clock) as core:
        await core.sweep_after(5)
        core.clock.step(HOUR_S)
        await core.sweep_after(4.9)
        assert await core.state(task.id) is RUNNING


@pytest.mark.parametrize("ahead_s", [HOUR_S, -HOUR_S])
@pytest.mark.parametrize("extended_ms", [None, 20_000])
async def test_a_lease_counted_by_another_node_s_clock_ends_in_its_own_time(
    tmp_path: Path, ahead_s: int, extended_ms: int | None
) -> None:
    path = tmp_path / "tq.db"
    async with open_core(path) as core:
        core.clock.step(ahead_s)
        task = await core.running(lease_ms=10_000)
        if extended_ms is not None:
            await beat(core, task, lease_ms=extended_ms)
        clock = core.clock
    clock.step(-ahead_s)
    async with open_core(path, clock=clock) as core:
        left_s = (extended_ms or 10_000) / 1000
        await core.sweeper.sweep()
        await core.sweep_after(left_s - 0.1)
        assert await core.state(task.id) is RUNNING
        await core.sweep_after(0.2)
        assert await core.state(task.id) is READY


async def test_a_start_takes_nothing_off_a_lease_that_is_as_long_as_it_should_be(tmp_path: Path) -> None:
    path = tmp_path / "tq.db"
    async with open_core(path) as core:
        task = await core.running(lease_ms=10_000)
        await beat(core, task, lease_ms=60_000)
        ends_ms = (await core.task(task.id)).lease_expires_at_ms
        clock = core.clock
    async with open_core(path, clock=clock) as core:
        await core.sweeper.sweep()
        assert (await core.task(task.id)).lease_expires_at_ms == ends_ms


async def test_a_worker_last_heard_by_a_clock_ahead_is_dropped_in_time(tmp_path: Path) -> None:
    path = tmp_path / "tq.db"
    async with open_core(path) as core:
        core.clock.step(HOUR_S)
        await core.queue.registry.register(WorkerSpec(name="w"))
        clock = core.clock
    clock.step(-HOUR_S)
    async with open_core(path, clock=clock) as core:
        await core.sweeper.sweep()
        await core.sweep_after(60.1)
        assert await core.queue.registry.all() == []


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
async def test_workers_stay_registered_though_the_wall_clock_steps(core: Core, step_s: int) -> None:
    worker = await core.queue.registry.register(WorkerSpec(name="w"))
    await core.sweep_after(50)
    core.clock.step(step_s)
    await core.sweep_after(9.9)
    assert [row.id for row in await core.queue.registry.all()] == [worker.id]
    await core.sweep_after(0.2)
    assert await core.queue.registry.all() == []


async def test_a_step_is_made_up_for_once_though_its_group_is_undone_and_run_again(core: Core) -> None:
    await core.sweep_after(11)
    task = await core.running(lease_ms=10_000)
    async with HeldWriter(core.store):
        core.clock.step(HOUR_S)
        failing = core.store.submit(fails_after_writing(ValueError("no")))
        neighbour = core.store.submit(lambda tx: tx.now_ms)
    await neighbour
    assert isinstance(failing.exception(), ValueError)
    expires_ms = (await core.task(task.id)).lease_expires_at_ms
    assert expires_ms == core.clock.now_ms() + 10_000


async def test_a_clock_that_drifts_a_little_moves_nothing(core: Core) -> None:
    task = await core.running(lease_ms=10_000)
    core.clock.step(0.9)
    await core.sweeper.sweep()
    assert (await core.task(task.id)).lease_expires_at_ms == task.lease_expires_at_ms
