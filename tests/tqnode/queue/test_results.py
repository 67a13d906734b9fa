import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tqnode.nodes import Core, complete, fail, open_core, settle
from tests.waiting import eventually_async
from tqnode import ids
from tqnode.errors import NotFound, Overloaded
from tqnode.task import Task, TaskState

LONG_S = 30.0


async def waits(core: Core, task_id: str) -> asyncio.Task[Task]:
    """A client that has read the task, found it not final, and waits."""
    there = len(core.queue.onlookers)
    waiting = asyncio.create_task(core.queue.results.wait(task_id, wait_s=LONG_S))
    await eventually_async(lambda: len(core.queue.onlookers) > there)
    await core.store.read(lambda _: None)
    await settle()
    assert not waiting.done()
    return waiting


async def got(waiting: asyncio.Task[Task]) -> Task:
    return await asyncio.wait_for(waiting, 10)


async def test_who_waits_for_a_task_gets_it_once_it_has_ended(core: Core) -> None:
    task = await core.running()
    waiting = await waits(core, task.id)
    await core.finish(complete(task, result=b'{"n": 1}'))
    ended = await got(waiting)
    assert (ended.state, ended.result) == (TaskState.SUCCEEDED, b'{"n": 1}')
    assert len(core.queue.onlookers) == 0


async def test_a_task_that_has_ended_is_answered_at_once(core: Core) -> None:
    task = await core.running()
    await core.complete(task)
    ended = await core.queue.results.wait(task.id, wait_s=LONG_S)
    assert ended.state is TaskState.SUCCEEDED


async def test_a_failure_that_is_tried_again_ends_no_wait_and_the_last_one_does(core: Core) -> None:
    task = await core.running(max_attempts=2)
    waiting = await waits(core, task.id)
    await core.finish(fail(task, delay_ms=0))
    await settle()
    assert not waiting.done()
    await core.finish(fail(await core.claim_one()))
    assert (await got(waiting)).state is TaskState.DEAD


async def test_a_cancel_ends_the_wait(core: Core) -> None:
    task_id = await core.enqueue()
    waiting = await waits(core, task_id)
    await core.queue.cancel(task_id)
    assert (await got(waiting)).state is TaskState.CANCELLED


async def test_a_wait_ends_with_the_task_as_it_stands_when_its_time_is_over(core: Core) -> None:
    task_id = await core.enqueue()
    task = await core.queue.results.wait(task_id, wait_s=0.02)
    assert task.state is TaskState.READY
    assert len(core.queue.onlookers) == 0


async def test_who_waits_for_a_task_that_is_deleted_is_told_so(core: Core) -> None:
    task_id = await core.enqueue()
    waiting = await waits(core, task_id)
    await core.queue.delete(task_id)
    with pytest.raises(NotFound):
        await got(waiting)


async def test_a_drain_ends_all_waits_with_the_tasks_as_they_stand(core: Core) -> None:
    task_id = await core.enqueue()
    waiting = [await waits(core, task_id) for _ in range(3)]
    core.queue.drain()
    assert {(await got(one)).state for one in waiting} == {TaskState.READY}
    assert (await core.queue.results.wait(task_id, wait_s=LONG_S)).state is TaskState.READY


async def test_a_client_that_goes_away_waits_no_longer(core: Core) -> None:
    waiting = await waits(core, await core.enqueue())
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(core.queue.onlookers) == 0


