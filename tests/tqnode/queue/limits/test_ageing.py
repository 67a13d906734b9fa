"""Queues whose tasks gain priority as they wait."""

import asyncio
import tempfile
from itertools import product
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tqnode.costs import counted_costs
from tests.tqnode.nodes import Core, ids_of, open_core, snooze, spec
from tests.tqnode.queue.limiting import claimed, enqueue, limit
from tests.waiting import eventually_async
from tqnode.errors import InvalidField
from tqnode.queue.limits import lanes
from tqnode.settings import aged
from tqnode.store import Tx

MINUTE_MS = 60_000


async def age(core: Core, per_minute: float | None, queue: str = "default") -> None:
    milli = None if per_minute is None else round(per_minute * 1000)
    await core.queue.catalogue.configure(queue, {"age_milli": milli})


def test_priority_is_gained_in_whole_steps_up_to_the_highest() -> None:
    assert aged(10, 500, 0) == 10
    assert aged(10, 500, 2 * MINUTE_MS - 1) == 10
    assert aged(10, 500, 2 * MINUTE_MS) == 11
    assert aged(10, 255_000, MINUTE_MS) == 255
    assert aged(0, 1, 1000 * MINUTE_MS - 1) == 0
    assert aged(0, 1, 1000 * MINUTE_MS) == 1
    assert aged(255, 1, 10**15) == 255


def test_a_clock_that_was_set_back_takes_nothing_away() -> None:
    assert aged(10, 255_000, -MINUTE_MS) == 10


async def test_a_task_that_has_waited_goes_before_a_higher_one_that_has_not(core: Core) -> None:
    await age(core, 2)
    low = await core.enqueue(priority=100)
    core.clock.advance(5 * 60)
    equal, higher = [await core.enqueue(priority=priority) for priority in (110, 111)]
    assert await claimed(core) == [higher, low, equal], "of the same, the one that could run first"


async def test_without_it_or_after_it_the_order_is_that_of_priority(core: Core) -> None:
    await age(core, 2)
    low = await core.enqueue(priority=100)
    other = await core.enqueue(priority=100, queue="other")
    core.clock.advance(50 * 60)
    high = await core.enqueue(priority=110)
    other_high = await core.enqueue(priority=110, queue="other")
    assert await claimed(core, "other") == [other_high, other]
    await age(core, None)
    assert await claimed(core) == [high, low]


async def test_it_counts_from_when_a_task_could_run(core: Core) -> None:
    await age(core, 1)
    delayed = await core.enqueue(priority=100, run_at_ms=core.clock.now_ms() + 60 * MINUTE_MS)
    await core.sweep_after(60 * 60 + 1)
    fresh = await core.enqueue(priority=101)
    assert await claimed(core) == [fresh, delayed]


async def test_a_task_that_is_put_off_begins_anew_and_one_that_crashed_goes_on(core: Core) -> None:
    await age(core, 1)
    first = await core.enqueue(priority=100)
    core.clock.advance(60)
    second = await core.enqueue(priority=100)
    core.clock.advance(10 * 60)
    await core.sweeper.sweep()  # No lease is to be made longer because it stood still.
    tasks = await core.claim(max=2)
    assert ids_of(tasks) == [first, second]
    await core.finish(snooze(tasks[0], 1000))
    await core.sweep_after(31)
    assert await core.count("task WHERE state = 'running'") == 0
    fresh = await core.enqueue(priority=105)
    assert await claimed(core) == [second, fresh, first]


async def test_the_lowest_priority_of_a_claim_is_about_the_tasks_own(core: Core) -> None:
    await age(core, 255)
    await core.enqueue(priority=99)
    core.clock.advance(600)
    high = await core.enqueue(priority=100)
    assert await claimed(core, min_priority=100) == [high]


