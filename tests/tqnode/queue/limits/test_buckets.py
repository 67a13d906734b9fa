"""Tokens: how many claims get, when they come again, and who is woken then."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tqnode.nodes import START_MS, Core, FakeClock, open_core, snooze, spec, sweeping
from tests.tqnode.queue.limiting import claimed, enqueue, limit
from tests.tqnode.queue.test_waiting import is_given, poll
from tests.waiting import eventually_async


async def test_a_full_bucket_gives_its_burst_and_then_a_token_at_a_time(core: Core) -> None:
    await limit(core, key="a", rate=2, per_ms=1000, burst=3)
    made = await enqueue(core, *["a"] * 6)
    assert await claimed(core) == made[:3]
    core.clock.advance(0.499)
    assert await claimed(core) == []
    core.clock.advance(0.001)
    assert await claimed(core) == [made[3]]
    core.clock.advance(3600)
    assert await claimed(core) == made[4:]


async def test_a_limit_on_a_queue_counts_all_its_claims(core: Core) -> None:
    await limit(core, queue="q", rate=2, per_ms=60_000)
    made = await enqueue(core, "a", None, "b", queue="q")
    assert await claimed(core, "q") == made[:2]
    core.clock.advance(29.9)
    assert await claimed(core, "q") == []
    core.clock.advance(0.2)
    assert await claimed(core, "q") == [made[2]]


async def test_a_token_that_was_spent_does_not_come_back_with_its_task(core: Core) -> None:
    await limit(core, key="a", rate=1, per_ms=10_000)
    (made,) = await enqueue(core, "a")
    await core.finish(snooze(await core.claim_one()))
    assert await claimed(core) == []
    core.clock.advance(10)
    assert await claimed(core) == [made]


@pytest.mark.parametrize("by_s", [-86_400, -0.2])
async def test_a_clock_that_is_set_back_keeps_no_token_away(core: Core, by_s: float) -> None:
    await limit(core, key="a", rate=1, per_ms=1000)
    first, second = await enqueue(core, "a", "a")
    assert await claimed(core) == [first]
    core.clock.step(by_s)
    await core.store.write(lambda _: None)
    await core.sweep_after(1.2)
    assert await claimed(core) == [second]


async def test_a_node_whose_clock_is_behind_goes_on_with_the_tokens_that_there_are(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db") as core:
        await limit(core, key="a", rate=1, per_ms=1000)
        first, second = await enqueue(core, "a", "a")
        assert await claimed(core) == [first]
    clock = FakeClock(wall_ms=START_MS - 3_600_000)
    async with open_core(tmp_path / "tq.db", clock=clock) as core:
        await core.sweeper.sweep()
        assert await claimed(core) == []
        await core.sweep_after(1)
        assert await claimed(core) == [second]


async def test_a_waiting_claim_is_woken_at_the_moment_its_token_comes(core: Core) -> None:
    await limit(core, key="a", rate=1, per_ms=7_300)
    first, second, third = await enqueue(core, "a", "a", "a")
    assert await claimed(core) == [first]
    one, other = await poll(core), await poll(core)
    async with sweeping(core):
        for claiming, task_id in ((one, second), (other, third)):
            for _ in range(7):
                core.clock.advance(1)
                await eventually_async(lambda: core.clock.sleepers)
            assert not claiming.done()
            assert min(core.clock.sleepers) <= 0.3
            core.clock.advance(0.3)
            assert await is_given(claiming, task_id)
            await eventually_async(lambda: core.clock.sleepers)


async def test_claims_do_not_look_again_and_again_while_they_wait_for_a_token(core: Core) -> None:
    await limit(core, key="a", rate=1, per_ms=60_000)
    _, second = await enqueue(core, "a", "a")
    await core.complete(await core.claim_one())
    claimings = [await poll(core, wait_s=100) for _ in range(5)]
    looks = 0

    def count(_: object) -> None:
        nonlocal looks
        looks += 1

    core.store.listen(count)
    await core.sweep_after(59)
    before = looks
    await core.sweep_after(1)
    (done, _) = await asyncio.wait(claimings, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    assert [task.id for claiming in done for task in claiming.result()] == [second]
    assert looks - before <= 4, "one sweep, one look, and what is read beside them"
    core.queue.waiting.drain()
    await asyncio.gather(*claimings)


async def test_buckets_that_are_full_again_are_forgotten(core: Core) -> None:
    await limit(core, rate=5, per_ms=1000)
    await core.queue.enqueue([spec(limit_key=f"k{n}") for n in range(50)])
    assert len(await claimed(core, max=100)) == 50
    assert await core.count("bucket") == 50
    await core.sweep_after(2)
    assert await core.count("bucket") == 0


async def test_a_rate_that_is_changed_holds_from_the_next_claim_on_and_wakes_who_waits(core: Core) -> None:
    await limit(core, key="a", rate=1, per_ms=86_400_000)
    first, second, third = await enqueue(core, "a", "a", "a")
    assert await claimed(core) == [first]
    claiming = await poll(core)
    await limit(core, key="a", rate=1, per_ms=1000)
    await core.sweep_after(1)
    assert await is_given(claiming, second)
    claiming = await poll(core)
    await core.queue.limits.delete("few")
    assert await is_given(claiming, third)


@settings(max_examples=25, deadline=None)
@given(
    rate=st.integers(1, 20),
    per_ms=st.sampled_from([1, 333, 1000, 60_000]),
    burst=st.integers(1, 20),
    steps=st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 10)), min_size=1, max_size=30),
)
def test_no_claims_take_more_than_the_burst_and_the_rate_allow(
    rate: int, per_ms: int, burst: int, steps: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def run() -> None:
        async with open_core(tmp_path_factory.mktemp("rate") / "tq.db") as core:
            await limit(core, key="a", rate=rate, per_ms=per_ms, burst=burst)
            await core.queue.enqueue([spec(limit_key="a") for _ in range(300)])
            spent, began_ms = 0, core.clock.now_ms()
            full_since = 0
            for passed_ms, most in steps:
                core.clock.advance(passed_ms / 1000)
                got = len(await claimed(core, max=most))
                spent += got
                passed = core.clock.now_ms() - began_ms
                assert spent <= burst + passed * rate / per_ms + 1e-6
                if got < most:
                    full_since = spent
            assert full_since <= spent <= 300

    asyncio.run(run())
