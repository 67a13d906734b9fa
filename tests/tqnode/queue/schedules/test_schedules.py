from pathlib import Path

import pytest

from tests.tqnode.nodes import START_MS, Core, open_core, spec
from tests.tqnode.queue.scheduling import EVERY_MS, get, put, schedule_spec, ticks
from tqnode.errors import InvalidCursor, InvalidField, NotFound
from tqnode.queue import schedules
from tqnode.queue.schedules import Template
from tqnode.timing import Every, cron

NOON = cron("0 12 * * *", "UTC", dst_gap=None, dst_overlap=None)


async def test_a_schedule_is_kept_with_its_task_byte_for_byte(core: Core) -> None:
    task = {
        "payload": b'{"a": 1.10}',
        "meta": b'{"m":2}',
        "retry": b'{"type":"fixed","delay_s":1}',
        "tags": ("t",),
    }
    await put(core, task=task, expires_ms=5_000, missed="all", overlap="skip")
    found = await get(core)
    assert found.template == Template(spec=spec(**task), expires_ms=5_000)
    assert (found.missed, found.overlap, found.paused) == ("all", "skip", False)
    assert (found.next_ms, found.done_ms, found.fired_ms, found.last_task) == (
        START_MS + EVERY_MS,
        None,
        None,
        None,
    )


async def test_the_same_again_changes_nothing_not_even_what_was_fired(core: Core) -> None:
    await put(core)
    await core.sweep_after(25)
    before = await get(core)
    assert (before.fires, before.next_ms) == (2, START_MS + 30_000)
    later = schedule_spec(timing=Every(every_ms=EVERY_MS, anchor_ms=core.clock.now_ms()))
    again, new = await core.queue.scheduler.put(later)
    assert (again, new) == (before, False)
    assert await get(core) == before


async def test_a_new_task_or_policy_leaves_the_times_and_what_was_fired(core: Core) -> None:
    await put(core)
    await core.sweep_after(25)
    before = await get(core)
    changed = await put(core, task={"payload": b"2"}, missed="all", overlap="replace")
    assert changed.updated_at_ms == core.clock.now_ms() > before.updated_at_ms
    same = ("timing", "next_ms", "due_ms", "done_ms", "fired_ms", "last_task", "fires", "created_at_ms")
    assert [getattr(changed, name) for name in same] == [getattr(before, name) for name in same]
    await core.sweep_after(5)
    (*_, last) = await core.claim(max=10)
    assert last.payload == b"2"


async def test_other_times_count_from_now_and_drop_what_was_due(core: Core) -> None:
    await put(core)
    core.clock.advance(35)
    changed = await put(core, timing=Every(every_ms=60_000, anchor_ms=core.clock.now_ms()))
    assert changed.next_ms == core.clock.now_ms() + 60_000
    await core.sweeper.sweep()
    assert await ticks(core) == []
    changed = await put(core, timing=NOON)
    assert changed.next_ms == NOON.after(core.clock.now_ms())


async def test_other_times_never_name_a_tick_again_that_was_fired_before_the_clock_was_put_back(
    core: Core,
) -> None:
    await put(core)
    await core.sweep_after(10)
    core.clock.step(-9)
    changed = await put(core, timing=Every(every_ms=5_000, anchor_ms=START_MS))
    assert changed.next_ms == START_MS + 15_000


async def test_a_paused_schedule_makes_nothing_and_goes_on_with_its_next_tick(core: Core) -> None:
    await put(core, missed="all")
    await core.sweep_after(10)
    paused = await core.queue.scheduler.pause("often")
    assert paused.paused
    assert await core.queue.scheduler.pause("often") == paused
    await core.sweep_after(35)
    assert await ticks(core) == [10]
    resumed = await core.queue.scheduler.resume("often")
    assert (resumed.paused, resumed.next_ms) == (False, START_MS + 50_000)
    assert await core.queue.scheduler.resume("often") == resumed
    await core.sweep_after(5)
    assert await ticks(core) == [10, 50]
    assert (await get(core)).skips == 0


