from collections.abc import Awaitable, Callable

import apsw
import pytest

from tests.tqnode.nodes import Core, ids_of, spec
from tqnode import ids
from tqnode.errors import NotFound, UniqueConflict, WrongState
from tqnode.queue.moves import Held, move, move_or_refuse
from tqnode.sql import statement
from tqnode.task import Fail, Needs, Reason, TaskState

BLOCKED, SCHEDULED, READY = TaskState.BLOCKED, TaskState.SCHEDULED, TaskState.READY
RUNNING, SUCCEEDED, DEAD, CANCELLED = (
    TaskState.RUNNING,
    TaskState.SUCCEEDED,
    TaskState.DEAD,
    TaskState.CANCELLED,
)


async def task_in(core: Core, state: TaskState) -> str:
    """A task brought to ``state``."""
    if state is SCHEDULED:
        return await core.enqueue(run_at_ms=core.clock.now_ms() + 60_000)
    if state is READY:
        return await core.enqueue()
    if state is BLOCKED:
        parent = await core.enqueue(queue="other")
        return await core.enqueue(after=(ids.parse(parent),), needs=Needs.SUCCEEDED)
    task = await core.running()
    if state is SUCCEEDED:
        await core.complete(task)
    elif state is DEAD:
        await core.finish(Fail(id=task.id, token=task.token, retry=False))
    elif state is CANCELLED:
        await core.queue.cancel(task.id)
        await core.finish(Fail(id=task.id, token=task.token))
    assert await core.state(task.id) is state
    return task.id


AFTER_CANCEL = {
    BLOCKED: CANCELLED,
    SCHEDULED: CANCELLED,
    READY: CANCELLED,
    RUNNING: RUNNING,
    SUCCEEDED: SUCCEEDED,
    DEAD: DEAD,
    CANCELLED: CANCELLED,
}


@pytest.mark.parametrize(("before", "after"), AFTER_CANCEL.items())
async def test_cancelling_ends_a_waiting_task_asks_a_running_one_and_leaves_a_final_one(
    core: Core, before: TaskState, after: TaskState
) -> None:
    task_id = await task_in(core, before)
    earlier = await core.task(task_id)
    core.clock.advance(1)
    answer = await core.queue.cancel(task_id)
    assert answer == await core.task(task_id)
    assert answer.state is after
    if before in (BLOCKED, SCHEDULED, READY):
        assert (answer.reason, answer.finished_at_ms) == ("requested", core.clock.now_ms())
    elif before is RUNNING:
        assert answer.cancel_requested_at_ms == core.clock.now_ms()
        assert answer.lease_expires_at_ms == earlier.lease_expires_at_ms
    else:
        assert answer == earlier


async def test_a_second_cancel_of_a_running_task_keeps_the_time_of_the_first(core: Core) -> None:
    task = await core.running()
    first_ms = core.clock.now_ms()
    await core.queue.cancel(task.id)
    core.clock.advance(5)
    assert (await core.queue.cancel(task.id)).cancel_requested_at_ms == first_ms


AFTER_RETRY = {
    SCHEDULED: READY,
    READY: READY,
    RUNNING: RUNNING,
    SUCCEEDED: READY,
    DEAD: READY,
    CANCELLED: READY,
}


@pytest.mark.parametrize(("before", "after"), AFTER_RETRY.items())
async def test_retrying_makes_a_scheduled_or_final_task_ready_and_leaves_the_others(
    core: Core, before: TaskState, after: TaskState
) -> None:
    task_id = await task_in(core, before)
    earlier = await core.task(task_id)
    core.clock.advance(1)
    answer = await core.queue.retry(task_id)
    assert answer == await core.task(task_id)
    assert answer.state is after
    if before is after:
        assert answer == earlier
        return
    assert (answer.reason, answer.finished_at_ms, answer.cancel_requested_at_ms) == (None, None, None)
    assert (answer.worker, answer.run_at_ms) == (None, core.clock.now_ms())
    assert answer.attempt == earlier.attempt
    assert answer.attempted_by == earlier.attempted_by
    assert answer.errors == earlier.errors
    assert ids_of(await core.claim()) == [task_id]


async def test_retrying_a_blocked_task_is_refused(core: Core) -> None:
    task_id = await task_in(core, BLOCKED)
    with pytest.raises(WrongState) as refused:
        await core.queue.retry(task_id)
    assert refused.value.task == task_id
    assert await core.state(task_id) is BLOCKED


async def test_a_retried_task_that_was_out_of_attempts_gets_one_more(core: Core) -> None:
    task = await core.running(max_attempts=1)
    await core.finish(Fail(id=task.id, token=task.token))
    assert (await core.queue.retry(task.id)).max_attempts == 2
    again = await core.claim_one()
    assert (again.attempt, again.max_attempts) == (2, 2)
    await core.finish(Fail(id=again.id, token=again.token))
    assert (await core.task(task.id)).reason == "attempts_exhausted"


async def test_a_retried_task_with_attempts_left_gets_no_more(core: Core) -> None:
    task = await core.running(max_attempts=5)
    await core.finish(Fail(id=task.id, token=task.token, retry=False))
    assert (await core.queue.retry(task.id)).max_attempts == 5


async def test_a_retried_task_that_had_expired_does_not_expire_again_at_once(core: Core) -> None:
    task_id = await core.enqueue(expires_at_ms=core.clock.now_ms() + 500)
    await core.sweep_after(1)
    assert (await core.task(task_id)).reason == "expired"
    assert (await core.queue.retry(task_id)).expires_at_ms is None
    await core.sweep_after(1)
    assert ids_of(await core.claim()) == [task_id]


