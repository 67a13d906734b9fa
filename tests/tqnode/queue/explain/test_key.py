"""Whose a task's unique key is."""

from tests.tqnode.nodes import Core
from tests.tqnode.queue.explaining import codes, facts, text


async def test_a_task_that_has_a_key_says_until_when(core: Core) -> None:
    task_id = await core.enqueue(unique_key="k", unique_period_ms=5_000)
    found = await facts(core, task_id, "unique_key")
    assert found == {
        "key": "k",
        "states": ["blocked", "scheduled", "ready", "running"],
        "until_at_ms": core.clock.now_ms() + 5_000,
    }
    core.clock.advance(5)
    assert "unique_key" not in await codes(core, task_id), "its time is over, though nobody took it yet"


async def test_an_ended_task_whose_key_another_has_says_whose_it_is(core: Core) -> None:
    task = await core.running(unique_key="k")
    await core.complete(task)
    assert "unique_conflict" not in await codes(core, task.id)
    holder = await core.enqueue(unique_key="k")
    assert await facts(core, task.id, "unique_conflict") == {"key": "k", "task": holder}
    assert f"The task {holder}" in await text(core, task.id, "unique_conflict")
    await core.queue.cancel(holder)
    assert "unique_conflict" not in await codes(core, task.id)


async def test_a_holder_whose_time_is_over_is_no_conflict(core: Core) -> None:
    task = await core.running(unique_key="k")
    await core.complete(task)
    await core.enqueue(unique_key="k", unique_period_ms=1_000)
    core.clock.advance(1)
    assert "unique_conflict" not in await codes(core, task.id)
    assert (await core.queue.retry(task.id)).unique_key == "k"


async def test_a_running_task_whose_key_another_has_will_go_on_without(core: Core) -> None:
    waiting = {"unique_key": "k", "unique_states": "blocked scheduled ready"}
    task = await core.running(**waiting)
    holder = await core.enqueue(**waiting)
    assert (await facts(core, task.id, "unique_conflict"))["task"] == holder
    assert (await text(core, task.id, "unique_conflict")).endswith("it goes on without.")
