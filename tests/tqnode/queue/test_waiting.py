import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tqnode.nodes import Core, HeldWriter, ask, ids_of, open_core, settle, spec
from tests.waiting import eventually_async
from tqnode.errors import Overloaded
from tqnode.queue import WorkerSpec, claim
from tqnode.queue.waiting import Waiting
from tqnode.store import Effects
from tqnode.task import ClaimedTask, Complete, Fail, Snooze, TaskState

LONG_S = 30.0
Claiming = asyncio.Task[list[ClaimedTask]]


async def poll(core: Core, *queues: str, wait_s: float = LONG_S, **fields: Any) -> Claiming:
    """A long poll that has looked once, found nothing, and waits."""
    waiting = len(core.queue.waiting)
    claiming = asyncio.create_task(core.claim(*queues, wait_s=wait_s, **fields))
    await eventually_async(lambda: len(core.queue.waiting) > waiting)
    # Its first look has gone through the writer once a later write has.
    await core.store.write(lambda _: None)
    await settle()
    assert not claiming.done()
    return claiming


async def is_given(claiming: Claiming, *task_ids: str) -> bool:
    return ids_of(await asyncio.wait_for(claiming, 10)) == list(task_ids)


async def test_a_waiting_claim_gets_a_task_as_soon_as_it_is_enqueued(core: Core) -> None:
    claiming = await poll(core)
    assert await is_given(claiming, await core.enqueue())
    assert len(core.queue.waiting) == 0


async def test_a_claim_that_finds_tasks_does_not_wait(core: Core) -> None:
    task_id = await core.enqueue()
    assert ids_of(await core.claim(wait_s=LONG_S)) == [task_id]


async def test_a_waiting_claim_ends_empty_when_its_time_is_over(core: Core) -> None:
    assert await core.claim(wait_s=0.02) == []
    assert len(core.queue.waiting) == 0


async def test_a_waiting_claim_gets_a_task_whose_time_has_come(core: Core) -> None:
    task_id = await core.enqueue(run_at_ms=core.clock.now_ms() + 1000)
    claiming = await poll(core)
    await core.sweep_after(1)
    assert await is_given(claiming, task_id)


async def test_a_waiting_claim_gets_a_task_of_a_resumed_queue(core: Core) -> None:
    task_id = await core.enqueue()
    await core.queue.catalogue.pause("default")
    claiming = await poll(core)
    await core.queue.catalogue.resume("default")
    assert await is_given(claiming, task_id)


async def test_a_waiting_claim_gets_a_task_that_a_person_retries(core: Core) -> None:
    task = await core.running()
    await core.complete(task)
    claiming = await poll(core)
    await core.queue.retry(task.id)
    assert await is_given(claiming, task.id)


async def test_a_waiting_claim_gets_a_task_whose_lease_ran_out(core: Core) -> None:
    task = await core.running(lease_ms=1000)
    claiming = await poll(core)
    await core.sweep_after(1)
    assert await is_given(claiming, task.id)


@pytest.mark.parametrize("how", [Fail, Snooze])
async def test_a_waiting_claim_gets_a_task_that_is_given_back(
    core: Core, how: Callable[..., Fail | Snooze]
) -> None:
    task = await core.running()
    claiming = await poll(core)
    await core.finish(how(id=task.id, token=task.token, delay_ms=0))
    assert await is_given(claiming, task.id)


async def test_a_waiting_claim_gets_what_a_completion_enqueues(core: Core) -> None:
    task = await core.running()
    claiming = await poll(core, "next")
    finished = await core.finish(Complete(id=task.id, token=task.token, then=(spec(queue="next"),)))
    assert await is_given(claiming, *finished.then)


async def test_a_quiet_worker_s_waiting_claim_goes_on_when_it_is_told_to_run(core: Core) -> None:
    worker = await core.queue.registry.register(WorkerSpec(name="w"))
    await core.queue.registry.steer(worker.id, "quiet")
    task_id = await core.enqueue()
    claiming = await poll(core, worker=worker.id)
    await core.queue.registry.steer(worker.id, "run")
    assert await is_given(claiming, task_id)


async def test_each_task_wakes_the_claim_that_waits_longest_and_no_other(core: Core) -> None:
    claimings = [await poll(core) for _ in range(3)]
    for claiming in claimings:
        assert await is_given(claiming, await core.enqueue())
        await settle()
    assert len(core.queue.waiting) == 0


async def test_as_many_claims_wake_as_tasks_came(core: Core) -> None:
    claimings = [await poll(core) for _ in range(5)]
    made = await core.queue.enqueue([spec(), spec(), spec()])
    for claiming, task_id in zip(claimings, ids_of(made), strict=False):
        assert await is_given(claiming, task_id)
    await settle()
    assert [claiming.done() for claiming in claimings] == [True] * 3 + [False] * 2
    assert len(core.queue.waiting) == 2
    core.queue.waiting.drain()
    assert await asyncio.gather(*claimings[3:]) == [[], []]