async def test_a_put_pauses_and_resumes_only_if_it_says_so(core: Core) -> None:
    assert (await put(core, paused=True)).paused
    assert (await put(core)).paused
    assert (await put(core, overlap="skip")).paused
    core.clock.advance(35)
    resumed = await put(core, overlap="skip", paused=False)
    assert (resumed.paused, resumed.next_ms) == (False, START_MS + 40_000)


async def test_a_deleted_schedule_leaves_its_tasks_and_nothing_of_itself(core: Core) -> None:
    await put(core)
    await core.sweep_after(10)
    await core.queue.scheduler.delete("often")
    await core.sweep_after(30)
    assert await ticks(core) == [10]
    assert [await core.count(table) for table in ("schedule", "schedule_task")] == [0, 0]
    anew = await put(core)
    assert (anew.fires, anew.done_ms) == (0, None)


@pytest.mark.parametrize("call", ["get", "pause", "resume", "delete"])
async def test_what_is_not_there_is_told(core: Core, call: str) -> None:
    with pytest.raises(NotFound) as refused:
        await getattr(core.queue.scheduler, call)("nobody")
    assert refused.value.code == "schedule_not_found"


async def test_no_more_schedules_than_allowed_are_taken_but_those_there_may_change(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", schedules_max=2) as core:
        await put(core, name="a")
        await put(core, name="b", paused=True)
        with pytest.raises(InvalidField) as refused:
            await put(core, name="c")
        assert (refused.value.code, refused.value.limit) == ("too_many_schedules", 2)
        await put(core, name="b", overlap="skip")
        await core.queue.scheduler.delete("a")
        await put(core, name="c")
        assert (await core.queue.stats()).schedules == {"active": 1, "paused": 1}


async def test_a_schedule_that_never_ticks_is_refused_new_or_not(core: Core) -> None:
    core.clock.step((253_250_000_000_000 - START_MS) / 1000)
    rare = cron("0 0 29 2 *", "UTC", dst_gap=None, dst_overlap=None)
    for _ in range(2):
        with pytest.raises(InvalidField, match="no time to come") as refused:
            await put(core, timing=rare)
        assert (refused.value.field, refused.value.code) == ("cron", "invalid_cron")
        await put(core)


async def test_pages_go_through_all_in_the_order_of_their_names_without_payloads(core: Core) -> None:
    names = [f"s{number:02}" for number in range(7)]
    for name in reversed(names):
        await put(core, name=name, task={"payload": b'"large"'})
    found: list[str] = []
    cursor = None
    while True:
        page = await core.queue.scheduler.page(limit=3, cursor=cursor)
        assert all(one.template.spec.payload == b"" for one in page.schedules)
        found += [one.name for one in page.schedules]
        cursor = page.next_cursor
        if cursor is None:
            break
        if len(found) == 3:
            # What is deleted or added behind the cursor does not disturb it.
            await core.queue.scheduler.delete("s02")
            await put(core, name="a-new-one")
    assert found == names


async def test_a_page_ends_short_rather_than_take_any_amount_of_memory(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedules, "PAGE_BYTES_MAX", 500)
    for name in "abcd":
        await put(core, name=name, task={"meta": b'{"m":"%s"}' % (b"x" * 400)})
    page = await core.queue.scheduler.page(limit=100, cursor=None)
    assert [one.name for one in page.schedules] == ["a"]
    rest = await core.queue.scheduler.page(limit=100, cursor=page.next_cursor)
    assert [one.name for one in rest.schedules] == ["b"]


@pytest.mark.parametrize("cursor", ["!", "YQ", "w6Q=", "ünter"])
async def test_a_cursor_that_no_page_ended_with_is_refused(core: Core, cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        await core.queue.scheduler.page(limit=1, cursor=cursor)


async def test_schedules_are_still_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "tq.db"
    async with open_core(path) as core:
        await put(core, timing=NOON)
        await core.sweep_after(3)
        before = await get(core)
        clock = core.clock
    async with open_core(path, clock=clock) as core:
        assert await get(core) == before
        assert before.timing == NOON