async def test_a_retried_task_still_expires_at_a_time_to_come(core: Core) -> None:
    expires_ms = core.clock.now_ms() + 5_000
    task_id = await core.enqueue(expires_at_ms=expires_ms)
    await core.queue.cancel(task_id)
    assert (await core.queue.retry(task_id)).expires_at_ms == expires_ms


async def test_retrying_a_task_whose_key_another_holds_by_now_is_a_conflict(core: Core) -> None:
    task = await core.running(unique_key="k")
    await core.complete(task)
    await core.enqueue(unique_key="k")
    with pytest.raises(UniqueConflict) as conflict:
        await core.queue.retry(task.id)
    assert conflict.value.task is not None
    assert await core.state(task.id) is SUCCEEDED
    assert (await core.task(task.id)).unique_key == "k"


async def test_a_retried_task_holds_its_key_again(core: Core) -> None:
    task = await core.running(unique_key="k")
    await core.complete(task)
    await core.queue.retry(task.id)
    assert (await core.enqueued(unique_key="k")).id == task.id


@pytest.mark.parametrize("state", [SCHEDULED, READY, SUCCEEDED, DEAD, CANCELLED, BLOCKED])
async def test_deleting_a_task_that_no_worker_holds_leaves_nothing_of_it(
    core: Core, state: TaskState
) -> None:
    other = await core.enqueue(tags=("b",), queue="other")
    task_id = await task_in(core, state)
    await core.store.write(lambda tx: tx.run("UPDATE task_body SET tags = '[\"a\"]' WHERE tags IS NULL"))
    await core.store.write(
        lambda tx: tx.run("INSERT INTO task_tag SELECT 'a', seq FROM task_body WHERE tags = '[\"a\"]'")
    )
    await core.queue.delete(task_id)
    with pytest.raises(NotFound):
        await core.task(task_id)
    assert await core.state(other) is READY
    left = 2 if state is BLOCKED else 1  # it has a parent
    for table in ("task", "task_body", "task_tag"):
        assert await core.count(table) == left
    assert await core.count("dependency") == 0
    assert await core.count("task_note") == 0


async def test_deleting_a_running_task_is_refused(core: Core) -> None:
    task = await core.running()
    with pytest.raises(WrongState) as refused:
        await core.queue.delete(task.id)
    assert refused.value.task == task.id
    assert await core.state(task.id) is RUNNING


UNKNOWN = ["0190163d-8694-7000-8000-000000000000", "not an id", ""]


@pytest.mark.parametrize("unknown", UNKNOWN)
async def test_every_operation_on_a_task_that_is_not_there_says_so(core: Core, unknown: str) -> None:
    await core.enqueue()
    operations: list[Callable[[str], Awaitable[object]]] = [
        core.queue.get,
        core.queue.cancel,
        core.queue.retry,
        core.queue.delete,
    ]
    for operation in operations:
        with pytest.raises(NotFound) as missing:
            await operation(unknown)
        assert missing.value.code == "task_not_found"
    assert await core.count("task") == 1


async def test_an_id_with_the_right_row_and_the_wrong_random_bits_is_no_task_s(core: Core) -> None:
    task_id = await core.enqueue()
    forged = task_id[:-1] + ("0" if task_id[-1] != "0" else "1")
    for operation in (core.queue.get, core.queue.cancel, core.queue.delete):
        with pytest.raises(NotFound):
            await operation(forged)
    assert await core.state(task_id) is READY


async def test_a_deleted_task_s_key_is_free(core: Core) -> None:
    task_id = await core.enqueue(unique_key="k")
    await core.queue.delete(task_id)
    assert not (await core.enqueued(unique_key="k")).duplicate


async def test_the_moves_of_a_person_are_counted_for_the_right_queue(core: Core) -> None:
    made = await core.queue.enqueue([spec(queue="a"), spec(queue="a"), spec(queue="b")])
    await core.queue.cancel(made[0].id)
    await core.queue.delete(made[1].id)
    counts = {info.queue: info.counts for info in await core.queue.catalogue.all()}
    assert counts == {"a": {"cancelled": 1}, "b": {"ready": 1}}


async def test_a_move_that_no_task_may_make_is_a_bug_and_is_undone(core: Core) -> None:
    task = await core.running()
    await core.complete(task)
    packed = ids.parse(task.id)
    held = Held(
        seq=ids.seq_of(packed),
        packed=packed,
        queue="default",
        kind="mail",
        state=SUCCEEDED,
        priority=128,
        run_at_ms=0,
        attempt=1,
        crashes=0,
        worker=None,
    )
    with pytest.raises(ValueError, match="no task goes from succeeded to dead"):
        await core.store.write(
            lambda tx: core.queue.movement.end(tx, held, DEAD, Reason.FAILED, crashes=0, receipt=None)
        )
    assert await core.state(task.id) is SUCCEEDED


async def test_a_move_that_breaks_another_rule_than_a_key_s_is_not_mended(core: Core) -> None:
    task_id = await core.enqueue(unique_key="k")
    end = statement("end_task")
    broken = {"seq": 1, "state": "dead", "reason": None, "now_ms": 1, "crashes": 0, "receipt": None}
    with pytest.raises(apsw.ConstraintError):
        await core.store.write(lambda tx: move(tx, end, broken))
    with pytest.raises(apsw.ConstraintError):
        await core.store.write(lambda tx: move_or_refuse(tx, end, broken))
    task = await core.task(task_id)
    assert (task.state, task.unique_key) == (READY, "k")
