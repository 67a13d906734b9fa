import asyncio
from pathlib import Path

import pytest

from tests.tqnode.nodes import Core, HeldWriter, ids_of, open_core, settle, spec
from tqnode.errors import IdempotencyMismatch, QueueFull, UniqueConflict
from tqnode.queue import Filters
from tqnode.task import Complete, Enqueued, Fail, Idempotency, TaskState

READY, SCHEDULED, RUNNING = TaskState.READY, TaskState.SCHEDULED, TaskState.RUNNING


def is_new(answer: object, state: TaskState = READY) -> bool:
    return isinstance(answer, Enqueued) and not answer.duplicate and answer.state is state


async def test_a_new_task_is_stored_as_it_was_given(core: Core) -> None:
    given = spec(
        kind="resize",
        queue="images",
        payload=b'{"id": 1970670598291982290, "x": 1.10}',
        priority=200,
        max_attempts=4,
        lease_ms=90_000,
        retry=b'{"type":"fixed","delay_s":1}',
        timeout_ms=7_000,
        expires_at_ms=core.clock.now_ms() + 60_000,
        tags=("a", "b"),
        meta=b'{"k": "v"}',
        unique_key="photo-1",
        limit_key="customer:7",
        result_ttl_ms=60_000,
    )
    (made,) = await core.queue.enqueue([given])
    task = await core.task(made.id)
    stored = {field: getattr(task, field) for field in given.__struct_fields__ if hasattr(task, field)}
    wanted = {field: getattr(given, field) for field in stored}
    assert stored == wanted | {"run_at_ms": core.clock.now_ms()}
    assert len(stored) == 18
    assert task.state is READY
    assert (task.attempt, task.crashes, task.errors, task.attempted_by) == (0, 0, (), ())
    assert task.created_at_ms == core.clock.now_ms()


async def test_the_answer_says_where_each_task_of_an_array_stands_in_order(core: Core) -> None:
    later_ms = core.clock.now_ms() + 1
    answers = await core.queue.enqueue([spec(), spec(run_at_ms=later_ms), spec(queue="other")])
    assert [answer.state for answer in answers] == [READY, SCHEDULED, READY]
    assert len(set(ids_of(answers))) == 3
    assert ids_of(answers) == sorted(ids_of(answers))
    assert not any(answer.duplicate for answer in answers)


async def test_an_empty_array_makes_nothing(core: Core) -> None:
    assert await core.queue.enqueue([]) == []
    assert await core.count("task") == 0


async def test_an_array_with_one_refused_task_makes_none(core: Core) -> None:
    await core.enqueue(unique_key="k")
    tasks = [spec(queue="new", tags=("t",)), spec(unique_key="k", unique_mode="reject"), spec()]
    with pytest.raises(UniqueConflict):
        await core.queue.enqueue(tasks)
    assert await core.count("task") == await core.count("task_body") == 1
    assert await core.count("task_tag") == 0
    assert [info.queue for info in await core.queue.catalogue.all()] == ["default"]


async def test_ten_thousand_tasks_are_made_at_once(core: Core) -> None:
    answers = await core.queue.enqueue([spec() for _ in range(10_000)])
    assert len(set(ids_of(answers))) == 10_000
    assert (await core.queue.stats()).totals == {"ready": 10_000}


# -- when ----------------------------------------------------------------------------------------


async def test_a_task_for_a_past_time_is_ready_at_once_and_lines_up_behind(core: Core) -> None:
    first = await core.enqueue()
    past = await core.enqueued(run_at_ms=core.clock.now_ms() - 10_000)
    assert is_new(past)
    assert (await core.task(past.id)).run_at_ms == core.clock.now_ms()
    assert ids_of(await core.claim(max=2)) == [first, past.id]


async def test_a_task_for_this_very_millisecond_is_ready(core: Core) -> None:
    assert is_new(await core.enqueued(run_at_ms=core.clock.now_ms()))


async def test_a_delayed_task_is_scheduled_and_not_handed_out(core: Core) -> None:
    made = await core.enqueued(run_at_ms=core.clock.now_ms() + 5_000)
    assert is_new(made, SCHEDULED)
    assert await core.claim() == []
    assert (await core.task(made.id)).run_at_ms == core.clock.now_ms() + 5_000


