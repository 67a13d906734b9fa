"""However many wait for a task, one transaction does a bounded part of it, and nothing else is lost."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.tqnode.nodes import Core, complete, open_core, spec
from tests.tqnode.queue.families import child, enqueue, enqueue_child, fail_for_good, states, succeed
from tests.waiting import eventually_async
from tqnode.errors import InvalidField, Overloaded
from tqnode.store.tx import SETTLING_MAX
from tqnode.task import Complete, Fail, TaskState

READY, CANCELLED = TaskState.READY, TaskState.CANCELLED


async def settlements(core: Core) -> int:
    return await core.count("settlement")


@pytest.mark.parametrize("end", [succeed, fail_for_good])
async def test_a_fan_out_of_ten_thousand_is_settled_in_bounded_slices(
    core: Core, end: Callable[[Core], Awaitable[None]]
) -> None:
    await core.queue.enqueue([spec(), *[child(0) for _ in range(9_999)]])
    await end(core)
    state = "ready" if end is succeed else "cancelled"
    totals = (await core.queue.stats()).totals
    assert totals[state] == SETTLING_MAX
    assert totals["blocked"] == 9_999 - SETTLING_MAX
    assert await settlements(core) == 1
    await core.sweeper.sweep()
    assert (await core.queue.stats()).totals.get(state) == 9_999
    assert await settlements(core) == 0
    assert await core.rows("SELECT count(*) FROM dependency WHERE open") == [(0,)]


async def test_a_chain_of_ten_thousand_is_cancelled_without_recursion(core: Core) -> None:
    specs = [spec(), *[child(index) for index in range(9_999)]]
    await core.queue.enqueue(specs)
    await fail_for_good(core)
    assert 0 < (await core.queue.stats()).totals["cancelled"] <= SETTLING_MAX
    await core.sweeper.sweep()
    assert (await core.queue.stats()).totals == {"dead": 1, "cancelled": 9_999}


async def test_a_fan_in_of_a_thousand_is_released_by_the_last_one(core: Core) -> None:
    made = await enqueue(core, *[spec() for _ in range(1_000)], child(*range(1_000)))
    tasks = await core.claim(max=1_000)
    await core.queue.finish([complete(task) for task in tasks[:-1]])
    await core.sweeper.sweep()
    assert (await core.task(made[-1])).pending == 1
    await core.complete(tasks[-1])
    assert await core.state(made[-1]) is READY


async def test_a_parent_whose_end_is_still_being_told_is_not_retried_yet(core: Core) -> None:
    parent, *_ = await enqueue(core, spec(), *[child(0) for _ in range(SETTLING_MAX + 1)])
    await fail_for_good(core)
    with pytest.raises(Overloaded):
        await core.queue.retry(parent)
    await core.sweeper.sweep()
    assert (await core.queue.retry(parent)).state is READY


async def test_a_deleted_parent_s_end_is_still_told_to_all(core: Core) -> None:
    parent, *rest = await enqueue(core, spec(), *[child(0) for _ in range(SETTLING_MAX + 10)])
    await succeed(core)
    await core.queue.delete(parent)
    await core.sweeper.sweep()
    assert {*await states(core, rest)} == {READY}


async def test_what_was_put_off_survives_a_restart(tmp_path: Path) -> None:
    async with open_core(tmp_path / "again.db") as core:
        await core.queue.enqueue([spec(), *[child(0) for _ in range(SETTLING_MAX + 10)]])
        await succeed(core)
        assert await settlements(core) == 1
    async with open_core(tmp_path / "again.db") as core:
        await core.sweeper.sweep()
        assert (await core.queue.stats()).totals == {"succeeded": 1, "ready": SETTLING_MAX + 10}
        assert not await core.drift()


async def test_the_sweeper_is_woken_by_what_is_put_off(core: Core) -> None:
    sweeping = asyncio.create_task(core.sweeper.run())
    await core.queue.enqueue([spec(), *[child(0) for _ in range(SETTLING_MAX + 10)]])
    await succeed(core)

    async def all_told() -> bool:
        return not await settlements(core)

    await eventually_async(all_told)
    sweeping.cancel()
    # No time has passed: nothing but the wake can have made it look.
    assert (await core.queue.stats()).totals["ready"] == SETTLING_MAX + 10


async def test_failing_one_of_a_batch_settles_for_the_others(core: Core) -> None:
    first, second = await enqueue(core, spec(), spec())
    children = [await enqueue_child(core, first), await enqueue_child(core, second)]
    one, two = await core.claim(max=2)
    await core.queue.finish([complete(one), Fail(id=two.id, token=two.token, retry=False)])
    assert await states(core, children) == [READY, CANCELLED]


async def test_completions_in_one_request_release_whom_they_set_free(core: Core) -> None:
    parents = await enqueue(core, *[spec() for _ in range(5)])
    task_id = await enqueue_child(core, *parents)
    finishes = [Complete(id=task.id, token=task.token) for task in await core.claim(max=5)]
    await core.queue.finish(finishes[:4])
    assert (await core.task(task_id)).pending == 1
    await core.queue.finish(finishes)
    assert await core.state(task_id) is READY


async def test_a_task_that_its_own_request_replaces_waits_for_nobody(core: Core) -> None:
    made = await core.queue.enqueue(
        [
            spec(),
            child(0, unique_key="k"),
            spec(queue="children", unique_key="k", unique_mode="replace"),
            child(1),
        ]
    )
    assert made[1].id == made[2].id
    assert await core.state(made[1].id) is READY
    assert (await core.task(made[1].id)).pending == 0
    await succeed(core)
    await succeed(core, "children")
    assert await core.state(made[3].id) is READY


async def test_a_key_that_closes_a_circle_within_a_request_is_refused(core: Core) -> None:
    # The third is the first by its key, and so the second would wait for what waits for it.
    with pytest.raises(InvalidField) as refused:
        await core.queue.enqueue([child(1, unique_key="k"), child(2), spec(unique_key="k")])
    assert refused.value.code == "dependency_cycle"
    assert await core.count("task") == await core.count("dependency") == 0
