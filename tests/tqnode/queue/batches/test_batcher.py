"""Waiting for batches: answered with the commit of the end, whatever comes between."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tqnode.nodes import Core, complete, fail, open_core, settle
from tests.tqnode.queue.batching import create, of_plain
from tests.waiting import eventually_async
from tqnode.errors import NotFound, Overloaded
from tqnode.queue.batches import Batch, BatchState

LONG_S = 30.0


async def waits(core: Core, batch_id: str) -> asyncio.Task[Batch]:
    """A client that has read the batch, found that it has not ended, and waits."""
    there = len(core.queue.onlookers)
    waiting = asyncio.create_task(core.queue.batcher.wait(batch_id, wait_s=LONG_S))
    await eventually_async(lambda: len(core.queue.onlookers) > there)
    await core.store.read(lambda _: None)
    await settle()
    assert not waiting.done()
    return waiting


async def got(waiting: asyncio.Task[Batch]) -> Batch:
    return await asyncio.wait_for(waiting, 10)


async def test_who_waits_for_a_batch_gets_it_once_its_last_member_has_ended(core: Core) -> None:
    waiting = await waits(core, await of_plain(core, 2))
    await core.complete(await core.claim_one())
    await settle()
    assert not waiting.done()
    await core.finish(fail(await core.claim_one()))
    ended = await got(waiting)
    assert (ended.state, ended.succeeded, ended.dead) == (BatchState.FINISHED, 1, 1)
    assert (await core.queue.batcher.wait(ended.id, wait_s=LONG_S)) == ended
    assert len(core.queue.onlookers) == 0


async def test_an_open_batch_has_not_ended_before_it_is_closed(core: Core) -> None:
    batch = await create(core, open=True)
    waiting = await waits(core, batch)
    await core.queue.batcher.close(batch)
    assert (await got(waiting)).state is BatchState.FINISHED


async def test_a_cancel_ends_the_wait(core: Core) -> None:
    batch = await of_plain(core, 3)
    waiting = await waits(core, batch)
    await core.queue.batcher.cancel(batch)
    assert (await got(waiting)).cancelled == 3


async def test_a_member_that_is_retried_is_waited_for_again(core: Core) -> None:
    batch = await of_plain(core, 1)
    task = await core.claim_one()
    await core.finish(fail(task))
    await core.queue.retry(task.id)
    waiting = await waits(core, batch)
    await core.complete(await core.claim_one())
    assert (await got(waiting)).succeeded == 1


async def test_who_waits_for_a_batch_that_is_deleted_is_told_so(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", keep_batches_s=5) as core:
        waiting = await waits(core, await create(core, open=True))
        await core.sweep_after(10)
        with pytest.raises(NotFound):
            await got(waiting)


@pytest.mark.parametrize("batch_id", ["0198c0de-0000-7000-8000-000000000000", "nothing"])
async def test_a_batch_that_is_not_there_is_not_waited_for(core: Core, batch_id: str) -> None:
    with pytest.raises(NotFound):
        await core.queue.batcher.wait(batch_id, wait_s=LONG_S)
    assert len(core.queue.onlookers) == 0


async def test_a_wait_ends_with_the_batch_as_it_stands_when_its_time_is_over(core: Core) -> None:
    batch = await core.queue.batcher.wait(await of_plain(core, 1), wait_s=0.02)
    assert (batch.state, batch.pending) == (BatchState.RUNNING, 1)
    assert len(core.queue.onlookers) == 0


async def test_a_drain_ends_the_waits_with_the_batches_as_they_stand(core: Core) -> None:
    waiting = await waits(core, await of_plain(core, 1))
    core.queue.drain()
    assert (await got(waiting)).state is BatchState.RUNNING


async def test_beyond_the_limit_only_ended_batches_are_answered(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", waiting_reads_max=1) as core:
        ended, running = await create(core), await of_plain(core, 1)
        waiting = await waits(core, running)
        with pytest.raises(Overloaded):
            await core.queue.batcher.wait(running, wait_s=LONG_S)
        assert (await core.queue.batcher.wait(ended, wait_s=LONG_S)).id == ended
        core.queue.drain()
        await got(waiting)


@given(seed=st.integers(0, 1 << 32), clients=st.integers(1, 12), members=st.integers(0, 4))
def test_no_wake_is_lost_however_ends_and_waits_interleave(
    tmp_path_factory: pytest.TempPathFactory, seed: int, clients: int, members: int
) -> None:
    chance = random.Random(seed)

    async def later(work: Callable[[], Awaitable[Batch | None]]) -> Batch | None:
        for _ in range(chance.randrange(30)):
            await asyncio.sleep(0)
        return await work()

    async def scenario() -> None:
        async with open_core(tmp_path_factory.mktemp("node") / "tq.db") as core:
            batch = await of_plain(core, members, open=True)
            held = await core.claim(max=members) if members else []

            async def end(index: int) -> None:
                finish = complete(held[index]) if chance.random() < 0.5 else fail(held[index])
                await core.finish(finish)

            async def close() -> None:
                await core.queue.batcher.close(batch)

            async def wait() -> Batch:
                return await core.queue.batcher.wait(batch, wait_s=LONG_S)

            works: list[Callable[[], Awaitable[Batch | None]]] = [wait] * clients + [close]
            works += [partial(end, index) for index in range(members)]
            chance.shuffle(works)
            seen = await asyncio.wait_for(asyncio.gather(*(later(work) for work in works)), 15)
            assert all(found.ended for found in seen if found is not None)
            assert len(core.queue.onlookers) == 0

    asyncio.run(scenario())
