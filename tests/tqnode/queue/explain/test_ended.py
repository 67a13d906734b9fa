"""How a task ended, and for how long it is still there."""

from pathlib import Path

from tests.tqnode.nodes import Core, fail, open_core, spec
from tests.tqnode.queue.explaining import codes, explained, facts, text
from tests.tqnode.queue.families import child, enqueue, fail_for_good
from tqnode.task import Needs


async def test_a_task_that_succeeded_says_when_and_with_which_attempt(core: Core) -> None:
    task = await core.running()
    await core.complete(task)
    now_ms = core.clock.now_ms()
    assert await codes(core, task.id) == ["succeeded", "kept"]
    assert await facts(core, task.id, "succeeded") == {
        "finished_at_ms": now_ms,
        "attempt": 1,
        "max_attempts": 10,
    }
    assert await facts(core, task.id, "kept") == {"delete_at_ms": now_ms + 86_400_000}


async def test_a_dead_task_says_what_its_last_error_was(core: Core) -> None:
    task = await core.running(max_attempts=1)
    await core.finish(fail(task, type="E", message="m"))
    assert (await facts(core, task.id, "attempts_exhausted"))["error"]["type"] == "E"
    assert (await explained(core, task.id)).summary.startswith("Dead. Its last attempt, 1 of 1, failed at ")
    other = await core.running()
    await core.finish(fail(other, type="E", message="m", retry=False))
    assert (await codes(core, other.id))[0] == "failed_for_good"


async def test_a_task_over_which_workers_fell_silent_says_how_many(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", crashes_max=1) as core:
        await core.sweep_after(3)
        task = await core.running(lease_ms=1_000)
        await core.sweep_after(2)
        found = await facts(core, task.id, "crashed")
        assert (found["crashes"], found["crashes_max"], found["error"]["type"]) == (1, 1, "LeaseExpired")


async def test_a_cancelled_task_says_why(core: Core) -> None:
    task_id = await core.enqueue()
    await core.queue.cancel(task_id)
    assert (await codes(core, task_id))[0] == "requested"
    late = await core.enqueue(expires_at_ms=core.clock.now_ms() + 1_000)
    await core.sweep_after(2)
    assert (await codes(core, late))[0] == "expired"


async def test_a_task_that_fell_with_a_parent_names_it(core: Core) -> None:
    made = await enqueue(core, spec(kind="fetch"), spec(queue="other"), child(0, 1))
    await fail_for_good(core)
    assert (await facts(core, made[2], "dependency"))["tasks"] == [
        {"id": made[0], "kind": "fetch", "state": "dead", "reason": "failed_for_good"}
    ]
    assert f"fetch {made[0]} (dead)." in await text(core, made[2], "dependency")


async def test_a_parent_that_was_deleted_is_told_as_such(core: Core) -> None:
    made = await enqueue(core, spec(), child(0, needs=Needs.SUCCEEDED))
    await core.queue.delete(made[0])
    assert "one that is not there any more" in await text(core, made[1], "dependency")


async def test_tasks_that_are_kept_for_ever_say_so(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", keep_cancelled_s=-1, keep_dead_s=0) as core:
        task_id = await core.enqueue()
        await core.queue.cancel(task_id)
        assert await facts(core, task_id, "kept") == {}
        task = await core.running()
        await core.finish(fail(task, retry=False))
        assert "about to be deleted" in await text(core, task.id, "kept")
