"""Tasks that wait for others: what their parents' end does to them, whichever way it comes about."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.tqnode.nodes import Core, complete, fail, ids_of, spec
from tests.tqnode.queue.families import child, enqueue, enqueue_child, fail_for_good, states, succeed
from tqnode import ids
from tqnode.errors import InvalidField, WrongState
from tqnode.queue import Filters
from tqnode.sql import statement
from tqnode.store import TaskEvent
from tqnode.task import Enqueued, Idempotency, Needs, Reason, TaskState

BLOCKED, SCHEDULED, READY, RUNNING = (
    TaskState.BLOCKED,
    TaskState.SCHEDULED,
    TaskState.READY,
    TaskState.RUNNING,
)
SUCCEEDED, DEAD, CANCELLED = TaskState.SUCCEEDED, TaskState.DEAD, TaskState.CANCELLED


async def cancel_waiting(core: Core) -> None:
    page = await core.queue.page(Filters(queues=["default"]), limit=1, cursor=None, bodies=False)
    await core.queue.cancel(page.tasks[0].id)


async def cancel_running(core: Core) -> None:
    task = await core.claim_one()
    await core.queue.cancel(task.id)
    await core.finish(fail(task))


async def spend_attempts(core: Core) -> None:
    await core.finish(fail(await core.claim_one()))


async def crash(core: Core) -> None:
    await core.claim_one()
    await core.sweep_after(31)


async def expire(core: Core) -> None:
    await core.sweep_after(61)


async def delete(core: Core) -> None:
    page = await core.queue.page(Filters(queues=["default"]), limit=1, cursor=None, bodies=False)
    await core.queue.delete(page.tasks[0].id)


async def purge(core: Core) -> None:
    assert await core.queue.catalogue.purge("default", [READY]) == 1


WITHOUT_SUCCESS = [
    fail_for_good,
    cancel_waiting,
    cancel_running,
    spend_attempts,
    crash,
    expire,
    delete,
    purge,
]


async def test_a_child_is_blocked_until_its_parent_has_succeeded(core: Core) -> None:
    parent = await core.enqueue()
    made = await core.enqueued(after=(ids.parse(parent),), needs=Needs.SUCCEEDED, queue="children")
    assert (made.state, made.duplicate) == (BLOCKED, False)
    assert await core.claim("children") == []
    task = await core.task(made.id)
    assert (task.state, task.needs, task.pending, task.after) == (BLOCKED, Needs.SUCCEEDED, 1, (parent,))
    core.clock.advance(5)
    await succeed(core)
    task = await core.task(made.id)
    assert (task.state, task.pending, task.after) == (READY, 0, (parent,))
    assert task.run_at_ms == core.clock.now_ms(), "it gets in line when it is released"
    assert (await core.claim_one("children")).id == made.id


@pytest.mark.parametrize("end", WITHOUT_SUCCESS)
async def test_a_parent_that_ends_without_success_cancels_its_child(
    core: Core, end: Callable[[Core], Awaitable[None]]
) -> None:
    parent = await core.enqueue(max_attempts=1, expires_at_ms=core.clock.now_ms() + 60_000)
    task_id = await enqueue_child(core, parent)
    await end(core)
    task = await core.task(task_id)
    assert (task.state, task.reason) == (CANCELLED, Reason.DEPENDENCY)
    assert task.finished_at_ms is not None


@pytest.mark.parametrize("end", [*WITHOUT_SUCCESS, succeed])
async def test_a_child_that_needs_its_parents_finished_is_released_however_they_end(
    core: Core, end: Callable[[Core], Awaitable[None]]
) -> None:
    parent = await core.enqueue(max_attempts=1, expires_at_ms=core.clock.now_ms() + 60_000)
    task_id = await enqueue_child(core, parent, needs=Needs.FINISHED)
    await end(core)
    assert await core.state(task_id) is READY


async def test_a_parent_that_is_tried_again_keeps_its_child_waiting(core: Core) -> None:
    parent = await core.enqueue(max_attempts=3)
    task_id = await enqueue_child(core, parent)
    await core.finish(fail(await core.claim_one(), delay_ms=0))
    assert await core.state(task_id) is BLOCKED
    await succeed(core)
    assert await core.state(task_id) is READY


async def test_a_released_child_still_waits_for_its_own_time(core: Core) -> None:
    parent = await core.enqueue()
    run_at_ms = core.clock.now_ms() + 10_000
    task_id = await enqueue_child(core, parent, run_at_ms=run_at_ms)
    assert await core.state(task_id) is BLOCKED
    await succeed(core)
    task = await core.task(task_id)
    assert (task.state, task.run_at_ms) == (SCHEDULED, run_at_ms)
    await core.sweep_after(10)
    assert await core.state(task_id) is READY


async def test_a_child_whose_time_came_while_it_was_blocked_is_ready_at_once(core: Core) -> None:
    parent = await core.enqueue()
    task_id = await enqueue_child(core, parent, run_at_ms=core.clock.now_ms() + 10_000)
    await core.sweep_after(20)
    assert await core.state(task_id) is BLOCKED
    await succeed(core)
    task = await core.task(task_id)
    assert (task.state, task.run_at_ms) == (READY, core.clock.now_ms())


# -- parents that have ended before -----------------------------------------------------------


async def test_parents_that_have_ended_count_at_once(core: Core) -> None:
    good, bad = await enqueue(core, spec(priority=2), spec(priority=1))
    await succeed(core)
    await fail_for_good(core)
    made = await core.queue.enqueue(
        [
            child(good),
            child(good, bad),
            child(good, bad, needs=Needs.FINISHED),
            child(good, run_at_ms=core.clock.now_ms() + 1_000),
            child(1),
        ]
    )
    assert [one.state for one in made] == [READY, CANCELLED, READY, SCHEDULED, CANCELLED]
    assert await states(core, ids_of(made)) == [one.state for one in made]
    assert (await core.task(made[4].id)).reason == Reason.DEPENDENCY


async def test_some_parents_that_have_ended_leave_the_others_to_wait_for(core: Core) -> None:
    first, second = await enqueue(core, spec(priority=2), spec(priority=1))
    await succeed(core)
    task_id = await enqueue_child(core, first, second)
    assert (await core.task(task_id)).pending == 1
    await succeed(core)
    assert await core.state(task_id) is READY


async def test_a_parent_given_twice_is_one_parent(core: Core) -> None:
    (kept,) = await enqueue(core, spec(unique_key="k"))
    made = await core.queue.enqueue([spec(unique_key="k"), spec(unique_key="k"), child(0, 1, kept)])
    assert [one.duplicate for one in made] == [True, True, False]
    assert (await core.task(made[2].id)).after == (kept,)
    await succeed(core)
    assert await core.state(made[2].id) is READY


async def test_an_unknown_parent_refuses_the_whole_request(core: Core) -> None:
    parent = await core.enqueue()
    await core.queue.delete(parent)
    with pytest.raises(InvalidField) as refused:
        await core.queue.enqueue([spec(queue="fresh"), child(0, parent)])
    assert (refused.value.field, refused.value.code) == ("[1].after[1]", "unknown_parent")
    assert await core.count("task") == await core.count("dependency") == 0
    assert [info.queue for info in await core.queue.catalogue.all()] == ["default"]


async def test_of_a_partial_request_only_the_task_with_the_unknown_parent_is_refused(core: Core) -> None:
    nobody = ids.text(ids.pack(at_ms=1, seq=77, nonce=1))
    good, bad = await core.queue.enqueue_partial([spec(), child(nobody)])
    assert isinstance(good, Enqueued)
    assert isinstance(bad, InvalidField)
    assert bad.code == "unknown_parent"


async def test_a_task_of_another_id_in_the_parent_s_row_is_not_its_parent(core: Core) -> None:
    parent = ids.parse(await core.enqueue())
    other = ids.text(ids.pack(at_ms=5, seq=ids.seq_of(parent), nonce=5))
    with pytest.raises(InvalidField):
        await enqueue_child(core, other)


# -- within a request -------------------------------------------------------------------------


async def test_a_diamond_runs_from_its_top_to_its_bottom(core: Core) -> None:
    # Forward references are as good as backward ones.
    bottom, left, right, top = await enqueue(core, child(1, 2), child(3), child(3), child())
    ran = []
    for _ in range(4):
        tasks = await core.claim("children", max=10)
        ran.append(sorted(ids_of(tasks)))
        for task in tasks:
            await core.complete(task)
    assert ran == [[top], sorted([left, right]), [bottom], []]


async def test_a_failed_top_cancels_the_whole_diamond(core: Core) -> None:
    top, *rest = await enqueue(core, spec(), child(0), child(0), child(1, 2))
    await fail_for_good(core)
    assert await core.state(top) is DEAD
    assert await states(core, rest) == [CANCELLED] * 3


async def test_a_task_that_needs_its_parents_finished_stops_a_cascade(core: Core) -> None:
    _, first, second, third = await enqueue(core, spec(), child(0), child(1, needs=Needs.FINISHED), child(2))
    await fail_for_good(core)
    assert await states(core, [first, second, third]) == [CANCELLED, READY, BLOCKED]


async def test_tasks_that_follow_a_completion_may_wait_for_it_and_for_each_other(core: Core) -> None:
    task = await core.running()
    then = (child(task.id), child(0))
    finished = await core.finish(complete(task, result=b"7", then=then))
    assert await states(core, finished.then) == [READY, BLOCKED]
    (claimed,) = await core.claim("children")
    assert [(one.id, one.result) for one in claimed.inputs] == [(task.id, b"7")]


async def test_an_unknown_parent_in_then_refuses_the_completion(core: Core) -> None:
    task = await core.running()
    nobody = ids.text(ids.pack(at_ms=1, seq=77, nonce=1))
    (answer,) = await core.queue.finish([complete(task, then=(spec(), child(nobody)))])
    assert isinstance(answer, InvalidField)
    assert (answer.field, answer.code) == ("then[1].after[0]", "unknown_parent")
    assert await core.state(task.id) is RUNNING
    assert (await core.complete(task)).state is SUCCEEDED


# -- what people and time do to a blocked task -----------------------------------------------


async def test_a_blocked_task_can_expire_and_its_followers_go_with_it(core: Core) -> None:
    (parent,) = await enqueue(core, spec())
    expiring, last = await enqueue(core, child(parent, expires_at_ms=core.clock.now_ms() + 5_000), child(0))
    await core.sweep_after(6)
    assert [(await core.task(one)).reason for one in (expiring, last)] == ["expired", "dependency"]
    await succeed(core)
    assert await states(core, [expiring, last]) == [CANCELLED, CANCELLED]


async def test_a_cancelled_child_stays_cancelled_when_its_parent_succeeds(core: Core) -> None:
    parent = await core.enqueue()
    task_id = await enqueue_child(core, parent)
    await core.queue.cancel(task_id)
    await succeed(core)
    task = await core.task(task_id)
    assert (task.state, task.reason, task.pending) == (CANCELLED, "requested", 0)


async def test_a_child_s_retry_runs_it_whatever_its_parents_are_doing(core: Core) -> None:
    parent = await core.enqueue()
    task_id = await enqueue_child(core, parent)
    with pytest.raises(WrongState):
        await core.queue.retry(task_id)
    await core.queue.cancel(task_id)
    assert (await core.queue.retry(task_id)).state is READY
    await succeed(core)
    task = await core.task(task_id)
    assert (task.state, task.pending) == (READY, 0)


async def test_a_retried_parent_s_success_does_not_revive_its_cancelled_children(core: Core) -> None:
    parent = await core.enqueue()
    before = await enqueue_child(core, parent)
    await fail_for_good(core)
    await core.queue.retry(parent)
    after = await enqueue_child(core, parent)
    assert await states(core, [before, after]) == [CANCELLED, BLOCKED]
    await succeed(core)
    assert await states(core, [before, after]) == [CANCELLED, READY]


async def test_deleting_a_child_leaves_nothing_of_it_and_does_not_harm_its_parent(core: Core) -> None:
    parent = await core.enqueue()
    task_id = await enqueue_child(core, parent)
    await core.queue.delete(task_id)
    assert await core.count("dependency") == 0
    await succeed(core)
    assert await core.state(parent) is SUCCEEDED


async def test_a_parent_that_retention_takes_has_counted_already(core: Core) -> None:
    gone, kept = await enqueue(core, spec(priority=2), spec(priority=1))
    task_id = await enqueue_child(core, gone, kept)
    await succeed(core)
    await core.queue.delete(gone)
    task = await core.task(task_id)
    assert (task.state, task.pending, task.after) == (BLOCKED, 1, (kept,))
    await succeed(core)
    assert await core.state(task_id) is READY


async def test_the_row_of_a_deleted_parent_is_given_to_no_other_task(core: Core) -> None:
    parked, parent = await enqueue(core, child(1), spec())
    await core.queue.delete(parent)
    highest = ids.seq_of(ids.parse(parent))
    row = (await core.rows(statement("read_last_task")))[0]
    assert (row[0], row[2]) == (ids.seq_of(ids.parse(parked)), highest)


async def test_a_replaced_task_waits_for_nobody_any_more(core: Core) -> None:
    parent = await core.enqueue()
    blocked, last = await enqueue(core, child(parent, unique_key="k"), child(0))
    (made,) = await core.queue.enqueue([spec(queue="children", unique_key="k", unique_mode="replace")])
    assert (made.id, made.state, made.duplicate) == (blocked, READY, True)
    task = await core.task(blocked)
    assert (task.needs, task.pending, task.after) == (None, 0, ())
    await fail_for_good(core)
    assert await states(core, [blocked, last]) == [READY, BLOCKED]
    await succeed(core, "children")
    assert await core.state(last) is READY


async def test_a_key_held_by_a_blocked_task_is_held_and_is_free_once_it_is_cancelled(core: Core) -> None:
    parent = await core.enqueue()
    blocked = await enqueue_child(core, parent, unique_key="k")
    again = await core.enqueued(unique_key="k", queue="children")
    assert (again.id, again.duplicate) == (blocked, True)
    await fail_for_good(core)
    fresh = await core.enqueued(unique_key="k", queue="children")
    assert (fresh.duplicate, fresh.state) == (False, READY)


async def test_a_repeated_enqueue_with_its_key_makes_no_second_graph(core: Core) -> None:
    key = Idempotency("key", b"digest")
    specs = [spec(), child(0)]
    first = await core.queue.enqueue(specs, idempotency=key)
    assert await core.queue.enqueue(specs, idempotency=key) == first
    assert await core.count("dependency") == 1


async def test_blocked_tasks_count_as_waiting_in_depth_stats_and_lists(core: Core) -> None:
    parent = await core.enqueue()
    task_id = await enqueue_child(core, parent)
    stats = await core.queue.stats()
    assert stats.totals == {"ready": 1, "blocked": 1}
    page = await core.queue.page(Filters(states=[BLOCKED]), limit=10, cursor=None, bodies=True)
    assert [(task.id, task.pending, task.after) for task in page.tasks] == [(task_id, 1, ())]
    assert await core.queue.catalogue.purge("children", [BLOCKED]) == 1
    assert await core.count("dependency") == 0


async def test_a_paused_queue_s_tasks_are_released_but_not_handed_out(core: Core) -> None:
    parent = await core.enqueue()
    task_id = await enqueue_child(core, parent)
    await core.queue.catalogue.pause("children")
    await succeed(core)
    assert await core.state(task_id) is READY
    assert await core.claim("children") == []
    await core.queue.catalogue.resume("children")
    assert (await core.claim_one("children")).id == task_id


async def test_a_waiting_claim_is_woken_by_a_release(core: Core) -> None:
    parent = await core.enqueue()
    task_id = await enqueue_child(core, parent)
    waiting = asyncio.create_task(core.claim("children", wait_s=30))
    await succeed(core)
    assert ids_of(await asyncio.wait_for(waiting, 10)) == [task_id]


async def test_events_and_counts_tell_of_releases_and_cascades(core: Core) -> None:
    events: list[TaskEvent] = []
    core.store.listen(lambda effects: events.extend(effects.events))
    _, freed, doomed = await enqueue(core, spec(), child(0, needs=Needs.FINISHED), child(0))
    await fail_for_good(core)
    told = [(ids.text(event.id), event.state, event.reason) for event in events]
    assert (freed, BLOCKED, None) in told
    assert told[-2:] == [(freed, READY, None), (doomed, CANCELLED, "dependency")]
    since_start = (await core.queue.stats()).since_start
    assert (since_start["enqueued"], since_start["released"], since_start["cancelled"]) == (3, 1, 1)