async def test_tasks_keep_their_order_when_the_wall_clock_steps_back(core: Core) -> None:
    ids = [await core.enqueue()]
    core.clock.step(-3600)
    ids += [await core.enqueue(), await core.enqueue()]
    assert ids == sorted(ids)
    assert ids_of(await core.claim(max=3)) == ids


# -- unique keys ---------------------------------------------------------------------------------


async def test_a_held_key_answers_with_the_task_that_survives(core: Core) -> None:
    first = await core.enqueue(unique_key="k", payload=b"1")
    again = await core.enqueued(unique_key="k", payload=b"2")
    assert (again.id, again.state, again.duplicate) == (first, READY, True)
    assert (await core.task(first)).payload == b"1"
    assert await core.count("task") == 1


async def test_the_same_key_of_another_kind_is_another_key(core: Core) -> None:
    await core.enqueue(unique_key="k")
    assert is_new(await core.enqueued(unique_key="k", kind="other"))


async def test_a_held_key_that_must_be_free_is_a_conflict_that_names_the_holder(core: Core) -> None:
    holder = await core.enqueue(unique_key="k")
    with pytest.raises(UniqueConflict) as conflict:
        await core.enqueue(unique_key="k", unique_mode="reject")
    assert conflict.value.task == holder


async def test_a_running_task_holds_its_key(core: Core) -> None:
    task = await core.running(unique_key="k")
    again = await core.enqueued(unique_key="k")
    assert (again.id, again.state, again.duplicate) == (task.id, RUNNING, True)


@pytest.mark.parametrize("mode", ["skip", "replace", "reject"])
async def test_a_finished_task_holds_its_key_no_more(core: Core, mode: str) -> None:
    task = await core.running(unique_key="k")
    await core.complete(task)
    made = await core.enqueued(unique_key="k", unique_mode=mode)
    assert is_new(made)
    assert made.id != task.id


async def test_a_key_may_be_held_beyond_the_end(core: Core) -> None:
    states = "blocked scheduled ready running succeeded"
    task = await core.running(unique_key="k", unique_states=states)
    await core.complete(task)
    again = await core.enqueued(unique_key="k")
    assert (again.id, again.state, again.duplicate) == (task.id, TaskState.SUCCEEDED, True)


async def test_a_key_that_is_free_while_running_lets_one_more_task_in(core: Core) -> None:
    waiting = {"unique_key": "k", "unique_states": "blocked scheduled ready"}
    running = await core.running(**waiting)
    successor = await core.enqueued(**waiting)
    assert is_new(successor)
    again = await core.enqueued(**waiting)
    assert (again.id, again.duplicate) == (successor.id, True)
    assert running.id != successor.id


async def test_a_task_that_comes_back_to_a_key_taken_meanwhile_goes_on_without_it(core: Core) -> None:
    waiting = {"unique_key": "k", "unique_states": "blocked scheduled ready"}
    running = await core.running(**waiting)
    successor = await core.enqueue(**waiting)
    await core.finish(Fail(id=running.id, token=running.token, delay_ms=0))
    assert await core.state(running.id) is READY
    assert (await core.task(running.id)).unique_key is None
    assert (await core.task(successor)).unique_key == "k"


async def test_a_completion_into_a_key_taken_meanwhile_succeeds_without_it(core: Core) -> None:
    states = {"unique_key": "k", "unique_states": "blocked scheduled ready succeeded"}
    running = await core.running(**states)
    await core.enqueue(**states)
    await core.finish(Complete(id=running.id, token=running.token, result=b"1"))
    task = await core.task(running.id)
    assert (task.state, task.result, task.unique_key) == (TaskState.SUCCEEDED, b"1", None)


async def test_replacing_gives_a_waiting_task_its_new_content(core: Core) -> None:
    first = await core.enqueue(unique_key="k", payload=b"1", tags=("old", "both"), priority=1)
    again = await core.enqueued(
        unique_key="k",
        unique_mode="replace",
        payload=b"2",
        tags=("both", "new"),
        priority=9,
        queue="other",
        max_attempts=2,
        lease_ms=5_000,
        meta=b"{}",
        run_at_ms=core.clock.now_ms() + 1000,
    )
    assert (again.id, again.state, again.duplicate) == (first, SCHEDULED, True)
    task = await core.task(first)
    assert (task.payload, task.tags, task.priority, task.queue) == (b"2", ("both", "new"), 9, "other")
    assert (task.max_attempts, task.lease_ms, task.meta) == (2, 5_000, b"{}")
    assert task.run_at_ms == core.clock.now_ms() + 1000
    assert await core.rows("SELECT tag FROM task_tag ORDER BY tag") == [("both",), ("new",)]
    counts = {info.queue: info.counts for info in await core.queue.catalogue.all()}
    assert counts == {"default": {}, "other": {"scheduled": 1}}