async def test_nothing_is_kept_from_running_by_what_keeps_coming(core: Core) -> None:
    await age(core, 10)
    low = await core.enqueue(priority=0)
    got = []
    for _ in range(27):
        await core.queue.enqueue([spec(priority=200) for _ in range(3)])
        got += await claimed(core, max=1)
        core.clock.advance(60)
    assert got.index(low) == 26, "after 25.5 minutes it is at the highest, and there since the longest"


async def test_expired_tasks_are_passed_over(core: Core) -> None:
    await age(core, 1)
    soon = core.clock.now_ms() + 1000
    for priority in (200, 100):
        await core.queue.enqueue([spec(priority=priority, expires_at_ms=soon) for _ in range(20)])
    last = await core.enqueue(priority=100)
    core.clock.advance(2)
    assert await claimed(core) == [last]


async def test_payloads_that_take_the_room_end_a_claim(core: Core) -> None:
    await age(core, 1)
    made = [await core.enqueue(payload=b'"' + b"x" * 400_000 + b'"') for _ in range(3)]
    with patch("tqnode.queue.claim.PAYLOADS_MAX", 500_000):
        assert await claimed(core) == made[:2]
    assert await claimed(core) == made[2:]
    assert not await core.drift()


async def test_a_claim_that_waits_gets_the_next_task(core: Core) -> None:
    await age(core, 1)
    waiting = asyncio.create_task(core.claim(wait_s=10))
    await eventually_async(lambda: len(core.queue.waiting) == 1)
    task_id = await core.enqueue()
    assert ids_of(await waiting) == [task_id]


async def test_tasks_with_keys_gain_priority_as_well(core: Core) -> None:
    await age(core, 1)
    await limit(core)
    low = await enqueue(core, "a", "a", "b", priority=100)
    core.clock.advance(11 * 60)
    high = await enqueue(core, "a", None, "c", priority=110)
    assert await claimed(core) == [low[0], low[2], high[1], high[2]]


async def test_the_limit_of_a_queue_holds(core: Core) -> None:
    await age(core, 1)
    await limit(core, queue="default", running=2)
    low = await core.enqueue(priority=100)
    core.clock.advance(11 * 60)
    high = [await core.enqueue(priority=110) for _ in range(3)]
    assert await claimed(core) == [low, high[0]]
    assert await claimed(core) == []


async def test_turns_and_priorities_that_grow_exclude_each_other(core: Core) -> None:
    await limit(core, queue="q", fair=True)
    with pytest.raises(InvalidField, match="the limit few has the keys of q take turns"):
        await age(core, 1, "q")
    await age(core, None, "q")
    await core.queue.limits.delete("few")
    await age(core, 1, "q")
    with pytest.raises(InvalidField, match="tasks of q gain priority"):
        await limit(core, queue="q", fair=True)
    await limit(core, queue="q", running=1)
    await age(core, None, "q")
    await limit(core, queue="q", fair=True)


async def test_behind_very_many_keys_each_task_is_found(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("LOOK_MAX", 0), ("LANES_AT_A_TIME", 2), ("LANES_MAX", 4)):
        monkeypatch.setattr(lanes, name, value)
    await age(core, 1)
    await limit(core)
    keys = [f"k{n:02}" for n in range(15)]
    await enqueue(core, *keys, priority=7)
    while await claimed(core, max=30):
        pass
    assert await core.count("task WHERE state = 'running'") == 15
    await enqueue(core, *keys, *keys, priority=7)
    core.clock.advance(1)
    assert await claimed(core) == []
    low = await core.enqueue(limit_key="k99", priority=1)
    top = await core.enqueue(limit_key="k50", priority=255)
    assert await claimed(core, max=1) == [top]
    assert await claimed(core, max=1) == [low]


async def test_what_is_at_the_end_of_very_many_keys_is_not_forgotten(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("LOOK_MAX", 0), ("LANES_AT_A_TIME", 1), ("LANES_MAX", 2)):
        monkeypatch.setattr(lanes, name, value)
    await age(core, 1)
    await limit(core, running=0, key="full")
    await enqueue(core, *["full"] * 10)
    await enqueue(core, *[f"a{n}" for n in range(6)] * 5)
    (last,) = await enqueue(core, "z")
    found = [task_id for _ in range(8) for task_id in await claimed(core, max=1)]
    assert last in found


