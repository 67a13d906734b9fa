"""Pauses that end by themselves, the pause of the whole node, and drains."""

import asyncio
from pathlib import Path

import pytest

from tests.tqnode.nodes import Core, FakeClock, fail, open_core, spec, sweeping
from tests.tqnode.queue.scheduling import get, put
from tests.waiting import eventually_async
from tqnode.errors import InvalidField, NotFound, QueueDraining
from tqnode.queue import pauses
from tqnode.queue.pauses import NewPause
from tqnode.store import Tx
from tqnode.task import Complete, TaskState


async def test_a_pause_is_over_at_its_end_though_nobody_cleared_it_away(core: Core) -> None:
    task_id = await core.enqueue()
    info = await core.queue.catalogue.pause("default", NewPause(for_ms=1000, reason="deploy"))
    assert info.paused
    assert info.pause is not None
    assert (info.pause.until_ms, info.pause.reason) == (core.clock.now_ms() + 1000, "deploy")
    core.clock.advance(0.999)
    assert await core.claim() == []
    core.clock.advance(0.001)
    assert not (await core.queue.catalogue.one("default")).paused
    assert [task.id for task in await core.claim()] == [task_id]


async def test_a_claim_that_waits_gets_its_task_when_the_pause_ends(core: Core) -> None:
    await core.enqueue()
    await core.queue.catalogue.pause("default", NewPause(for_ms=5000))
    async with sweeping(core):
        waiting = asyncio.create_task(core.claim(wait_s=60))
        await eventually_async(lambda: len(core.queue.waiting) == 1)
        core.clock.advance(4.9)
        await core.store.write(lambda _: None)
        assert not waiting.done()
        core.clock.advance(0.1)
        (task,) = await waiting
    assert task.queue == "default"
    assert (await core.queue.catalogue.one("default")).pause is None


async def test_a_claim_that_waits_gets_its_task_when_the_pause_of_the_node_ends(core: Core) -> None:
    await core.enqueue()
    await core.queue.catalogue.pause_node(NewPause(until_ms=core.clock.now_ms() + 5000))
    async with sweeping(core):
        waiting = asyncio.create_task(core.claim(wait_s=60))
        await eventually_async(lambda: len(core.queue.waiting) == 1)
        core.clock.advance(5)
        assert len(await waiting) == 1
    assert await core.queue.catalogue.node_pause() is None