async def test_replacing_makes_a_scheduled_task_ready_when_the_new_one_is_for_now(core: Core) -> None:
    first = await core.enqueue(unique_key="k", run_at_ms=core.clock.now_ms() + 1000)
    again = await core.enqueued(unique_key="k", unique_mode="replace")
    assert (again.id, again.state) == (first, READY)
    assert ids_of(await core.claim()) == [first]


async def test_replacing_a_running_task_takes_its_key_and_makes_a_new_one(core: Core) -> None:
    running = await core.running(unique_key="k")
    made = await core.enqueued(unique_key="k", unique_mode="replace")
    assert is_new(made)
    assert made.id != running.id
    assert (await core.task(running.id)).unique_key is None
    await core.complete(running)
    assert (await core.task(made.id)).unique_key == "k"


async def test_two_tasks_of_one_key_in_one_array_meet(core: Core) -> None:
    first, second, third = await core.queue.enqueue(
        [spec(unique_key="k", payload=b"1"), spec(unique_key="k", payload=b"2"), spec()]
    )
    assert (second.id, second.duplicate) == (first.id, True)
    assert is_new(third)
    assert (await core.task(first.id)).payload == b"1"


async def test_the_last_of_several_replacements_in_one_array_wins(core: Core) -> None:
    tasks = [spec(unique_key="k", unique_mode="replace", payload=b"%d" % n) for n in range(3)]
    answers = await core.queue.enqueue(tasks)
    assert len(set(ids_of(answers))) == 1
    assert [answer.duplicate for answer in answers] == [False, True, True]
    assert (await core.task(answers[0].id)).payload == b"2"


async def test_two_tasks_of_one_key_in_one_array_that_must_be_free_make_none(core: Core) -> None:
    with pytest.raises(UniqueConflict):
        await core.queue.enqueue([spec(unique_key="k", unique_mode="reject") for _ in range(2)])
    assert await core.count("task") == 0


# -- idempotency ---------------------------------------------------------------------------------


def key(name: str, body: bytes = b"body") -> Idempotency:
    return Idempotency(name, body)


async def test_a_repeated_key_with_the_same_body_gets_the_first_answer_and_makes_nothing(
    core: Core,
) -> None:
    first = await core.queue.enqueue([spec(), spec()], idempotency=key("a"))
    again = await core.queue.enqueue([spec(), spec()], idempotency=key("a"))
    assert again == first
    assert await core.count("task") == 2


async def test_a_repeated_key_is_known_even_after_its_task_is_gone(core: Core) -> None:
    first = await core.queue.enqueue([spec()], idempotency=key("a"))
    await core.queue.delete(first[0].id)
    assert await core.queue.enqueue([spec()], idempotency=key("a")) == first
    assert await core.count("task") == 0


async def test_a_repeated_key_with_another_body_is_refused(core: Core) -> None:
    await core.queue.enqueue([spec()], idempotency=key("a"))
    with pytest.raises(IdempotencyMismatch):
        await core.queue.enqueue([spec()], idempotency=key("a", b"other"))
    with pytest.raises(IdempotencyMismatch):
        await core.queue.enqueue_partial([spec()], idempotency=key("a", b"other"))
    assert await core.count("task") == 1


async def test_a_key_whose_enqueue_was_refused_may_be_used_again(core: Core) -> None:
    holder = await core.enqueue(unique_key="k")
    rejecting = [spec(unique_key="k", unique_mode="reject")]
    with pytest.raises(UniqueConflict):
        await core.queue.enqueue(rejecting, idempotency=key("a"))
    await core.queue.cancel(holder)
    (made,) = await core.queue.enqueue(rejecting, idempotency=key("a"))
    assert is_new(made)


async def test_the_same_key_twice_in_one_group_makes_one_task(core: Core) -> None:
    answers = await asyncio.gather(*[core.queue.enqueue([spec()], idempotency=key("a")) for _ in range(10)])
    assert all(answer == answers[0] for answer in answers)
    assert await core.count("task") == 1


# -- each on its own -----------------------------------------------------------------------------


