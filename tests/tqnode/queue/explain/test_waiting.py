"""Why a waiting task waits."""

import pytest

from tests.tqnode.nodes import Core, fail, snooze, spec
from tests.tqnode.queue.explaining import codes, explained, facts, text
from tests.tqnode.queue.families import child, enqueue
from tqnode import ids
from tqnode.queue.explain import waiting
from tqnode.task import Needs


async def test_a_blocked_task_names_the_tasks_that_it_waits_for(core: Core) -> None:
    made = await enqueue(core, spec(kind="fetch"), spec(kind="fetch"), child(0, 1, needs=Needs.FINISHED))
    await core.complete(await core.claim_one())
    assert await codes(core, made[2]) == ["parents"]
    assert await facts(core, made[2], "parents") == {
        "pending": 1,
        "after_policy": "finished",
        "tasks": [{"id": made[1], "kind": "fetch", "state": "ready"}],
    }
    told = await explained(core, made[2])
    assert told.summary == f"Blocked. It waits for 1 task to end: fetch {made[1]} (ready)."


async def test_of_very_many_parents_a_few_are_named_and_all_counted(core: Core) -> None:
    made = await enqueue(core, *[spec() for _ in range(30)], child(*range(30)))
    found = await facts(core, made[30], "parents")
    assert found["pending"] == 30
    assert [task["id"] for task in found["tasks"]] == made[: waiting.PARENTS_TOLD]
    assert (await text(core, made[30], "parents")).endswith(", ….")


async def test_a_blocked_task_whose_time_is_to_come_too_says_so(core: Core) -> None:
    run_at_ms = core.clock.now_ms() + 60_000
    _, blocked = await enqueue(core, spec(), child(0, run_at_ms=run_at_ms))
    assert await codes(core, blocked) == ["parents", "delayed"]


async def test_a_delayed_task_says_how_long_it_waits(core: Core) -> None:
    run_at_ms = core.clock.now_ms() + 250_000
    task_id = await core.enqueue(run_at_ms=run_at_ms)
    assert await codes(core, task_id) == ["delayed"]
    assert await facts(core, task_id, "delayed") == {"run_at_ms": run_at_ms, "wait_ms": 250_000}
    assert "(in 4 minutes 10 seconds), as it was enqueued." in await text(core, task_id, "delayed")


async def test_a_task_that_waits_for_its_retry_says_which_error_it_was(core: Core) -> None:
    task = await core.running(max_attempts=3)
    await core.finish(fail(task, type="Timeout", message="no\nanswer", delay_ms=5_000))
    assert await codes(core, task.id) == ["retry"]
    found = await facts(core, task.id, "retry")
    assert (found["attempt"], found["max_attempts"], found["wait_ms"]) == (1, 3, 5_000)
    assert found["error"] == {
        "type": "Timeout",
        "message": "no\nanswer",
        "attempt": 1,
        "at_ms": core.clock.now_ms(),
    }
    assert (await text(core, task.id, "retry")).endswith("attempt 1 of 3 failed, with Timeout: no answer."), (
        "on one line"
    )


async def test_a_task_that_was_put_off_says_by_whom(core: Core) -> None:
    task = await core.running()
    await core.finish(snooze(task, delay_ms=5_000))
    assert await codes(core, task.id) == ["snoozed"]
    assert (await facts(core, task.id, "snoozed"))["worker"] == "w1"


async def test_a_retry_s_task_that_got_new_content_since_waits_for_its_new_time(core: Core) -> None:
    task = await core.running(unique_key="k")
    await core.finish(fail(task, delay_ms=5_000))
    await core.enqueue(unique_key="k", unique_mode="replace", run_at_ms=core.clock.now_ms() + 9_000)
    assert await codes(core, task.id) == ["delayed", "unique_key"]


async def test_a_task_whose_time_has_come_is_about_to_be_ready(core: Core) -> None:
    task_id = await core.enqueue(run_at_ms=core.clock.now_ms() + 1_000)
    core.clock.advance(1)
    assert await codes(core, task_id) == ["due"]
    await core.sweeper.sweep()
    assert await codes(core, task_id) == ["no_worker", "first"]


