import pytest

from tests.tqnode.nodes import Core, sample, spec
from tqnode.errors import LeaseLost, NotFound
from tqnode.queue import HeldLease, LeaseStatus, WorkerSpec
from tqnode.task import ClaimedTask, Fail, Snooze, TaskState

READY, RUNNING, DEAD, CANCELLED = TaskState.READY, TaskState.RUNNING, TaskState.DEAD, TaskState.CANCELLED


async def beat(core: Core, task: ClaimedTask, **fields: object) -> int:
    """A heartbeat; when the lease ends now."""
    asked = {"lease_ms": None, "progress": None} | fields
    lease = await core.queue.heartbeat(task.id, task.token, **asked)  # type: ignore[arg-type]  # as a test gives
    return lease.lease_expires_at_ms


async def test_a_heartbeat_gives_the_lease_its_full_time_again(core: Core) -> None:
    task = await core.running(lease_ms=10_000)
    core.clock.advance(6)
    assert await beat(core, task) == core.clock.now_ms() + 10_000
    assert (await core.task(task.id)).lease_expires_at_ms == core.clock.now_ms() + 10_000


async def test_a_heartbeat_may_ask_for_another_time_longer_or_shorter_that_holds_from_then_on(
    core: Core,
) -> None:
    task = await core.running(lease_ms=10_000)
    assert await beat(core, task) == core.clock.now_ms() + 10_000
    for lease_ms in (60_000, 1_000):
        assert await beat(core, task, lease_ms=lease_ms) == core.clock.now_ms() + lease_ms
        assert await beat(core, task) == core.clock.now_ms() + lease_ms


async def test_a_heartbeat_carries_progress_and_keeps_the_last(core: Core) -> None:
    task = await core.running()
    await beat(core, task, progress=b'{"done": 1}')
    await beat(core, task, progress=b'{"done": 2}')
    await beat(core, task)
    assert (await core.task(task.id)).progress == b'{"done": 2}'


async def test_a_heartbeat_tells_of_a_cancel_request(core: Core) -> None:
    task = await core.running()
    assert not (await core.queue.heartbeat(task.id, task.token, lease_ms=None, progress=None)).cancel
    await core.queue.cancel(task.id)
    assert (await core.queue.heartbeat(task.id, task.token, lease_ms=None, progress=None)).cancel
    assert await core.state(task.id) is RUNNING


async def test_a_heartbeat_after_the_deadline_keeps_what_nobody_has_reclaimed(core: Core) -> None:
    task = await core.running(lease_ms=1_000)
    core.clock.advance(2)
    assert await beat(core, task) == core.clock.now_ms() + 1_000
    await core.sweeper.sweep()
    assert await core.state(task.id) is RUNNING


@pytest.mark.parametrize("spoil", ["", "1-0000000000000000", "x-y"])
async def test_a_heartbeat_with_another_token_changes_nothing(core: Core, spoil: str) -> None:
    task = await core.running()
    before = await core.rows("SELECT * FROM task")
    with pytest.raises(LeaseLost):
        await core.queue.heartbeat(task.id, spoil, lease_ms=99, progress=b"1")
    assert await core.rows("SELECT * FROM task") == before
    assert (await core.task(task.id)).progress is None


async def test_a_heartbeat_of_a_finished_or_reclaimed_task_is_refused(core: Core) -> None:
    finished = await core.running()
    await core.complete(finished)
    late = await core.running(lease_ms=1_000)
    await core.sweep_after(1)
    for task in (finished, late):
        with pytest.raises(LeaseLost) as lost:
            await beat(core, task)
        assert lost.value.task == task.id
    assert sample(core.metrics, "tq_fenced_requests_total") == 2


async def test_a_heartbeat_of_no_task_is_not_found(core: Core) -> None:
    task = await core.running()
    for task_id in ("x", "0190163d-8694-7000-8000-000000000000"):
        with pytest.raises(NotFound):
            await core.queue.heartbeat(task_id, task.token, lease_ms=None, progress=None)


async def test_one_heartbeat_of_a_worker_answers_for_each_of_its_leases(core: Core) -> None:
    worker = await core.queue.registry.register(WorkerSpec(name="w"))
    await core.queue.enqueue([spec(lease_ms=5_000) for _ in range(4)])
    kept, cancelled, lost, gone = await core.claim(max=4, worker=worker.id)
    await core.queue.cancel(cancelled.id)
    await core.complete(lost)
    await core.complete(gone)
    await core.queue.delete(gone.id)
    core.clock.advance(3)
    leases = [HeldLease(task.id, task.token, b"1") for task in (kept, cancelled, lost, gone)]
    told, answers = await core.queue.registry.heartbeat(worker.id, leases)
    until_ms = core.clock.now_ms() + 5_000
    assert told == "run"
    assert answers == [
        LeaseStatus(kept.id, "ok", until_ms),
        LeaseStatus(cancelled.id, "cancel", until_ms),
        LeaseStatus(lost.id, "lost"),
        LeaseStatus(gone.id, "lost"),
    ]
    assert (await core.task(kept.id)).progress == b"1"


# -- leases that run out ---------------------------------------------------------------------------