async def test_a_pause_outlives_a_restart_and_wakes_the_claims_that_wait_after_it(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with open_core(tmp_path / "tq.db", clock=clock) as core:
        await core.enqueue()
        await core.queue.catalogue.pause("default", NewPause(for_ms=5000))
        await core.queue.catalogue.pause_node(NewPause(for_ms=3000))
    clock.advance(1)
    async with open_core(tmp_path / "tq.db", clock=clock) as core, sweeping(core):
        assert await core.queue.catalogue.node_pause() is not None
        waiting = asyncio.create_task(core.claim(wait_s=60))
        await eventually_async(lambda: len(core.queue.waiting) == 1)
        core.clock.advance(2)
        assert await core.claim() == []
        core.clock.advance(2)
        assert len(await waiting) == 1


async def test_a_paused_node_gives_out_nothing_and_does_all_else(core: Core) -> None:
    running = await core.running()
    await core.queue.catalogue.pause_node(NewPause(reason="the database moves"))
    waits = await core.enqueue()
    assert await core.claim("default", "other") == []
    await core.queue.heartbeat(running.id, running.token, lease_ms=None, progress=b"1")
    assert (await core.complete(running)).state is TaskState.SUCCEEDED
    assert await core.queue.catalogue.resume_node() is None
    assert [task.id for task in await core.claim()] == [waits]


async def test_the_end_of_the_nodes_pause_leaves_a_paused_queue_paused(core: Core) -> None:
    await core.enqueue()
    await core.queue.catalogue.pause("default")
    await core.queue.catalogue.pause_node()
    await core.queue.catalogue.resume_node()
    assert await core.claim() == []
    await core.queue.catalogue.resume("default")
    assert len(await core.claim()) == 1


async def test_a_second_pause_gives_the_first_a_new_end_and_reason(core: Core) -> None:
    await core.enqueue()
    first = await core.queue.catalogue.pause("default", NewPause(for_ms=1000, reason="a"))
    core.clock.advance(0.5)
    second = await core.queue.catalogue.pause("default")
    assert first.pause is not None
    assert second.pause is not None
    assert (second.pause.since_ms, second.pause.until_ms, second.pause.reason) == (
        first.pause.since_ms,
        None,
        None,
    )
    await core.sweep_after(2)
    assert await core.claim() == []


async def test_a_pause_to_a_moment_that_has_passed_is_refused_and_changes_nothing(core: Core) -> None:
    await core.enqueue()
    with pytest.raises(InvalidField) as refused:
        await core.queue.catalogue.pause("default", NewPause(until_ms=core.clock.now_ms()))
    assert refused.value.field == "until"
    assert not (await core.queue.catalogue.one("default")).paused


async def test_a_draining_queue_takes_no_new_tasks_and_gives_out_those_it_has(core: Core) -> None:
    await core.queue.enqueue([spec(), spec()])
    assert (await core.queue.catalogue.drain("default")).draining
    for refused in (core.enqueue(), core.queue.enqueue([spec(queue="other"), spec()])):
        with pytest.raises(QueueDraining):
            await refused
    assert await core.count("task") == 2
    assert len(await core.claim(max=5)) == 2
    assert not (await core.queue.catalogue.resume("default")).draining
    await core.enqueue()


async def test_what_goes_on_in_a_draining_queue_is_let_in(core: Core) -> None:
    first, second = await core.queue.enqueue([spec(), spec()])
    (child,) = await core.queue.enqueue(
        [spec(after=(bytes.fromhex(first.id.replace("-", "")),), needs="succeeded")]
    )
    one, two = await core.claim(max=2)
    await core.queue.catalogue.drain("default")
    (done,) = await core.queue.finish([Complete(id=one.id, token=one.token, then=(spec(),))])
    assert not isinstance(done, Exception)
    assert len(done.then) == 1
    assert await core.state(child.id) is TaskState.READY
    assert (await core.finish(fail(two, delay_ms=0))).state is TaskState.READY
    assert second.id == two.id
    assert len(await core.claim(max=9)) == 3


async def test_what_is_asked_of_a_queue_that_is_not_there_says_so(core: Core) -> None:
    for asked in (core.queue.catalogue.drain("x"), core.queue.catalogue.pause("x", NewPause(for_ms=1))):
        with pytest.raises(NotFound):
            await asked


async def test_an_undone_pause_is_none(core: Core) -> None:
    task_id = await core.enqueue()

    def operation(tx: Tx) -> None:
        pauses.pause(tx, "default", NewPause())
        raise InvalidField("so")

    with pytest.raises(InvalidField):
        await core.store.write(operation)
    assert [task.id for task in await core.claim()] == [task_id]


async def test_a_queue_that_was_told_something_is_not_forgotten_for_want_of_room(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", queues_max=3) as core:
        for name in ("drained", "empty"):
            await core.complete(await core.running(queue=name))
        await core.queue.catalogue.drain("drained")
        await core.queue.catalogue.configure("set", {"depth_max": 5})
        await core.rows("SELECT 1")
        await core.queue.catalogue.purge("drained", [TaskState.SUCCEEDED])
        await core.queue.catalogue.purge("empty", [TaskState.SUCCEEDED])
        await core.enqueue(queue="new")
        assert [info.queue for info in await core.queue.catalogue.all()] == ["drained", "new", "set"]


async def test_a_schedules_tick_waits_until_its_queue_takes_tasks_again(core: Core) -> None:
    await core.queue.catalogue.configure("default", {})
    await core.queue.catalogue.drain("default")
    await put(core, every_ms=1000)
    await core.sweep_after(3)
    assert await core.count("task") == 0
    await core.queue.catalogue.resume("default")
    await core.sweep_after(6)
    assert await core.count("task") >= 1
    assert (await get(core)).fires >= 1
