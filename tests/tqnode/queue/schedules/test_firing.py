import asyncio
import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.tqnode.nodes import START_MS, Core, open_core, sample, sweeping
from tests.tqnode.queue.scheduling import get, made, put, ticks
from tests.waiting import eventually_async
from tqnode.queue.schedules.firing import LATE_MS, MADE_UP_MAX, due
from tqnode.sweeper import TICK_S
from tqnode.task import TaskState
from tqnode.timing import Cron, Every, cron

HOUR_S = 3600
EVERY = Every(every_ms=1_000, anchor_ms=0)


# -- what one tick makes ---------------------------------------------------------------------------


async def test_a_tick_makes_its_task_which_says_whose_it_is_and_when(core: Core) -> None:
    await put(core, task={"payload": b'{"x":1.10}', "priority": 7, "tags": ("t",), "max_attempts": 3})
    await core.sweep_after(9.999)
    assert await core.claim() == []
    await core.sweep_after(0.001)
    task = await core.claim_one()
    assert (task.payload, task.priority, task.tags, task.max_attempts) == (b'{"x":1.10}', 7, ("t",), 3)
    assert task.meta == b'{"schedule":{"name":"often","at":"2030-03-17T17:46:50.000Z"}}'
    found = await get(core)
    assert (found.fires, found.skips, found.last_task) == (1, 0, task.id)
    assert (found.fired_ms, found.done_ms, found.next_ms) == (
        START_MS + 10_000,
        START_MS + 10_000,
        START_MS + 20_000,
    )


@pytest.mark.parametrize("meta", [b'{"a":1.10,"b":{}}', b'{ "a" : 1.10 , "b" : { } }', b"{}", b"{ }"])
async def test_the_notes_of_the_user_stay_byte_for_byte_beside_those_of_the_schedule(
    core: Core, meta: bytes
) -> None:
    await put(core, task={"meta": meta})
    await core.sweep_after(10)
    stored = (await core.claim_one()).meta
    assert stored is not None
    decoded = msgspec.json.decode(stored)
    assert decoded.pop("schedule")["name"] == "often"
    assert decoded == msgspec.json.decode(meta)
    assert stored.endswith(meta.strip()[1:].lstrip())


async def test_a_task_that_waits_too_long_expires_from_when_it_was_made(core: Core) -> None:
    await put(core, expires_ms=5_000)
    core.clock.advance(12)
    await core.sweeper.sweep()
    (task_id,) = [row[0] for row in await core.rows("SELECT expires_at_ms FROM task")]
    assert task_id == START_MS + 17_000
    await core.sweep_after(5)
    assert [state for _, state in await made(core)] == ["cancelled"]


async def test_a_claim_that_waits_gets_the_task_of_a_tick_at_once(core: Core) -> None:
    async with sweeping(core):
        await put(core, every_ms=1_000)
        waiting = asyncio.create_task(core.claim(wait_s=30))
        await eventually_async(lambda: core.clock.sleepers and core.clock.sleepers[0] <= 1)
        core.clock.advance(1)
        (task,) = await asyncio.wait_for(waiting, 10)
        assert task.meta is not None


async def test_a_schedule_that_is_put_wakes_a_sweeper_that_sleeps_longer(core: Core) -> None:
    cron_in_300_ms = cron("* * * * * *", "UTC", dst_gap=None, dst_overlap=None)
    core.clock.advance(0.7)
    async with sweeping(core):
        assert core.clock.sleepers == [pytest.approx(TICK_S)]
        await put(core, timing=cron_in_300_ms)
        await eventually_async(lambda: core.clock.sleepers == [pytest.approx(0.3)])


async def test_without_a_due_schedule_the_sweeper_writes_nothing(core: Core) -> None:
    await put(core)
    before = sample(core.metrics, "tq_fsync_duration_seconds_count")
    await core.sweep_after(9)
    assert sample(core.metrics, "tq_fsync_duration_seconds_count") == before > 0