async def test_expired_lease_returns_task_to_ready_at_once_with_its_attempt_counted(core: Core) -> None:
    task = await core.running(lease_ms=5_000)
    await core.sweep_after(4.999)
    assert await core.state(task.id) is RUNNING
    await core.sweep_after(0.001)
    stored = await core.task(task.id)
    assert (stored.state, stored.attempt, stored.crashes) == (READY, 1, 1)
    assert (stored.worker, stored.attempted_by) == (None, ("w1",))
    (error,) = stored.errors
    assert (error.type, error.attempt) == ("LeaseExpired", 1)
    assert "w1" in error.message
    again = await core.claim_one(worker="w2")
    assert (again.id, again.attempt, again.crashes) == (task.id, 2, 1)


async def test_a_reclaimed_task_is_ready_though_the_clock_was_set_back_meanwhile(core: Core) -> None:
    task = await core.running(lease_ms=5_000)
    core.clock.step(-3600)
    await core.sweep_after(12)
    assert await core.state(task.id) is READY


async def crash(core: Core, task_id: str) -> None:
    task = await core.claim_one()
    assert task.id == task_id
    await core.sweep_after(task.lease_ms / 1000)


async def test_three_crashes_in_a_row_make_a_task_dead_whatever_attempts_remain(core: Core) -> None:
    task_id = await core.enqueue(lease_ms=1_000, max_attempts=10)
    states = []
    for _ in range(3):
        await crash(core, task_id)
        states.append(await core.state(task_id))
    assert states == [READY, READY, DEAD]
    stored = await core.task(task_id)
    assert (stored.reason, stored.attempt, stored.crashes) == ("crashed", 3, 3)
    assert [error.type for error in stored.errors] == ["LeaseExpired"] * 3


@pytest.mark.parametrize("how", [Fail, Snooze])
async def test_an_attempt_that_ends_by_its_worker_starts_the_count_of_crashes_anew(
    core: Core, how: type[Fail] | type[Snooze]
) -> None:
    task_id = await core.enqueue(lease_ms=1_000, max_attempts=10)
    for _ in range(2):
        await crash(core, task_id)
    task = await core.claim_one()
    await core.finish(how(id=task.id, token=task.token, delay_ms=0))
    assert (await core.task(task_id)).crashes == 0
    for _ in range(2):
        await crash(core, task_id)
    assert await core.state(task_id) is READY
    await crash(core, task_id)
    assert (await core.task(task_id)).reason == "crashed"


async def test_a_retry_by_a_person_starts_the_count_of_crashes_anew(core: Core) -> None:
    task_id = await core.enqueue(lease_ms=1_000)
    for _ in range(3):
        await crash(core, task_id)
    await core.queue.retry(task_id)
    for _ in range(2):
        await crash(core, task_id)
    assert await core.state(task_id) is READY


async def test_a_crash_on_the_last_attempt_makes_a_task_dead_for_want_of_attempts(core: Core) -> None:
    task_id = await core.enqueue(lease_ms=1_000, max_attempts=1)
    await crash(core, task_id)
    stored = await core.task(task_id)
    assert (stored.state, stored.reason, stored.crashes) == (DEAD, "attempts_exhausted", 1)


async def test_a_crash_of_a_task_that_was_to_stop_cancels_it(core: Core) -> None:
    task = await core.running(lease_ms=1_000)
    await core.queue.cancel(task.id)
    await core.sweep_after(1)
    stored = await core.task(task.id)
    assert (stored.state, stored.reason) == (CANCELLED, "requested")
    assert [error.type for error in stored.errors] == ["LeaseExpired"]


async def test_a_reclaimed_task_gives_up_a_key_that_another_took_meanwhile(core: Core) -> None:
    waiting = {"unique_key": "k", "unique_states": "blocked scheduled ready", "lease_ms": 1_000}
    task = await core.running(**waiting)
    successor = await core.enqueue(**waiting)
    await core.sweep_after(1)
    assert (await core.task(task.id)).unique_key is None
    assert (await core.task(successor)).unique_key == "k"
    assert await core.state(task.id) is READY


async def test_leases_that_run_out_together_leave_each_task_its_own_past_and_place(core: Core) -> None:
    keyed_fields = {"unique_key": "k", "unique_states": "blocked scheduled ready"}
    crashed_before = await core.enqueue(lease_ms=1_000)
    await crash(core, crashed_before)
    for fields in ({}, {"max_attempts": 1}, keyed_fields, {"queue": "other"}, {"priority": 200}):
        await core.enqueue(**{"lease_ms": 1_000} | fields)
    claimed = await core.claim("default", "other", max=10, worker="w9")
    first, again, plain, last, keyed, other = claimed
    assert again.id == crashed_before
    await beat(core, first, progress=b"7")
    successor = await core.enqueue(**keyed_fields)
    await core.sweep_after(1)
    assert await core.state(last.id) is DEAD
    assert (await core.task(keyed.id)).unique_key is None
    assert [error.attempt for error in (await core.task(again.id)).errors] == [1, 2]
    assert (await core.task(again.id)).attempted_by == ("w1", "w9")
    assert (await core.task(first.id)).progress == b"7"
    for task in (first, plain, keyed, other):
        stored = await core.task(task.id)
        assert (stored.state, stored.crashes, stored.attempted_by) == (READY, 1, ("w9",))
        assert [error.type for error in stored.errors] == ["LeaseExpired"]
    line = [first.id, again.id, plain.id, keyed.id, successor, other.id]
    assert [task.id for task in await core.claim("default", "other", max=10)] == line
    assert await core.drift() == []