async def test_what_a_claim_costs_depends_on_the_priorities_not_on_the_tasks(tmp_path: Path) -> None:
    with counted_costs() as costs:
        async with open_core(tmp_path / "tq.db") as core:
            await age(core, 1)
            for part in range(50):
                await core.queue.enqueue([spec(priority=n % 256) for n in range(2000)])
                core.clock.advance(60 + part)
            for most, kinds in product((1, 100), (None, ("mail",))):
                costs.clear()
                assert len(await core.claim(max=most, kinds=kinds)) == most
                # Of each of 256 priorities two steps to the first, and for each task a few more.
                assert costs["steps"] < 30_000 + most * 600, costs
                assert costs["statements"] < 20 + 2 * most, costs


new_tasks = st.tuples(
    st.integers(0, 3) | st.integers(0, 255),
    st.integers(-MINUTE_MS, 200 * MINUTE_MS) | st.sampled_from([0, MINUTE_MS, 2 * MINUTE_MS]),
    st.sampled_from(["mail", "fax", "call"]),
    st.none() | st.integers(-1, 3),
)
asks = st.tuples(
    st.sampled_from([None, ("mail",), ("fax", "mail"), ("fax", "mail", "call", "fax")]),
    st.sampled_from([0, 0, 2, 100]),
    st.sampled_from([1, 2, 9, 30]),
    st.integers(-5 * MINUTE_MS, 50 * MINUTE_MS),
)


@settings(max_examples=80, deadline=None)
@given(
    milli=st.sampled_from([1, 500, 1000, 37_500, 255_000]) | st.integers(1, 255_000),
    new=st.lists(new_tasks, min_size=1, max_size=60),
    asked=st.lists(asks, min_size=1, max_size=6),
)
def test_a_claim_gets_what_has_grown_highest(
    milli: int,
    new: list[tuple[int, int, str, int | None]],
    asked: list[tuple[tuple[str, ...] | None, int, int, int]],
) -> None:
    async def go(folder: str) -> None:
        async with open_core(Path(folder) / "tq.db") as core:
            await core.queue.catalogue.configure("default", {"age_milli": milli})
            made = ids_of(await core.queue.enqueue([spec(priority=p, kind=kind) for p, _, kind, _ in new]))
            now_ms = core.clock.now_ms()
            rows = dict(zip(made, new, strict=True))

            def move(tx: Tx) -> None:
                for seq, (_, waited_ms, _, expires) in enumerate(new, 1):
                    tx.run_script(
                        f"UPDATE task SET run_at_ms = {now_ms - waited_ms}, expires_at_ms = "
                        f"{'NULL' if expires is None else now_ms + expires * MINUTE_MS} WHERE seq = {seq}"
                    )

            await core.store.write(move)
            left = [(seq, task_id, *rows[task_id]) for seq, task_id in enumerate(made, 1)]
            for kinds, low, most, later_ms in asked:
                core.clock.step(later_ms / 1000)
                passed_ms = core.clock.now_ms() - now_ms
                able = [
                    (-min(255, p + milli * max(0, passed_ms + waited) // 60_000_000), -waited, seq, task_id)
                    for seq, task_id, p, waited, kind, expires in left
                    if p >= low
                    and (kinds is None or kind in kinds)
                    and (expires is None or expires * MINUTE_MS > passed_ms)
                ]
                expected = [one[3] for one in sorted(able)[:most]]
                assert await claimed(core, kinds=kinds, min_priority=low, max=most) == expected
                left = [one for one in left if one[1] not in expected]

    with tempfile.TemporaryDirectory(prefix="tqnode-ageing-") as folder:
        asyncio.run(go(folder))