# -- ticks that were missed ------------------------------------------------------------------------


def planned(missed: Any, *, next_s: float, now_s: float, room: int = 1_000) -> tuple[list[float], bool]:
    """The ticks, in seconds, for which the policy wants a task, and whether some are left out."""
    plan = due(EVERY, next_ms=round(next_s * 1000), now_ms=round(now_s * 1000), missed=missed, room=room)
    return [tick / 1000 for tick in plan.ticks], plan.left_out


LATE_S = LATE_MS / 1000


@pytest.mark.parametrize("missed", ["skip", "one", "all"])
def test_a_tick_in_time_is_fired_whatever_the_policy(missed: Any) -> None:
    assert planned(missed, next_s=10, now_s=10.9) == ([10], False)


def test_of_missed_ticks_the_policy_one_fires_the_last() -> None:
    assert planned("one", next_s=10, now_s=500.5) == ([500], True)


def test_of_missed_ticks_the_policy_skip_fires_the_last_only_if_it_is_recent() -> None:
    assert planned("skip", next_s=10, now_s=500.5) == ([500], True)
    daily = Every(every_ms=86_400_000, anchor_ms=0)
    for late_ms, fired in ((LATE_MS, [86_400_000]), (LATE_MS + 1, [])):
        plan = due(daily, next_ms=86_400_000, now_ms=86_400_000 + late_ms, missed="skip", room=9)
        assert (list(plan.ticks), plan.left_out, plan.through_ms) == (fired, not fired, 86_400_000)


def test_of_missed_ticks_the_policy_all_fires_the_last_hundred_in_order() -> None:
    assert planned("all", next_s=10, now_s=14.5) == ([10, 11, 12, 13, 14], False)
    assert planned("all", next_s=1, now_s=MADE_UP_MAX) == ([*range(1, MADE_UP_MAX + 1)], False)
    first = 1_000 - MADE_UP_MAX + 1
    assert planned("all", next_s=1, now_s=1_000) == ([*range(first, 1_001)], True)


def test_no_more_is_fired_at_once_than_there_is_room_for() -> None:
    plan = due(EVERY, next_ms=1_000, now_ms=50_000, missed="all", room=4)
    assert (list(plan.ticks), plan.through_ms) == ([1_000, 2_000, 3_000, 4_000], 4_000)
    assert plan.late == {1_000, 2_000, 3_000, 4_000}


def test_a_tick_counts_as_missed_if_it_is_late_or_another_is_due_after_it() -> None:
    assert due(EVERY, next_ms=1_000, now_ms=2_000, missed="all", room=9).late == {1_000}
    rare = Every(every_ms=10**9, anchor_ms=0)
    assert due(rare, next_ms=10**9, now_ms=10**9 + LATE_MS, missed="one", room=9).late == set()
    assert due(rare, next_ms=10**9, now_ms=10**9 + LATE_MS + 1, missed="one", room=9).late == {10**9}


@pytest.mark.parametrize(
    ("missed", "expected", "skips"),
    [("one", [3600], 1), ("skip", [3600], 1), ("all", [*range(2610, 3601, 10)], 1)],
)
async def test_after_an_outage_the_policy_says_what_is_made_up_for(
    tmp_path: Path, missed: str, expected: list[int], skips: int
) -> None:
    path = tmp_path / "tq.db"
    async with open_core(path) as core:
        await put(core, missed=missed)
        clock = core.clock
    clock.advance(HOUR_S)
    async with open_core(path, clock=clock) as core:
        await core.sweeper.sweep()
        assert await ticks(core) == expected
        found = await get(core)
        assert (found.fires, found.skips, found.next_ms) == (len(expected), skips, START_MS + 3_610_000)
        late = [about.get("missed", False) for about, _ in await made(core)]
        assert late == [True] * (len(expected) - 1) + [False]
        assert sample(core.metrics, "tq_schedule_fires_total") == len(expected)
        assert sample(core.metrics, "tq_schedule_skips_total", reason="missed") == skips