async def test_beyond_the_limit_only_ended_tasks_are_answered(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    async with open_core(tmp_path_factory.mktemp("node") / "tq.db", waiting_reads_max=1) as core:
        ended = await core.running()
        await core.complete(ended)
        task_id = await core.enqueue()
        waiting = await waits(core, task_id)
        with pytest.raises(Overloaded) as refusal:
            await core.queue.results.wait(task_id, wait_s=LONG_S)
        assert refusal.value.retry_after_s
        assert (await core.queue.results.wait(ended.id, wait_s=LONG_S)).id == ended.id
        core.queue.drain()
        await got(waiting)


async def test_what_was_not_announced_is_looked_for_when_all_look_again(core: Core) -> None:
    onlooker = core.queue.onlookers.join(ids.parse(await core.enqueue()))
    core.queue.look_again()
    assert await core.queue.onlookers.news(onlooker, within_s=10)
    assert not await core.queue.onlookers.news(onlooker, within_s=0.01)
    core.queue.onlookers.leave(onlooker)


async def test_tasks_that_end_together_are_read_together_and_each_once(core: Core) -> None:
    reads = 0
    read = core.store.read

    async def counted(work: Callable[..., object]) -> object:
        nonlocal reads
        reads += 1
        return await read(work)

    tasks = [await core.running() for _ in range(40)]
    waiting = [
        asyncio.create_task(core.queue.results.wait(task.id, wait_s=LONG_S)) for task in tasks for _ in "ab"
    ]
    missing = asyncio.create_task(core.queue.results.wait(tasks[0].id.replace("0", "1"), wait_s=LONG_S))
    with pytest.raises(NotFound):
        await missing
    await eventually_async(lambda: len(core.queue.onlookers) == 80)
    await core.store.read(lambda _: None)
    await settle()
    core.store.read = counted  # type: ignore[method-assign,assignment]  # to see what the waits cost
    await core.queue.finish([complete(task) for task in tasks])
    ended = await asyncio.wait_for(asyncio.gather(*waiting), 10)
    assert [task.id for task in ended] == [task.id for task in tasks for _ in "ab"]
    assert reads == 2


@given(seed=st.integers(0, 1 << 32), clients=st.integers(1, 12), tasks=st.integers(1, 4))
def test_no_wake_is_lost_however_ends_and_waits_interleave(
    tmp_path_factory: pytest.TempPathFactory, seed: int, clients: int, tasks: int
) -> None:
    chance = random.Random(seed)

    async def later(work: Callable[[], Awaitable[Task | None]]) -> Task | None:
        for _ in range(chance.randrange(30)):
            await asyncio.sleep(0)
        return await work()

    async def scenario() -> None:
        async with open_core(tmp_path_factory.mktemp("node") / "tq.db") as core:
            enqueued = [await core.enqueue() for _ in range(tasks)]
            held = {task.id: task for task in await core.claim(max=tasks)}

            async def end(task_id: str) -> None:
                if chance.random() < 0.5:
                    await core.queue.cancel(task_id)
                if chance.random() < 0.3:
                    await core.finish(fail(held[task_id], retry=False))
                else:
                    await core.finish(complete(held[task_id]))

            async def wait() -> Task:
                return await core.queue.results.wait(chance.choice(enqueued), wait_s=LONG_S)

            works: list[Callable[[], Awaitable[Task | None]]] = [wait] * clients
            for task_id in enqueued:
                works.append(partial(end, task_id))
            chance.shuffle(works)
            seen = await asyncio.wait_for(asyncio.gather(*(later(work) for work in works)), 15)
            assert all(task.finished_at_ms is not None for task in seen if task is not None)
            assert len(core.queue.onlookers) == 0

    asyncio.run(scenario())


async def test_a_result_goes_when_its_time_is_over_and_the_task_stays(core: Core) -> None:
    task = await core.running(result_ttl_ms=5_000)
    await core.sweep_after(20)
    await core.finish(complete(task, result=b"42"))
    await core.sweep_after(4.9)
    assert (await core.task(task.id)).result == b"42"
    await core.sweep_after(2.1)
    stored = await core.task(task.id)
    assert (stored.result, stored.result_expired) == (None, True)
    assert (stored.state, stored.result_ttl_ms) == (TaskState.SUCCEEDED, 5_000)


async def test_a_task_without_such_a_time_keeps_its_result_and_enters_no_table(core: Core) -> None:
    task = await core.running()
    await core.finish(complete(task, result=b"42"))
    await core.sweep_after(60)
    assert (await core.task(task.id)).result == b"42"
    assert await core.count("result_time") == 0


async def test_a_task_that_ended_without_a_result_has_none_that_expired(core: Core) -> None:
    task = await core.running(result_ttl_ms=1_000)
    await core.complete(task)
    await core.sweep_after(3)
    assert not (await core.task(task.id)).result_expired


async def test_the_result_of_a_task_run_again_has_its_time_anew(core: Core) -> None:
    task = await core.running(result_ttl_ms=1_000)
    await core.finish(complete(task, result=b"1"))
    await core.sweep_after(3)
    await core.queue.retry(task.id)
    assert not (await core.task(task.id)).result_expired
    await core.finish(complete(await core.claim_one(), result=b"2"))
    assert (await core.task(task.id)).result == b"2"
    await core.sweep_after(3)
    stored = await core.task(task.id)
    assert (stored.result, stored.result_expired) == (None, True)


async def test_an_unfinished_task_is_looked_at_seldom(core: Core) -> None:
    await core.enqueue(result_ttl_ms=1)
    looks = set()
    for _ in range(100):
        await core.sweep_after(1)
        looks |= set(await core.rows("SELECT look_ms FROM result_time"))
    assert len(looks) < 60


async def test_the_time_of_a_result_is_gone_with_its_task_and_replaced_with_it(core: Core) -> None:
    task_id = await core.enqueue(unique_key="k", result_ttl_ms=1_000)
    await core.enqueue(unique_key="k", unique_mode="replace", result_ttl_ms=2_000)
    assert (await core.task(task_id)).result_ttl_ms == 2_000
    await core.enqueue(unique_key="k", unique_mode="replace")
    assert (await core.task(task_id)).result_ttl_ms is None
    await core.enqueue(unique_key="k", unique_mode="replace", result_ttl_ms=2_000)
    await core.queue.delete(task_id)
    assert await core.count("result_time") == 0
