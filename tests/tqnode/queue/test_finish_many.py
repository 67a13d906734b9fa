"""What follows a completion, and many outcomes in one request."""

import msgspec
import pytest

from tests.tqnode.nodes import Core, complete, fail, sample, snooze, spec
from tqnode.errors import LeaseLost, NotFound, QueueFull, UniqueConflict
from tqnode.task import Complete, Finish, Finished, TaskState

READY, SCHEDULED, RUNNING = TaskState.READY, TaskState.SCHEDULED, TaskState.RUNNING
SUCCEEDED, DEAD, CANCELLED = TaskState.SUCCEEDED, TaskState.DEAD, TaskState.CANCELLED


# -- then ------------------------------------------------------------------------------------------


async def test_what_follows_a_completion_is_enqueued_with_it(core: Core) -> None:
    task = await core.running()
    followers = (spec(kind="b"), spec(kind="c", run_at_ms=core.clock.now_ms() + 9))
    finished = await core.finish(Complete(id=task.id, token=task.token, then=followers))
    assert finished.state is SUCCEEDED
    assert [await core.state(task_id) for task_id in finished.then] == [READY, SCHEDULED]


async def test_a_repeated_completion_enqueues_nothing_again_and_names_the_same_tasks(core: Core) -> None:
    task = await core.running()
    asked = Complete(id=task.id, token=task.token, result=b"1", then=(spec(),))
    first = await core.finish(asked)
    assert await core.finish(asked) == first
    assert await core.count("task") == 2


async def test_a_conflict_in_what_follows_leaves_the_task_running_and_makes_nothing(core: Core) -> None:
    await core.enqueue(unique_key="k", queue="other")
    task = await core.running()
    followers = (spec(tags=("t",)), spec(unique_key="k", unique_mode="reject"))
    with pytest.raises(UniqueConflict):
        await core.finish(Complete(id=task.id, token=task.token, result=b"1", then=followers))
    stored = await core.task(task.id)
    assert (stored.state, stored.result) == (RUNNING, None)
    assert await core.count("task") == 2
    assert await core.count("task_tag") == 0
    assert (await core.complete(task)).state is SUCCEEDED


async def test_a_completion_whose_followers_find_no_room_leaves_its_neighbours_alone(core: Core) -> None:
    object.__setattr__(core.config, "queue_depth_max", 2)
    await core.queue.enqueue([spec(), spec()])
    one, two = await core.claim(max=2)
    many = (spec(), spec(), spec())
    answers = await core.queue.finish(
        [Complete(id=one.id, token=one.token, then=many), complete(two), complete(one)]
    )
    assert isinstance(answers[0], QueueFull)
    assert [getattr(answer, "state", None) for answer in answers[1:]] == [SUCCEEDED, SUCCEEDED]


async def test_a_completion_that_lost_its_lease_enqueues_nothing(core: Core) -> None:
    late = await core.running(lease_ms=1000)
    await core.sweep_after(1)
    with pytest.raises(LeaseLost):
        await core.finish(Complete(id=late.id, token=late.token, then=(spec(),)))
    assert await core.count("task") == 1


async def test_a_duplicate_that_follows_is_named_by_the_task_that_survives(core: Core) -> None:
    survivor = await core.enqueue(unique_key="k", queue="other")
    task = await core.running()
    finished = await core.finish(Complete(id=task.id, token=task.token, then=(spec(unique_key="k"),)))
    assert finished.then == (survivor,)


# -- many ------------------------------------------------------------------------------------------


async def test_many_outcomes_are_answered_in_order_each_on_its_own(core: Core) -> None:
    await core.queue.enqueue([spec(max_attempts=1) for _ in range(7)])
    a, b, c, d, e, f, g = await core.claim(max=7)
    asked: list[Finish] = [
        complete(a, result=None),
        msgspec.structs.replace(complete(b), token="nonsense"),
        complete(c),
        fail(d),
        snooze(e, 1000),
        msgspec.structs.replace(complete(f), id="not an id"),
        complete(g),
        complete(a),
        fail(g),
    ]
    answers = await core.queue.finish(asked)
    kinds = [getattr(answer, "state", type(answer)) for answer in answers]
    assert kinds == [
        SUCCEEDED,
        LeaseLost,
        SUCCEEDED,
        DEAD,
        SCHEDULED,
        NotFound,
        SUCCEEDED,
        SUCCEEDED,
        LeaseLost,
    ]
    assert [await core.state(task.id) for task in (b, f)] == [RUNNING, RUNNING]
    assert (await core.queue.stats()).totals == {"succeeded": 3, "dead": 1, "scheduled": 1, "running": 2}


async def test_one_outcome_may_come_twice_in_one_request(core: Core) -> None:
    task = await core.running()
    first, second = await core.queue.finish([complete(task), complete(task)])
    assert isinstance(first, Finished)
    assert first == second


async def test_many_completions_store_each_its_own_result(core: Core) -> None:
    await core.queue.enqueue([spec() for _ in range(30)])
    tasks = await core.claim(max=30)
    asked = [
        Complete(id=task.id, token=task.token, result=b"%d" % n if n % 3 else None)
        for n, task in enumerate(tasks)
    ]
    assert all(isinstance(answer, Finished) for answer in await core.queue.finish(asked))
    results = [(await core.task(task.id)).result for task in tasks]
    assert results == [b"%d" % n if n % 3 else None for n in range(30)]


async def test_many_completions_one_of_which_must_give_up_its_key_all_succeed(core: Core) -> None:
    states = {"unique_key": "k", "unique_states": "blocked scheduled ready succeeded"}
    keyed = await core.running(**states)
    await core.enqueue(**states, queue="other")
    await core.queue.enqueue([spec(), spec()])
    asked = [complete(task) for task in [keyed, *await core.claim(max=2)]]
    assert [getattr(answer, "state", answer) for answer in await core.queue.finish(asked)] == [SUCCEEDED] * 3
    assert (await core.task(keyed.id)).unique_key is None


async def test_a_batch_that_names_a_task_in_two_spellings_completes_it_once(core: Core) -> None:
    task, other = await core.running(), await core.running(queue="other")
    shouted = msgspec.structs.replace(complete(task), id=task.id.upper())
    stale = msgspec.structs.replace(shouted, token="1-" + "0" * 16)
    answers = await core.queue.finish([complete(task), stale, complete(other), shouted])
    assert [getattr(answer, "state", type(answer)) for answer in answers] == [
        SUCCEEDED,
        LeaseLost,
        SUCCEEDED,
        SUCCEEDED,
    ]
    assert sample(core.metrics, "tq_operations_total", operation="succeeded") == 2


async def test_an_empty_batch_is_answered_by_an_empty_list(core: Core) -> None:
    assert await core.queue.finish([]) == []


async def test_a_snoozed_task_s_key_stays_its_own(core: Core) -> None:
    task = await core.running(unique_key="k")
    await core.finish(snooze(task, 1000))
    again = await core.enqueued(unique_key="k")
    assert (again.id, again.duplicate) == (task.id, True)
