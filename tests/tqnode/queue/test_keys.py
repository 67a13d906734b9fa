"""Unique keys: modes in which a waiting task is changed, keys that are held for a time, and who gives way."""

import pytest

from tests.tqnode.nodes import Core, complete, fail, ids_of, settle, snooze, spec
from tests.tqnode.queue.families import child, enqueue
from tqnode.errors import UniqueConflict
from tqnode.task import REPLACING, TaskState

READY, SCHEDULED, RUNNING = TaskState.READY, TaskState.SCHEDULED, TaskState.RUNNING
WAITING_ONLY = "blocked scheduled ready"
UNTIL_SUCCEEDED = "blocked scheduled ready running succeeded"


def hourly(**fields: object) -> dict[str, object]:
    return {"unique_key": "k", "unique_period_ms": 3_600_000, "unique_states": UNTIL_SUCCEEDED} | fields


# -- a waiting task is changed -------------------------------------------------------------------


async def test_debouncing_puts_a_waiting_task_off(core: Core) -> None:
    now_ms = core.clock.now_ms()
    first = await core.enqueue(unique_key="k", payload=b"1", run_at_ms=now_ms + 5_000)
    debounce = {"unique_key": "k", "unique_mode": "debounce"}
    again = await core.enqueued(**debounce, payload=b"2", run_at_ms=now_ms + 9_000)
    assert (again.id, again.state, again.duplicate) == (first, SCHEDULED, True)
    task = await core.task(first)
    assert (task.payload, task.run_at_ms) == (b"2", now_ms + 9_000)
    await core.enqueue(**debounce, payload=b"3", run_at_ms=now_ms + 1_000)
    task = await core.task(first)
    assert (task.payload, task.run_at_ms) == (b"3", now_ms + 9_000), "it never brings a task forward"


async def test_debouncing_puts_a_ready_task_off_too(core: Core) -> None:
    first = await core.enqueue(unique_key="k")
    again = await core.enqueued(unique_key="k", unique_mode="debounce", run_at_ms=core.clock.now_ms() + 9_000)
    assert (again.id, again.state) == (first, SCHEDULED)
    assert not await core.claim()


async def test_a_task_is_not_put_off_beyond_its_longest_wait(core: Core) -> None:
    made_ms = core.clock.now_ms()
    first = await core.enqueue(unique_key="k", run_at_ms=made_ms + 1_000)
    for second in range(1, 20):
        core.clock.advance(0.5)
        await core.enqueue(
            unique_key="k",
            unique_mode="debounce",
            unique_wait_max_ms=5_000,
            payload=b"%d" % second,
            run_at_ms=core.clock.now_ms() + 1_000,
        )
    task = await core.task(first)
    assert task.run_at_ms == made_ms + 5_000
    assert (task.state, task.payload) == (READY, b"19")


async def test_the_longest_wait_does_not_bring_a_task_forward(core: Core) -> None:
    late_ms = core.clock.now_ms() + 60_000
    first = await core.enqueue(unique_key="k", run_at_ms=late_ms)
    await core.enqueue(
        unique_key="k", unique_mode="debounce", unique_wait_max_ms=1_000, run_at_ms=late_ms + 60_000
    )
    assert (await core.task(first)).run_at_ms == late_ms


async def test_the_earlier_of_two_times_is_kept(core: Core) -> None:
    now_ms = core.clock.now_ms()
    keep = {"unique_key": "k", "unique_mode": "keep_earliest"}
    first = await core.enqueue(**keep, payload=b"1", run_at_ms=now_ms + 5_000)
    await core.enqueue(**keep, payload=b"2", run_at_ms=now_ms + 9_000)
    task = await core.task(first)
    assert (task.payload, task.run_at_ms) == (b"2", now_ms + 5_000)
    await core.enqueue(**keep, payload=b"3", run_at_ms=now_ms + 2_000)
    task = await core.task(first)
    assert (task.payload, task.run_at_ms, task.state) == (b"3", now_ms + 2_000, SCHEDULED)
    again = await core.enqueued(**keep, payload=b"4")
    assert (again.id, again.state, again.duplicate) == (first, READY, True)


async def test_a_ready_task_keeps_its_place_in_the_line_where_the_earlier_time_is_kept(core: Core) -> None:
    keep = {"unique_key": "k", "unique_mode": "keep_earliest"}
    first = await core.enqueue(**keep)
    core.clock.advance(1)
    second = await core.enqueue()
    await core.enqueue(**keep, run_at_ms=core.clock.now_ms() + 5_000)
    assert ids_of(await core.claim(max=2)) == [first, second]


