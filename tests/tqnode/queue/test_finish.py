import itertools
from collections.abc import Callable

import msgspec
import pytest

from tests.tqnode.nodes import Core, complete, fail, ids_of, sample, snooze
from tqnode.errors import LeaseLost, NotFound
from tqnode.queue.finish import plain_receipt
from tqnode.task import ClaimedTask, Complete, Finish, Finished, TaskState

READY, SCHEDULED, RUNNING = TaskState.READY, TaskState.SCHEDULED, TaskState.RUNNING
SUCCEEDED, DEAD, CANCELLED = TaskState.SUCCEEDED, TaskState.DEAD, TaskState.CANCELLED


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
