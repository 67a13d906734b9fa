from tests.tqnode.nodes import Core
from tests.tqnode.queue.limiting import claimed, enqueue, limit


async def test_a_task_that_waits_for_a_slot_is_told_who_has_it(core: Core) -> None:
    rule = await limit(core, running=2)
    made = await enqueue(core, "a", "a", "a", "b")
    now_ms = core.clock.now_ms()
    assert await core.queue.limits.held_by("default", "a", now_ms=now_ms) == []
    await claimed(core)
    (hold,) = await core.queue.limits.held_by("default", "a", now_ms=now_ms)
    assert (hold.limit, hold.key, hold.running, hold.next_token_ms) == (rule, "a", 2, None)
    assert hold.holders == tuple(made[:2])
    assert await core.queue.limits.held_by("default", "b", now_ms=now_ms) == []
    assert await core.queue.limits.held_by("default", None, now_ms=now_ms) == []


async def test_a_task_that_waits_for_a_token_is_told_when_it_comes(core: Core) -> None:
    await limit(core, queue="q", rate=1, per_ms=5_000)
    await limit(core, key="a", running=0, name="none")
    await enqueue(core, None, None, queue="q")
    await claimed(core, "q")
    core.clock.advance(1)
    now_ms = core.clock.now_ms()
    rate, slots = await core.queue.limits.held_by("q", "a", now_ms=now_ms)
    assert (rate.key, rate.running, rate.next_token_ms) == (None, None, now_ms + 4_000)
    assert (slots.limit.name, slots.running, slots.holders) == ("none", 0, ())


async def test_no_more_than_ten_holders_are_named(core: Core) -> None:
    await limit(core, queue="q", running=12)
    made = [await core.enqueue(queue="q") for _ in range(12)]
    await claimed(core, "q", max=20)
    (hold,) = await core.queue.limits.held_by("q", None, now_ms=core.clock.now_ms())
    assert (hold.running, hold.holders) == (12, tuple(made[:10]))