async def test_many_due_schedules_are_dealt_with_in_slices_and_none_twice(core: Core) -> None:
    for number in range(70):
        await put(core, name=f"s{number}", missed="all")
    core.clock.advance(45)
    await core.sweeper.sweep()
    names = [about["name"] for about, _ in await made(core)]
    assert {name: names.count(name) for name in names} == {f"s{number}": 4 for number in range(70)}
    assert {(await get(core, f"s{number}")).next_ms for number in range(70)} == {START_MS + 50_000}


# -- the wall clock --------------------------------------------------------------------------------


async def test_a_clock_that_is_put_back_fires_no_tick_twice_and_goes_on_where_it_was(core: Core) -> None:
    await put(core, missed="all")
    await core.sweep_after(20)
    core.clock.step(-15)
    await core.sweep_after(24)
    assert await ticks(core) == [10, 20]
    await core.sweep_after(1)
    assert await ticks(core) == [10, 20, 30]


async def test_a_clock_that_is_put_forward_misses_the_ticks_between(core: Core) -> None:
    await put(core)
    core.clock.step(95)
    await core.sweeper.sweep()
    assert await ticks(core) == [90]


# -- the task of the tick before -------------------------------------------------------------------


async def test_overlap_allow_makes_a_task_whatever_became_of_the_last(core: Core) -> None:
    await put(core)
    await core.sweep_after(30)
    assert [state for _, state in await made(core)] == ["ready"] * 3


async def test_overlap_skip_makes_none_until_the_last_one_is_final(core: Core) -> None:
    await put(core, overlap="skip")
    await core.sweep_after(10)
    await core.sweep_after(10)
    task = await core.claim_one()
    await core.sweep_after(10)
    assert await ticks(core) == [10]
    await core.complete(task)
    await core.sweep_after(10)
    assert await ticks(core) == [10, 40]
    assert (await get(core)).skips == 2
    assert sample(core.metrics, "tq_schedule_skips_total", reason="overlap") == 2


async def test_overlap_skip_goes_on_when_the_last_task_was_deleted(core: Core) -> None:
    schedule = await put(core, overlap="skip")
    await core.sweep_after(10)
    schedule = await get(core)
    assert schedule.last_task is not None
    await core.queue.delete(schedule.last_task)
    await core.sweep_after(10)
    assert await ticks(core) == [20]


async def test_overlap_replace_cancels_a_waiting_task_and_asks_a_running_one_to_stop(core: Core) -> None:
    await put(core, overlap="replace")
    await core.sweep_after(20)
    assert [state for _, state in await made(core)] == ["cancelled", "ready"]
    task = await core.claim_one()
    await core.sweep_after(10)
    assert [state for _, state in await made(core)] == ["cancelled", "running", "ready"]
    lease = await core.queue.heartbeat(task.id, task.token, lease_ms=None, progress=None)
    assert lease.cancel


async def test_ticks_made_up_for_overlap_each_other_too(core: Core) -> None:
    await put(core, missed="all", overlap="replace")
    core.clock.advance(45)
    await core.sweeper.sweep()
    assert [state for _, state in await made(core)] == ["cancelled"] * 3 + ["ready"]
    await put(core, name="other", missed="all", overlap="skip")
    core.clock.advance(40)
    await core.sweeper.sweep()
    assert [about["name"] for about, _ in await made(core)].count("other") == 1


@pytest.mark.parametrize("mode", ["skip", "reject"])
async def test_a_tick_whose_key_another_task_holds_is_left_out(core: Core, mode: str) -> None:
    await core.enqueue(unique_key="k")
    await put(core, task={"unique_key": "k", "unique_mode": mode})
    await core.sweep_after(10)
    assert await ticks(core) == []
    found = await get(core)
    assert (found.fires, found.skips, found.last_task) == (0, 1, None)
    assert sample(core.metrics, "tq_schedule_skips_total", reason="unique") == 1