async def test_those_before_it_in_the_line_are_counted_by_queue_and_by_kind(core: Core) -> None:
    await core.enqueue(priority=200, kind="other")
    await core.enqueue()
    core.clock.advance(1)
    task_id = await core.enqueue()
    core.clock.advance(1)
    await core.enqueue()
    await core.enqueue(priority=1, kind="other")
    await core.enqueue(priority=255, queue="another")
    await core.enqueue(priority=255, run_at_ms=core.clock.now_ms() + 9_000)
    assert await facts(core, task_id, "ahead") == {
        "ahead": 2,
        "ahead_of_kind": 1,
        "more": False,
        "more_of_kind": False,
        "priority": 128,
    }
    assert (await text(core, task_id, "ahead")).startswith(
        "2 tasks are ready before it in the queue default, 1 of its kind mail"
    )


async def test_those_of_the_same_moment_come_in_their_order(core: Core) -> None:
    made = await enqueue(core, *[spec() for _ in range(5)])
    counted = [(await facts(core, task_id, "ahead"))["ahead"] for task_id in made[1:]]
    assert counted == [1, 2, 3, 4]
    assert "first" in await codes(core, made[0])


async def test_a_long_line_is_counted_up_to_a_bound(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "AHEAD_MAX", 3)
    made = await enqueue(core, spec(priority=9), *[spec() for _ in range(5)])
    found = await facts(core, made[5], "ahead")
    assert (found["ahead"], found["more"], found["more_of_kind"]) == (3, True, True)
    assert (await text(core, made[5], "ahead")).startswith("More than 3 tasks are ready before it")
    exact = await facts(core, made[3], "ahead")
    assert (exact["ahead"], exact["more"]) == (2, False)


async def test_an_expiry_to_come_and_one_that_came_are_told(core: Core) -> None:
    expires_at_ms = core.clock.now_ms() + 5_000
    task_id = await core.enqueue(expires_at_ms=expires_at_ms)
    assert (await codes(core, task_id))[-1] == "expires"
    found = await facts(core, task_id, "expires")
    assert found == {"expires_at_ms": expires_at_ms, "before_its_time": False}
    core.clock.advance(5)
    assert (await codes(core, task_id))[0] == "expired"


async def test_a_task_that_expires_before_its_time_says_so(core: Core) -> None:
    now_ms = core.clock.now_ms()
    task = await core.running(expires_at_ms=now_ms + 1_000)
    await core.finish(fail(task, delay_ms=9_000))
    assert (await facts(core, task.id, "expires"))["before_its_time"] is True
    assert "8 seconds before its time" in await text(core, task.id, "expires")


async def test_the_parents_of_a_deleted_task_are_left_out(core: Core) -> None:
    made = await enqueue(core, spec(), spec(), child(0, 1, needs=Needs.FINISHED))
    await core.queue.delete(made[0])
    found = await facts(core, made[2], "parents")
    assert (found["pending"], [task["id"] for task in found["tasks"]]) == (1, [made[1]])
    assert ids.parse(made[1])


async def test_where_priorities_grow_it_says_to_what_instead_of_who_is_before_it(core: Core) -> None:
    await core.queue.catalogue.configure("default", {"age_milli": 1500})
    await core.enqueue(priority=200)
    task_id = await core.enqueue(priority=100)
    core.clock.advance(121)
    assert (await codes(core, task_id))[-1] == "ageing"
    assert await facts(core, task_id, "ageing") == {
        "priority": 100,
        "effective_priority": 103,
        "age_per_minute": 1.5,
        "waited_ms": 121_000,
    }
    assert "gain 1.5 priority per minute: its 100 has grown to 103." in await text(core, task_id, "ageing")
    await core.queue.catalogue.configure("default", {"age_milli": None})
    assert (await codes(core, task_id))[-1] == "ahead"