async def test_a_claim_waits_on_for_what_it_does_not_take(core: Core) -> None:
    mail = await poll(core, kinds=("mail",))
    high = await poll(core, min_priority=200)
    other = await poll(core, "other")
    fax = await core.enqueue(kind="fax", priority=1)
    await settle()
    assert not any(claiming.done() for claiming in (mail, high, other))
    assert await is_given(high, await core.enqueue(kind="fax", priority=200))
    assert await is_given(mail, await core.enqueue(kind="mail", priority=1))
    assert await is_given(other, await core.enqueue(queue="other"))
    assert ids_of(await core.claim()) == [fax]


async def test_a_claim_that_others_were_quicker_than_waits_on(core: Core) -> None:
    claiming = await poll(core)
    async with HeldWriter(core.store):
        made = asyncio.create_task(core.enqueue())
        await settle()
        quick = asyncio.create_task(core.claim(worker="quick"))
        await settle()
    assert ids_of(await quick) == [await made]
    await core.store.write(lambda _: None)
    await settle()
    assert not claiming.done()
    assert await is_given(claiming, await core.enqueue())


# -- what a wake may not get lost on ---------------------------------------------------------------


async def test_a_task_is_not_left_lying_when_its_wake_goes_to_a_quiet_worker(core: Core) -> None:
    worker = await core.queue.registry.register(WorkerSpec(name="w"))
    await core.queue.registry.steer(worker.id, "quiet")
    quiet = await poll(core, worker=worker.id)
    eager = await poll(core, worker="eager")
    assert await is_given(eager, await core.enqueue())
    assert not quiet.done()
    quiet.cancel()


async def test_quiet_workers_do_not_wake_each_other_for_ever(core: Core) -> None:
    workers = [await core.queue.registry.register(WorkerSpec(name="w")) for _ in range(2)]
    for worker in workers:
        await core.queue.registry.steer(worker.id, "quiet")
    claimings = [await poll(core, worker=worker.id) for worker in workers]
    task_id = await core.enqueue()
    await core.store.write(lambda _: None)
    await settle()
    assert core.store.backlog == 0
    assert await core.state(task_id) is TaskState.READY
    await core.queue.registry.steer(workers[1].id, "run")
    assert await is_given(claimings[1], task_id)
    claimings[0].cancel()


async def hold_when_woken(core: Core, then: Callable[[], None] = lambda: None) -> HeldWriter:
    """Holds the writer as soon as a task became ready: before the claim that it wakes can look."""
    held = HeldWriter(core.store)

    def notice(effects: Effects) -> None:
        if effects.ready and not begun.is_set():
            held.begin()
            begun.set()
            then()

    begun = asyncio.Event()
    core.store.listen(notice)
    return held


async def test_a_task_is_not_left_lying_when_the_claim_it_woke_is_cancelled_before_it_looks(
    core: Core,
) -> None:
    first, second = await poll(core), await poll(core)
    held = await hold_when_woken(core)
    task_id = await core.enqueue()
    await settle()
    first.cancel()
    await settle()
    assert first.cancelled()
    await held.end()
    assert await is_given(second, task_id)
    assert await core.rows("SELECT grants FROM task") == [(1,)]