async def test_a_tick_that_gives_way_to_another_task_cancels_none_before(core: Core) -> None:
    await put(core, overlap="replace", task={"unique_key": "k"})
    await core.sweep_after(10)
    task = await core.claim_one()
    await core.sweep_after(10)
    assert (await core.task(task.id)).cancel_requested_at_ms is None
    assert (await get(core)).skips == 1


async def test_a_tick_that_gives_a_task_new_content_has_made_it(core: Core) -> None:
    task_id = await core.enqueue(unique_key="k", payload=b"1")
    await put(core, task={"unique_key": "k", "unique_mode": "replace", "payload": b"2"})
    await core.sweep_after(10)
    assert (await core.task(task_id)).payload == b"2"
    assert (await get(core)).last_task == task_id


# -- what can't be done ----------------------------------------------------------------------------


async def test_a_tick_waits_for_room_in_its_queue_and_cancels_nothing_meanwhile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_core(tmp_path / "tq.db", queue_depth_max=1) as core:
        await put(core, overlap="replace", task={"queue": "narrow"})
        await put(core, name="other", task={"queue": "wide"})
        await core.sweep_after(10)
        held = await core.claim_one("narrow")
        filler = await core.enqueue(queue="narrow")
        with caplog.at_level(logging.WARNING):
            await core.sweep_after(10)
        assert "schedule often waits" in caplog.text
        assert (await core.queue.get(held.id)).cancel_requested_at_ms is None
        waiting = await get(core)
        assert (waiting.fires, waiting.next_ms, waiting.due_ms) == (1, START_MS + 20_000, START_MS + 25_000)
        assert sorted(about["name"] for about, _ in await made(core)) == ["often", "other"]
        await core.queue.delete(filler)
        await core.sweep_after(5)
        assert [tick for tick in await ticks(core) if tick == 20] == [20]
        assert (await core.queue.get(held.id)).cancel_requested_at_ms is not None
        assert not await core.drift()


async def test_a_schedule_whose_zone_the_node_lacks_stands_still_alone_and_is_tried_again(
    core: Core, caplog: pytest.LogCaptureFixture
) -> None:
    await put(core, name="lost", timing=cron("* * * * *", "Europe/Berlin", dst_gap=None, dst_overlap=None))
    await put(core)
    await core.store.write(
        lambda tx: tx.run("UPDATE schedule SET time_zone = 'Mars/Olympus' WHERE name = 'lost'")
    )
    with caplog.at_level(logging.ERROR):
        await core.sweep_after(60)
    assert "schedule lost stands still: time_zone" in caplog.text
    assert await ticks(core) == [10, 20, 30, 40, 50, 60]
    caplog.clear()
    await core.sweep_after(61)
    assert caplog.text.count("schedule lost stands still") <= 2
    lost = await get(core, "lost")
    assert isinstance(lost.timing, Cron)
    assert (lost.fires, lost.skips) == (0, 0)


async def test_what_a_tick_makes_is_told_like_any_other_enqueue(core: Core) -> None:
    await put(core, task={"queue": "q"})
    await core.sweep_after(10)
    info = await core.queue.catalogue.one("q")
    assert info.counts == {TaskState.READY: 1}
    assert (await core.queue.stats()).since_start["enqueued"] == 1


def test_no_tick_is_reckoned_beyond_what_is_needed() -> None:
    reckoned: list[int] = []

    class Counted(Every, frozen=True):
        def after(self, at_ms: int) -> int | None:
            reckoned.append(at_ms)
            return super().after(at_ms)

    timing = Counted(every_ms=1_000, anchor_ms=0)
    plan = due(timing, next_ms=1_000, now_ms=1_500, missed="all", room=500)
    assert list(plan.ticks) == [1_000]
    assert len(reckoned) <= 2
