import itertools
from collections.abc import Callable

import msgspec
import pytest

from tests.tqnode.nodes import Core, ids_of, sample, spec
from tqnode.errors import LeaseLost, NotFound, QueueFull, UniqueConflict
from tqnode.queue.finish import plain_receipt
from tqnode.task import ClaimedTask, Complete, Fail, Finish, Finished, Snooze, TaskState

READY, SCHEDULED, RUNNING = TaskState.READY, TaskState.SCHEDULED, TaskState.RUNNING
SUCCEEDED, DEAD, CANCELLED = TaskState.SUCCEEDED, TaskState.DEAD, TaskState.CANCELLED


def complete(task: ClaimedTask, **fields: object) -> Complete:
    return msgspec.convert({"id": task.id, "token": task.token} | fields, Complete)


def fail(task: ClaimedTask, **fields: object) -> Fail:
    return msgspec.convert({"id": task.id, "token": task.token} | fields, Fail)


def snooze(task: ClaimedTask, delay_ms: int = 0) -> Snooze:
    return Snooze(id=task.id, token=task.token, delay_ms=delay_ms)


How = Callable[[ClaimedTask], Finish]
EVERY: list[How] = [complete, fail, snooze]


async def test_a_completed_task_has_succeeded_with_its_result(core: Core) -> None:
    task = await core.running()
    core.clock.advance(2)
    finished = await core.finish(Complete(id=task.id, token=task.token, result=b'{"x": 1.10}'))
    assert finished == Finished(id=task.id, state=SUCCEEDED)
    stored = await core.task(task.id)
    assert (stored.state, stored.result, stored.reason) == (SUCCEEDED, b'{"x": 1.10}', None)
    assert stored.finished_at_ms == core.clock.now_ms()
    assert stored.lease_expires_at_ms is None
    assert stored.attempted_by == ("w1",)


async def test_a_failed_task_waits_for_its_next_attempt_with_its_error_noted(core: Core) -> None:
    task = await core.running(retry=b'{"type":"fixed","delay_s":7}')
    finished = await core.finish(fail(task, type="Timeout", message="too slow", trace="line 1"))
    due_ms = core.clock.now_ms() + 7_000
    assert finished == Finished(id=task.id, state=SCHEDULED, run_at_ms=due_ms)
    stored = await core.task(task.id)
    assert (stored.state, stored.run_at_ms, stored.attempt) == (SCHEDULED, due_ms, 1)
    (error,) = stored.errors
    assert (error.type, error.message, error.trace) == ("Timeout", "too slow", "line 1")
    assert (error.attempt, error.at_ms) == (1, core.clock.now_ms())
    assert (stored.worker, stored.attempted_by) == (None, ("w1",))


async def test_a_worker_may_say_when_the_next_attempt_is_due(core: Core) -> None:
    task = await core.running()
    finished = await core.finish(fail(task, delay_ms=123))
    assert (finished.state, finished.run_at_ms) == (SCHEDULED, core.clock.now_ms() + 123)


async def test_a_failure_without_delay_is_ready_at_once(core: Core) -> None:
    task = await core.running()
    assert (await core.finish(fail(task, delay_ms=0))).state is READY
    assert (await core.claim_one()).attempt == 2


async def test_a_task_that_failed_for_good_is_dead_whatever_attempts_remain(core: Core) -> None:
    task = await core.running()
    finished = await core.finish(fail(task, retry=False))
    assert (finished.state, finished.reason) == (DEAD, "failed_for_good")
    stored = await core.task(task.id)
    assert (stored.state, stored.reason, len(stored.errors)) == (DEAD, "failed_for_good", 1)


async def test_a_task_out_of_attempts_is_dead(core: Core) -> None:
    task_id = await core.enqueue(max_attempts=2)
    states = []
    for _ in range(2):
        task = await core.claim_one()
        states.append((await core.finish(fail(task, delay_ms=0))).state)
    assert states == [READY, DEAD]
    stored = await core.task(task_id)
    assert (stored.reason, stored.attempt, len(stored.errors)) == ("attempts_exhausted", 2, 2)


