"""Single enqueues that wait for the writer together: one operation, and each its own answer."""

import asyncio
import threading
from pathlib import Path

import apsw
import pytest

from tests.tqnode.nodes import Core, HeldWriter, ids_of, open_core, sample, settle, spec
from tests.waiting import eventually_async
from tqnode.errors import NotFound, Overloaded, QueueFull
from tqnode.queue import intake
from tqnode.store import Tx
from tqnode.task import Enqueued, TaskSpec, TaskState


def enqueue(core: Core, *specs: TaskSpec) -> list["asyncio.Task[list[Enqueued]]"]:
    """A call for each, all at once."""
    return [asyncio.create_task(core.queue.enqueue([one])) for one in specs]


async def test_enqueues_that_wait_together_are_made_in_their_order_and_each_answered_with_its_own(
    core: Core,
) -> None:
    async with HeldWriter(core.store):
        calls = enqueue(core, *(spec(kind=f"k{n}") for n in range(20)))
        await settle()
        waiting = core.store.backlog
    made = [(await call)[0] for call in calls]
    assert waiting == 1, "one operation"
    claimed = await core.claim(max=20)
    assert ids_of(claimed) == ids_of(made)
    assert [task.kind for task in claimed] == [f"k{n}" for n in range(20)]


async def test_a_group_is_counted_by_its_requests_though_some_are_one_operation(core: Core) -> None:
    async with HeldWriter(core.store):
        before = sample(core.metrics, "tq_group_operations_sum")
        calls = enqueue(core, *(spec() for _ in range(7)))
        await settle()
    await asyncio.gather(*calls)
    assert sample(core.metrics, "tq_group_operations_sum") - before == 7


async def test_more_than_fit_in_a_batch_go_in_several(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BATCH_MAX", 4)
    async with HeldWriter(core.store):
        calls = enqueue(core, *(spec() for _ in range(10)))
        await settle()
        assert core.store.backlog == 3
    made = [(await call)[0] for call in calls]
    assert ids_of(await core.claim(max=20)) == ids_of(made)


async def enqueue_while_others_are_on_their_way(core: Core) -> "asyncio.Task[list[Enqueued]]":
    """One call, made while three others are in a transaction; returns when these are answered."""
    began, going = threading.Event(), threading.Event()

    def hold(_tx: Tx) -> None:
        began.set()
        assert going.wait(30), "nobody let the writer go on"

    async with HeldWriter(core.store):
        first = enqueue(core, spec(), spec(), spec())
        await settle()
        held = core.store.submit(hold)
    await eventually_async(began.is_set)
    (after,) = enqueue(core, spec())
    await settle()
    going.set()
    await asyncio.gather(held, *first)
    return after


async def test_where_many_call_those_just_answered_are_waited_for_and_no_longer_than_they_take(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "GATHER_FROM", 4)
    monkeypatch.setattr(intake, "GATHER_S", 60.0)
    after = await enqueue_while_others_are_on_their_way(core)
    before = sample(core.metrics, "tq_group_operations_count")
    back = enqueue(core, spec(), spec(), spec())
    await asyncio.wait_for(asyncio.gather(after, *back), 50)
    assert sample(core.metrics, "tq_group_operations_count") - before == 1


async def test_those_who_do_not_come_back_are_not_waited_for_long(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "GATHER_FROM", 4)
    after = await enqueue_while_others_are_on_their_way(core)
    (made,) = await asyncio.wait_for(after, 50)
    assert made.state is TaskState.READY


async def test_a_few_callers_wait_for_nobody(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "GATHER_S", 3600.0)
    after = await enqueue_while_others_are_on_their_way(core)
    (made,) = await asyncio.wait_for(after, 50)
    assert made.state is TaskState.READY


async def test_one_that_finds_its_queue_full_leaves_those_beside_it_alone(core: Core) -> None:
    object.__setattr__(core.config, "queue_depth_max", 2)
    async with HeldWriter(core.store):
        before = core.store.submit(lambda tx: tx.insert("insert_tag", [("earlier", 1)]))
        calls = enqueue(core, spec(queue="a"), spec(queue="a"), spec(queue="a"), spec(queue="b"))
        await settle()
    await before
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(answer, QueueFull) for answer in answers] == [False, False, True, False]
    assert await core.count("task") == 3
    assert await core.count("task_tag") == 1
    assert (await core.queue.stats()).totals == {"ready": 3}


async def test_a_row_that_the_database_refuses_is_the_failure_of_its_own_call(core: Core) -> None:
    async with HeldWriter(core.store):
        calls = enqueue(core, spec(), spec(priority=999), spec())
        await settle()
    first, wrong, last = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(wrong, apsw.ConstraintError)
    assert not isinstance(first, BaseException)
    assert not isinstance(last, BaseException)
    assert ids_of(await core.claim(max=9)) == ids_of([*first, *last])


async def test_a_failing_neighbour_in_the_group_has_them_made_once(core: Core) -> None:
    def fails_after_writing(tx: Tx) -> None:
        tx.run("DELETE FROM task")
        raise NotFound("task", "it")

    async with HeldWriter(core.store):
        calls = enqueue(core, spec(), spec())
        await settle()
        failing = core.store.submit(fails_after_writing)
    with pytest.raises(NotFound):
        await failing
    made = [(await call)[0] for call in calls]
    assert ids_of(await core.claim(max=9)) == ids_of(made)


async def test_one_that_is_given_up_before_its_turn_is_not_made(core: Core) -> None:
    async with HeldWriter(core.store):
        first, given_up, last = enqueue(core, spec(kind="a"), spec(kind="b"), spec(kind="c"))
        await settle()
        given_up.cancel()
        await settle()
    await asyncio.gather(first, last)
    assert [task.kind for task in await core.claim(max=9)] == ["a", "c"]


async def test_all_that_wait_can_be_given_up(core: Core) -> None:
    async with HeldWriter(core.store):
        calls = enqueue(core, spec(), spec())
        await settle()
        for call in calls:
            call.cancel()
        await settle()
    await core.enqueue()
    assert await core.count("task") == 1


async def test_more_than_may_wait_are_refused_until_those_are_answered(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", writer_backlog_max=3) as core:
        async with HeldWriter(core.store):
            calls = enqueue(core, spec(), spec(), spec())
            await settle()
            with pytest.raises(Overloaded, match="3 tasks wait"):
                await core.queue.enqueue([spec()])
        await asyncio.gather(*calls)
        await asyncio.gather(*enqueue(core, spec(), spec(), spec()))
        assert await core.count("task") == 6


async def test_those_that_wait_when_the_writer_is_abandoned_are_told_why(core: Core) -> None:
    async with HeldWriter(core.store):
        calls = enqueue(core, spec(), spec())
        await settle()
        core.store.abandon(Overloaded("another leads"))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [str(answer) for answer in answers] == ["another leads", "another leads"]
        with pytest.raises(Overloaded, match="another leads"):
            await core.queue.enqueue([spec()])
    assert await core.count("task") == 0