async def test_a_ready_task_stays_ready_though_the_clock_was_set_back(core: Core) -> None:
    keep = {"unique_key": "k", "unique_mode": "keep_earliest"}
    first = await core.enqueue(**keep)
    core.clock.step(-3_600)
    again = await core.enqueued(**keep, payload=b"2")
    assert (again.id, again.state) == (first, READY)
    assert ids_of(await core.claim()) == [first]


@pytest.mark.parametrize("mode", sorted(REPLACING))
async def test_a_blocked_task_that_gets_new_content_waits_for_nobody_any_more(core: Core, mode: str) -> None:
    _, blocked = await enqueue(core, spec(queue="parents"), child(0, unique_key="k"))
    again = await core.enqueued(unique_key="k", unique_mode=mode, payload=b"2")
    assert (again.id, again.state, again.duplicate) == (blocked, READY, True)
    assert await core.count("dependency") == 0


@pytest.mark.parametrize("mode", sorted(REPLACING))
async def test_a_running_task_loses_its_key_to_a_new_one_that_has_news(core: Core, mode: str) -> None:
    running = await core.running(unique_key="k")
    made = await core.enqueued(unique_key="k", unique_mode=mode)
    assert (made.duplicate, made.id == running.id) == (False, False)
    assert (await core.task(running.id)).unique_key is None
    assert (await core.complete(running)).state is TaskState.SUCCEEDED


# -- for a time ----------------------------------------------------------------------------------


async def test_a_key_is_held_for_its_time_whatever_becomes_of_the_task(core: Core) -> None:
    task = await core.running(**hourly())
    await core.complete(task)
    core.clock.advance(3_599)
    again = await core.enqueued(**hourly())
    assert (again.id, again.state, again.duplicate) == (task.id, TaskState.SUCCEEDED, True)
    core.clock.advance(1)
    made = await core.enqueued(**hourly())
    assert not made.duplicate
    assert (await core.task(task.id)).unique_key is None


@pytest.mark.parametrize("state", [READY, RUNNING])
async def test_a_key_s_time_ends_though_its_task_has_not(core: Core, state: TaskState) -> None:
    first = (await core.running(**hourly())).id if state is RUNNING else await core.enqueue(**hourly())
    core.clock.advance(3_600)
    made = await core.enqueued(**hourly())
    assert not made.duplicate
    assert (await core.state(first), (await core.task(first)).unique_key) == (state, None)


async def test_a_dead_task_holds_its_key_no_more(core: Core) -> None:
    task = await core.running(**hourly())
    await core.finish(fail(task, retry=False))
    assert not (await core.enqueued(**hourly())).duplicate


async def test_a_clock_set_back_makes_no_time_longer_than_it_is(core: Core) -> None:
    first = await core.enqueue(**hourly())
    core.clock.step(-86_400)
    assert (await core.enqueued(**hourly())).id == first, "nobody can tell that it is not held any more"
    core.clock.advance(3_599)
    assert (await core.enqueued(**hourly())).id == first
    core.clock.advance(1)
    assert not (await core.enqueued(**hourly())).duplicate


async def test_a_refused_task_changes_nothing_even_after_the_clock_was_set_back(core: Core) -> None:
    holder = await core.enqueue(**hourly())
    core.clock.step(-86_400)
    core.clock.advance(3_600)
    with pytest.raises(UniqueConflict) as conflict:
        await core.enqueue(**hourly(unique_mode="reject"))
    assert conflict.value.task == holder
    assert (await core.enqueued(**hourly())).id == holder, "only now the time begins again"
    core.clock.advance(3_600)
    assert (await core.enqueue(**hourly(unique_mode="reject"))) != holder


async def test_new_content_begins_the_time_again(core: Core) -> None:
    later = {"run_at_ms": core.clock.now_ms() + 80_000_000}
    first = await core.enqueue(**hourly(**later))
    core.clock.advance(3_000)
    await core.enqueue(**hourly(unique_mode="replace", **later))
    core.clock.advance(3_000)
    assert (await core.enqueued(**hourly())).id == first
    await core.enqueue(unique_key="k", unique_mode="replace", **later)
    core.clock.advance(10_000)
    assert (await core.enqueued(**hourly())).id == first, "the last one to replace it said no time"