async def test_only_the_last_errors_and_workers_are_kept(core: Core) -> None:
    await core.enqueue(max_attempts=100)
    for n in range(14):
        task = await core.claim_one(worker=f"w{n}")
        await core.finish(fail(task, message=str(n), delay_ms=0))
    stored = await core.task(task.id)
    assert [error.message for error in stored.errors] == [str(n) for n in range(4, 14)]
    assert stored.attempted_by == tuple(f"w{n}" for n in range(4, 14))


async def test_a_snoozed_task_waits_and_has_not_spent_an_attempt(core: Core) -> None:
    task = await core.running()
    finished = await core.finish(snooze(task, 5_000))
    assert finished == Finished(id=task.id, state=SCHEDULED, run_at_ms=core.clock.now_ms() + 5_000)
    stored = await core.task(task.id)
    assert (stored.attempt, stored.errors, stored.crashes) == (0, (), 0)
    await core.sweep_after(5)
    assert (await core.claim_one()).attempt == 1


async def test_a_task_can_be_snoozed_for_ever_without_running_out_of_attempts(core: Core) -> None:
    task_id = await core.enqueue(max_attempts=1)
    for _ in range(20):
        await core.finish(snooze(await core.claim_one()))
    assert await core.state(task_id) is READY


async def test_a_task_given_back_at_once_is_ready_though_the_clock_was_set_back(core: Core) -> None:
    task = await core.running()
    core.clock.step(-3600)
    finished = await core.finish(snooze(task))
    assert finished.state is READY
    assert ids_of(await core.claim()) == [task.id]


# -- the fence -------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", EVERY)
@pytest.mark.parametrize("token", ["", "1", "1-", "1-zzzzzzzzzzzzzzzz", "99999999999999999999-" + "0" * 16])
async def test_a_token_that_no_claim_ever_had_changes_nothing(core: Core, how: How, token: str) -> None:
    task = await core.running()
    forged = msgspec.structs.replace(task, token=token)
    before = await core.rows("SELECT * FROM task")
    with pytest.raises(LeaseLost) as lost:
        await core.finish(how(forged))
    assert lost.value.task == task.id
    assert await core.rows("SELECT * FROM task") == before


@pytest.mark.parametrize("how", EVERY)
async def test_another_secret_or_another_grant_is_not_the_current_token(core: Core, how: How) -> None:
    task = await core.running()
    grants, _, secret = task.token.partition("-")
    wrong_secret = f"{grants}-{int(secret, 16) ^ 1:016x}"
    for token in (wrong_secret, f"{int(grants) + 1}-{secret}", f"0-{secret}"):
        with pytest.raises(LeaseLost):
            await core.finish(how(msgspec.structs.replace(task, token=token)))
    assert await core.state(task.id) is RUNNING
    assert sample(core.metrics, "tq_fenced_requests_total") == 3


@pytest.mark.parametrize("how", EVERY)
async def test_a_late_worker_cannot_finish_what_another_holds(core: Core, how: How) -> None:
    late = await core.running(lease_ms=1000)
    await core.sweep_after(1)
    current = await core.claim_one(worker="w2")
    assert current.id == late.id
    with pytest.raises(LeaseLost):
        await core.finish(how(late))
    assert (await core.task(late.id)).worker == "w2"
    assert (await core.complete(current)).state is SUCCEEDED
    with pytest.raises(LeaseLost):
        await core.finish(how(late))


@pytest.mark.parametrize("how", EVERY)
async def test_a_worker_whose_lease_was_taken_cannot_finish_what_nobody_holds(core: Core, how: How) -> None:
    late = await core.running(lease_ms=1000)
    await core.sweep_after(1)
    with pytest.raises(LeaseLost):
        await core.finish(how(late))
    assert await core.state(late.id) is READY


@pytest.mark.parametrize(("how", "state"), [(complete, SUCCEEDED), (fail, SCHEDULED), (snooze, READY)])
async def test_a_token_still_current_after_its_deadline_may_finish(
    core: Core, how: How, state: TaskState
) -> None:
    task = await core.running(lease_ms=1000)
    core.clock.advance(3600)
    assert (await core.finish(how(task))).state is state


