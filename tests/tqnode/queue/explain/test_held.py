"""What holds a task back that could run."""

from tests.tqnode.nodes import Core
from tests.tqnode.queue.explaining import codes, facts, text
from tests.tqnode.queue.limiting import claimed, enqueue, limit
from tqnode.queue.pauses import NewPause


async def test_a_paused_queue_is_the_first_reason_of_a_ready_task(core: Core) -> None:
    task_id = await core.enqueue(queue="mail")
    await core.queue.catalogue.pause("mail")
    assert (await codes(core, task_id))[0] == "queue_paused"
    assert await facts(core, task_id, "queue_paused") == {"queue": "mail"}
    assert (await text(core, task_id, "queue_paused")).endswith("from it until it is resumed.")
    await core.queue.catalogue.resume("mail")
    assert "queue_paused" not in await codes(core, task_id)


async def test_a_pause_tells_its_end_and_its_reason_until_it_is_over(core: Core) -> None:
    task_id = await core.enqueue(queue="mail")
    until_ms = core.clock.now_ms() + 60_000
    await core.queue.catalogue.pause("mail", NewPause(for_ms=60_000, reason="the host moves"))
    told = {"queue": "mail", "until_at_ms": until_ms, "reason": "the host moves"}
    assert await facts(core, task_id, "queue_paused") == told
    assert "(in 1 minute) (the host moves)." in await text(core, task_id, "queue_paused")
    core.clock.advance(60)
    assert "queue_paused" not in await codes(core, task_id)


async def test_a_paused_node_is_named_before_the_queue(core: Core) -> None:
    task_id = await core.enqueue()
    await core.queue.catalogue.pause("default")
    await core.queue.catalogue.pause_node(NewPause(reason="an audit"))
    assert (await codes(core, task_id))[:2] == ["node_paused", "queue_paused"]
    assert await facts(core, task_id, "node_paused") == {"reason": "an audit"}
    await core.queue.catalogue.resume_node()
    assert (await codes(core, task_id))[0] == "queue_paused"


async def test_a_full_limit_is_named_with_those_who_have_its_slots(core: Core) -> None:
    await limit(core, name="per-customer", key="customer:*", running=1)
    holder, held, other = await enqueue(core, "customer:1", "customer:1", "customer:2")
    assert await claimed(core) == [holder, other]
    assert (await codes(core, held))[0] == "limited"
    assert await facts(core, held, "limited") == {
        "limit": "per-customer",
        "limit_key": "customer:1",
        "running_max": 1,
        "holders": [holder],
    }
    assert await text(core, held, "limited") == (
        "The limit per-customer on the key customer:1 holds it back: "
        f"1 task may run at a time, and does: {holder}."
    )
    assert "limited" not in await codes(core, holder)


async def test_a_used_up_rate_tells_when_its_next_token_comes(core: Core) -> None:
    await limit(core, name="slow", queue="default", rate=1, per_ms=10_000, burst=1)
    first, held = await enqueue(core, None, None)
    assert await claimed(core) == [first]
    found = await facts(core, held, "limited")
    assert found["next_token_at_ms"] == core.clock.now_ms() + 10_000
    assert "its rate is used up until" in await text(core, held, "limited")
    core.clock.advance(10)
    assert "limited" not in await codes(core, held)
