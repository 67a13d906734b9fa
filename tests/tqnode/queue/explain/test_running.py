"""Who has a running task, and how it fares."""

import msgspec

from tests.tqnode.nodes import Core
from tests.tqnode.queue.explaining import codes, explained, facts, text
from tqnode.queue import WorkerSpec


async def test_a_running_task_says_who_has_it_and_until_when(core: Core) -> None:
    worker = await core.queue.registry.register(WorkerSpec(name="mailer", host="h"))
    task_id = await core.enqueue(lease_ms=30_000)
    began_ms = core.clock.now_ms()
    claimed = await core.claim_one(worker=worker.id)
    core.clock.advance(10)
    await core.queue.heartbeat(task_id, claimed.token, lease_ms=None, progress=b'{"done":0.50}')
    core.clock.advance(5)
    assert await codes(core, task_id) == ["running"]
    assert await facts(core, task_id, "running") == {
        "worker": worker.id,
        "worker_name": "mailer",
        "worker_state": "run",
        "host": "h",
        "attempt": 1,
        "max_attempts": 10,
        "started_at_ms": began_ms,
        "heartbeat_at_ms": began_ms + 10_000,
        "lease_expires_at_ms": began_ms + 40_000,
        "progress": msgspec.Raw(b'{"done":0.50}'),
    }
    assert "last heard of 5 seconds ago" in (await explained(core, task_id)).summary


async def test_a_worker_that_never_registered_is_told_by_the_name_it_gave(core: Core) -> None:
    task = await core.running()
    assert (await facts(core, task.id, "running"))["worker"] == "w1"
    assert "The worker w1 has it" in await text(core, task.id, "running")


async def test_a_lease_that_ran_out_comes_first(core: Core) -> None:
    task = await core.running(lease_ms=1_000)
    core.clock.advance(3)
    assert (await codes(core, task.id))[:2] == ["lease_over", "running"]


async def test_a_request_to_cancel_is_told(core: Core) -> None:
    task = await core.running()
    await core.queue.cancel(task.id)
    found = await facts(core, task.id, "cancel_requested")
    assert found == {"cancel_requested_at_ms": core.clock.now_ms()}


async def test_an_attempt_that_takes_longer_than_it_may_is_told(core: Core) -> None:
    task = await core.running(timeout_ms=2_000)
    assert "overtime" not in await codes(core, task.id)
    core.clock.advance(5)
    assert await facts(core, task.id, "overtime") == {"timeout_ms": 2_000, "over_ms": 3_000}


async def test_workers_that_fell_silent_over_it_are_counted(core: Core) -> None:
    await core.sweep_after(3)
    task = await core.running(lease_ms=1_000)
    await core.sweep_after(2)
    assert await facts(core, task.id, "crashes") == {"crashes": 1, "crashes_max": 3}