@pytest.mark.parametrize("how", EVERY)
async def test_a_task_that_is_gone_or_never_was_is_not_found(core: Core, how: How) -> None:
    task = await core.running()
    await core.complete(task)
    await core.queue.delete(task.id)
    for task_id in (task.id, "not an id", "0190163d-8694-7000-8000-000000000000"):
        with pytest.raises(NotFound):
            await core.finish(how(msgspec.structs.replace(task, id=task_id)))


# -- again -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", EVERY)
async def test_the_same_finish_sent_again_gets_the_same_answer_and_changes_nothing(
    core: Core, how: How
) -> None:
    task = await core.running()
    first = await core.finish(how(task))
    before = await core.rows("SELECT * FROM task JOIN task_body USING (seq) LEFT JOIN task_note USING (seq)")
    core.clock.advance(10)
    assert await core.finish(how(task)) == first
    after = await core.rows("SELECT * FROM task JOIN task_body USING (seq) LEFT JOIN task_note USING (seq)")
    assert after == before


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(EVERY, 2)))
async def test_another_outcome_with_a_used_token_is_refused(core: Core, first: How, second: How) -> None:
    task = await core.running()
    answer = await core.finish(first(task))
    with pytest.raises(LeaseLost):
        await core.finish(second(task))
    assert await core.state(task.id) is answer.state


@pytest.mark.parametrize("retry", [True, False])
async def test_a_repeated_failure_is_answered_the_same_after_the_task_died(core: Core, retry: bool) -> None:
    task = await core.running(max_attempts=1)
    first = await core.finish(fail(task, retry=retry))
    assert first.state is DEAD
    assert await core.finish(fail(task, retry=retry)) == first


async def test_a_repeated_finish_is_answered_the_same_after_a_person_retried_the_task(core: Core) -> None:
    task = await core.running()
    first = await core.complete(task)
    await core.queue.retry(task.id)
    assert await core.complete(task) == first
    assert await core.state(task.id) is READY


@pytest.mark.parametrize("how", [fail, snooze])
async def test_a_repeated_finish_is_answered_the_same_after_the_task_was_cancelled(
    core: Core, how: How
) -> None:
    task = await core.running()
    first = await core.finish(how(task))
    await core.queue.cancel(task.id)
    assert await core.finish(how(task)) == first
    assert await core.state(task.id) is CANCELLED


async def test_a_repeated_finish_is_answered_the_same_after_its_delay_has_passed(core: Core) -> None:
    task = await core.running()
    first = await core.finish(snooze(task, 1000))
    await core.sweep_after(2)
    assert await core.state(task.id) is READY
    assert await core.finish(snooze(task, 1000)) == first


async def test_a_plain_completion_stores_no_receipt_and_is_still_known(core: Core) -> None:
    task = await core.running()
    first = await core.complete(task)
    assert await core.rows("SELECT receipt FROM task") == [(None,)]
    assert msgspec.json.decode(plain_receipt(task.id))["finished"]["state"] == "succeeded"
    assert await core.complete(task) == first


# -- cancel requested ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "state"),
    [(complete, SUCCEEDED), (fail, CANCELLED), (snooze, CANCELLED)],
    ids=["complete", "fail", "snooze"],
)
async def test_a_cancelled_running_task_succeeds_if_it_completes_and_else_is_cancelled(
    core: Core, how: How, state: TaskState
) -> None:
    task = await core.running()
    await core.queue.cancel(task.id)
    finished = await core.finish(how(task))
    assert finished.state is state
    assert finished.reason == ("requested" if state is CANCELLED else None)
    assert await core.finish(how(task)) == finished
    stored = await core.task(task.id)
    assert (stored.state, stored.reason) == (state, finished.reason)


async def test_the_error_of_a_cancelled_task_is_noted_too(core: Core) -> None:
    task = await core.running()
    await core.queue.cancel(task.id)
    await core.finish(fail(task, message="stopped", retry=False))
    assert [error.message for error in (await core.task(task.id)).errors] == ["stopped"]


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