async def test_keys_with_a_time_meet_in_one_array(core: Core) -> None:
    plain, first, second, third, other = await core.queue.enqueue(
        [
            spec(),
            spec(**hourly(payload=b"1")),
            spec(**hourly(payload=b"2")),
            spec(**hourly(unique_mode="replace", unique_period_ms=1_000, payload=b"3")),
            spec(**hourly(unique_key="other")),
        ]
    )
    assert (first.duplicate, second.duplicate, third.duplicate, other.duplicate) == (False, True, True, False)
    assert first.id == second.id == third.id
    assert (await core.task(first.id)).payload == b"3"
    periods = await core.rows("SELECT unique_period_ms FROM task ORDER BY seq")
    assert periods == [(None,), (1_000,), (3_600_000,)]
    assert plain.id != other.id


async def test_a_plain_task_is_given_no_time(core: Core) -> None:
    await core.queue.enqueue([spec(), spec(unique_key="k")])
    assert await core.rows("SELECT DISTINCT unique_period_ms, unique_until_ms FROM task") == [(None, None)]


# -- who gives way -------------------------------------------------------------------------------


async def test_a_retry_that_would_meet_the_key_s_holder_says_who_that_is(core: Core) -> None:
    task = await core.running(unique_key="k")
    await core.complete(task)
    holder = await core.enqueue(unique_key="k")
    with pytest.raises(UniqueConflict) as conflict:
        await core.queue.retry(task.id)
    assert conflict.value.task == holder
    await core.queue.cancel(holder)
    assert (await core.queue.retry(task.id)).state is READY
    with pytest.raises(UniqueConflict):
        await core.queue.retry(holder)


async def test_a_task_never_meets_itself(core: Core) -> None:
    for states in (WAITING_ONLY, UNTIL_SUCCEEDED, "blocked scheduled ready succeeded dead cancelled"):
        task = await core.running(unique_key=states, unique_states=states)
        await core.finish(snooze(task, delay_ms=1_000))
        await core.sweep_after(1)
        task = await core.claim_one()
        await core.finish(fail(task, delay_ms=0))
        await core.complete(await core.claim_one())
        await core.queue.retry(task.id)
        await core.complete(await core.claim_one())
        assert (await core.task(task.id)).unique_key == states


async def test_a_retried_task_whose_time_is_over_runs_without_its_key(core: Core) -> None:
    task = await core.running(**hourly())
    await core.finish(fail(task, retry=False))
    core.clock.advance(3_600)
    holder = await core.enqueue(**hourly())
    assert (await core.queue.retry(task.id)).unique_key is None
    assert (await core.task(holder)).unique_key == "k"


async def test_a_task_that_comes_back_takes_its_key_from_one_whose_time_is_over(core: Core) -> None:
    waiting = {"unique_key": "k", "unique_states": WAITING_ONLY}
    first = await core.running(**waiting)
    second = await core.enqueue(**waiting, unique_period_ms=1_000, run_at_ms=core.clock.now_ms() + 90_000)
    core.clock.advance(1)
    await core.finish(snooze(first))
    assert (await core.task(first.id)).unique_key == "k"
    assert (await core.task(second)).unique_key is None


@pytest.mark.parametrize("way", ["snooze", "fail", "crash", "complete"])
async def test_whatever_brings_a_task_back_to_a_key_taken_meanwhile_it_goes_on(core: Core, way: str) -> None:
    states = "blocked scheduled ready succeeded"
    fields = {"unique_key": "k", "unique_states": states, "lease_ms": 2_000}
    await core.sweep_after(3)
    task = await core.running(**fields)
    holder = await core.enqueue(**fields, run_at_ms=core.clock.now_ms() + 90_000)
    if way == "crash":
        await core.sweep_after(3)
    else:
        finishes = {
            "snooze": snooze(task, delay_ms=5_000),
            "fail": fail(task, delay_ms=5_000),
            "complete": complete(task),
        }
        await core.finish(finishes[way])
    moved = await core.task(task.id)
    assert (moved.state is RUNNING, moved.unique_key) == (False, None)
    assert (await core.task(holder)).unique_key == "k"


async def test_the_release_of_a_blocked_task_meets_nobody(core: Core) -> None:
    parent, blocked = await enqueue(core, spec(queue="parents"), child(0, unique_key="k"))
    again = await core.enqueued(unique_key="k", queue="children")
    assert (again.id, again.duplicate) == (blocked, True)
    await core.complete(await core.claim_one("parents"))
    await settle()
    assert await core.state(blocked) is READY
    assert (await core.enqueued(unique_key="k")).id == blocked
    assert parent != blocked