async def test_a_partial_enqueue_makes_what_it_can_and_says_why_not_the_rest(core: Core) -> None:
    await core.enqueue(unique_key="k")
    answers = await core.queue.enqueue_partial(
        [spec(), spec(unique_key="k", unique_mode="reject"), spec(unique_key="k"), spec(tags=("t",))]
    )
    assert is_new(answers[0])
    assert isinstance(answers[1], UniqueConflict)
    assert isinstance(answers[2], Enqueued)
    assert answers[2].duplicate
    assert is_new(answers[3])
    assert await core.count("task") == 3


async def test_a_repeated_partial_enqueue_tries_only_the_refused_tasks_again(core: Core) -> None:
    holder = await core.enqueue(unique_key="k")
    tasks = [spec(), spec(unique_key="k", unique_mode="reject")]
    first = await core.queue.enqueue_partial(tasks, idempotency=key("a"))
    assert isinstance(first[1], UniqueConflict)
    await core.queue.cancel(holder)
    again = await core.queue.enqueue_partial(tasks, idempotency=key("a"))
    assert again[0] == first[0]
    assert is_new(again[1])
    assert await core.queue.enqueue_partial(tasks, idempotency=key("a")) == again
    assert await core.count("task") == 3


async def test_a_repeated_partial_enqueue_of_another_number_of_tasks_is_refused(core: Core) -> None:
    await core.queue.enqueue_partial([spec(), spec()], idempotency=key("a"))
    with pytest.raises(IdempotencyMismatch):
        await core.queue.enqueue_partial([spec()], idempotency=key("a"))
    assert await core.count("task") == 2


async def test_a_new_queue_is_there_though_the_request_before_that_would_have_made_it_was_undone(
    core: Core,
) -> None:
    await core.enqueue(unique_key="k")
    taken = {"unique_key": "k", "unique_mode": "reject"}
    async with HeldWriter(core.store):
        refused = asyncio.create_task(core.queue.enqueue([spec(queue="new"), spec(**taken)]))
        making = asyncio.create_task(core.enqueue(queue="new"))
        await settle()
    with pytest.raises(UniqueConflict):
        await refused
    assert ids_of(await core.claim("new", max=5)) == [await making]
    answers = await core.queue.enqueue_partial([spec(queue="newer", **taken), spec(queue="newer")])
    assert isinstance(answers[0], UniqueConflict)
    assert len(await core.claim("newer", max=5)) == 1


# -- limits --------------------------------------------------------------------------------------


async def test_a_queue_takes_as_many_waiting_tasks_as_its_limit_says(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", queue_depth_max=3) as core:
        await core.queue.enqueue([spec(), spec(run_at_ms=core.clock.now_ms() + 9)])
        with pytest.raises(QueueFull) as full:
            await core.queue.enqueue([spec(), spec()])
        assert full.value.retry_after_s > 0
        await core.enqueue()
        with pytest.raises(QueueFull):
            await core.enqueue()
        await core.enqueue(queue="other")
        await core.claim_one()
        await core.enqueue()
        assert await core.count("task") == 5


async def test_what_a_group_has_made_already_counts_towards_a_queue_s_limit(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", queue_depth_max=10) as core:
        answers = await asyncio.gather(*[core.enqueued() for _ in range(25)], return_exceptions=True)
        assert sum(isinstance(answer, Enqueued) for answer in answers) == 10
        assert sum(isinstance(answer, QueueFull) for answer in answers) == 15
        assert not await core.drift()


async def test_a_partial_enqueue_fills_a_queue_up_to_its_limit(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", queue_depth_max=2) as core:
        answers = await core.queue.enqueue_partial([spec(), spec(), spec(), spec(queue="other")])
        assert [isinstance(answer, QueueFull) for answer in answers] == [False, False, True, False]


async def test_there_are_never_more_queues_than_the_limit_says(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", queues_max=2) as core:
        await core.queue.enqueue([spec(queue="a"), spec(queue="b")])
        with pytest.raises(QueueFull):
            await core.enqueue(queue="c")
        with pytest.raises(QueueFull):
            await core.queue.enqueue([spec(queue="a"), spec(queue="c")])
        await core.enqueue(queue="b")
        assert [info.queue for info in await core.queue.catalogue.all()] == ["a", "b"]
        page = await core.queue.page(Filters(), limit=10, cursor=None, bodies=False)
        assert len(page.tasks) == 3