async def test_a_task_is_not_left_lying_when_the_claim_it_woke_is_refused_its_look(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", writer_backlog_max=3) as core:
        first, second = await poll(core), await poll(core)
        crowd: list[asyncio.Future[None]] = []
        held = await hold_when_woken(
            core, lambda: crowd.extend(core.store.submit(lambda _: None) for _ in range(3))
        )
        task_id = await core.enqueue()
        await asyncio.wait([first], timeout=10)
        assert isinstance(first.exception(), Overloaded)
        # Its wake went to the second, whose look is refused as well: the task is there for the next.
        await asyncio.wait([second], timeout=10)
        assert isinstance(second.exception(), Overloaded)
        await held.end()
        await asyncio.gather(*crowd)
        assert await core.state(task_id) is TaskState.READY


async def test_a_claim_that_takes_another_task_passes_its_wake_on(core: Core) -> None:
    both = await poll(core, "x", "q")
    only_x = await poll(core, "x")
    only_q = await poll(core, "q")
    in_q, in_x = ids_of(await core.queue.enqueue([spec(queue="q"), spec(queue="x")]))
    # The first is woken by the task in q and takes the one in x, whose wake went to the second.
    assert await is_given(both, in_x)
    assert await is_given(only_q, in_q)
    assert not only_x.done()
    only_x.cancel()


async def test_a_claim_that_is_full_of_large_tasks_passes_its_wake_on(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "PAYLOADS_MAX", 100)
    both = await poll(core, "x", "q", max=5)
    only_x = await poll(core, "x")
    only_q = await poll(core, "q")
    large = spec(queue="x", payload=b'"' + b"x" * 200 + b'"')
    in_q, in_x = ids_of(await core.queue.enqueue([spec(queue="q"), large]))
    assert await is_given(both, in_x)
    assert await is_given(only_q, in_q)
    only_x.cancel()


async def test_a_worker_told_to_run_while_its_claim_learns_that_it_is_quiet_looks_again(core: Core) -> None:
    worker = await core.queue.registry.register(WorkerSpec(name="w"))
    await core.queue.registry.steer(worker.id, "quiet")
    task_id = await core.enqueue()
    async with HeldWriter(core.store):
        # The look and the word to go on share a group: both are heard of at once.
        claiming = asyncio.create_task(core.claim(worker=worker.id, wait_s=LONG_S))
        await settle()
        steering = asyncio.create_task(core.queue.registry.steer(worker.id, "run"))
        await settle()
    await steering
    assert await is_given(claiming, task_id)


# -- clients that go away --------------------------------------------------------------------------


async def test_a_cancelled_long_poll_leaves_no_claim_behind(core: Core) -> None:
    claiming = await poll(core)
    claiming.cancel()
    await asyncio.wait([claiming])
    assert len(core.queue.waiting) == 0
    task_id = await core.enqueue()
    await settle()
    assert await core.state(task_id) is TaskState.READY


async def test_a_claim_whose_client_went_away_before_it_was_made_is_not_made(core: Core) -> None:
    task_id = await core.enqueue()
    async with HeldWriter(core.store):
        claiming = asyncio.create_task(core.claim())
        await settle()
        claiming.cancel()
        await settle()
    await core.store.write(lambda _: None)
    task = await core.task(task_id)
    assert (task.state, task.attempt) == (TaskState.READY, 0)
    assert await core.rows("SELECT grants FROM task") == [(0,)]


async def test_a_claim_just_made_for_a_client_that_has_gone_is_given_back(core: Core) -> None:
    made = await core.queue.enqueue([spec(), spec(), spec()])
    async with HeldWriter(core.store):
        claiming = asyncio.create_task(core.claim(max=2))
        await settle()
        # In the same group as the claim, and after it.
        cancelling = core.store.submit(lambda _: loop.call_soon_threadsafe(claiming.cancel))
        loop = asyncio.get_running_loop()
    await cancelling
    await asyncio.wait([claiming])
    assert claiming.cancelled()
    await eventually_async(lambda: nothing_runs(core))
    assert await core.rows("SELECT attempt, grants FROM task ORDER BY seq") == [(0, 1), (0, 1), (0, 0)]
    assert ids_of(await core.claim(max=3)) == ids_of(made)


async def nothing_runs(core: Core) -> bool:
    return (await core.queue.stats()).totals.get("running", 0) == 0


async def test_tasks_that_could_not_be_handed_over_go_back_without_a_spent_attempt(core: Core) -> None:
    await core.queue.enqueue([spec(), spec()])
    tasks = await core.claim(max=2)
    await core.queue.give_back(tasks)
    assert await core.rows("SELECT state, attempt, crashes FROM task") == [("ready", 0, 0)] * 2


# -- limits and the end ----------------------------------------------------------------------------


async def test_no_more_claims_may_wait_than_the_limit_says(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", waiting_claims_max=2) as core:
        claimings = [await poll(core) for _ in range(2)]
        with pytest.raises(Overloaded):
            await core.claim(wait_s=LONG_S)
        assert await core.claim() == [], "a claim that does not wait is not limited"
        core.queue.waiting.drain()
        assert await asyncio.gather(*claimings) == [[], []]


async def test_a_node_that_stops_ends_the_waiting_claims_at_once_and_lets_none_wait(core: Core) -> None:
    claimings = [await poll(core) for _ in range(3)]
    core.queue.waiting.drain()
    assert await asyncio.wait_for(asyncio.gather(*claimings), 10) == [[], [], []]
    assert await asyncio.wait_for(core.claim(wait_s=LONG_S), 10) == []
    task_id = await core.enqueue()
    assert ids_of(await core.claim(wait_s=LONG_S)) == [task_id]


def test_a_claim_that_left_is_in_no_line_and_woken_by_nothing() -> None:
    waiting = Waiting(limit=10)
    first, second = waiting.join(ask("a", "b")), waiting.join(ask("a", "a"))
    waiting.leave(first)
    waiting.wake_one("b", "mail", 1)
    waiting.wake_one("a", "mail", 1)
    assert not first.woken.is_set()
    assert second.woken.is_set()
    waiting.leave(second)
    assert len(waiting) == 0


def test_a_wake_that_came_too_late_for_one_claim_goes_to_the_next() -> None:
    waiting = Waiting(limit=10)
    first, second = waiting.join(ask("a")), waiting.join(ask("a"))
    waiting.wake_one("a", "mail", 1)
    assert first.woken.is_set()
    assert not second.woken.is_set()
    waiting.leave(first)
    assert second.woken.is_set()


def test_a_resumed_queue_wakes_all_that_wait_for_it() -> None:
    waiting = Waiting(limit=10)
    here, there = [waiting.join(ask("a")) for _ in range(2)], waiting.join(ask("b"))
    effects = Effects()
    effects.resumed.append("a")
    waiting.wake(effects)
    assert all(waiter.woken.is_set() for waiter in here)
    assert not there.woken.is_set()
