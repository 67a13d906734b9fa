import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tqnode.nodes import Core, complete, fail, open_core, settle
from tests.waiting import eventually_async
from tqnode.errors import LeaseLost, NotFound
from tqnode.queue.logs import REPLACED, LogPage, NewLine, NewLines
from tqnode.task import ClaimedTask, TaskState

LONG_S = 30.0


def lines_of(task: ClaimedTask, *texts: str, first: int | None = None) -> NewLines:
    return NewLines(id=task.id, token=task.token, lines=tuple(NewLine(text) for text in texts), first=first)


async def log_of(core: Core, task_id: str, *, after: int = 0, limit: int = 1000) -> LogPage:
    return await core.queue.logs.page(task_id, after=after, limit=limit, wait_s=0)


async def texts_of(core: Core, task_id: str, **bounds: int) -> list[str]:
    return [line.text for line in (await log_of(core, task_id, **bounds)).lines]


async def follows(core: Core, task_id: str, *, after: int = 0) -> asyncio.Task[LogPage]:
    """A client that has read all there is and waits for the next lines."""
    there = len(core.queue.onlookers)
    following = asyncio.create_task(core.queue.logs.page(task_id, after=after, limit=1000, wait_s=LONG_S))
    await eventually_async(lambda: len(core.queue.onlookers) > there)
    await core.store.read(lambda _: None)
    await settle()
    assert not following.done()
    return following


async def test_lines_are_read_as_they_were_told_with_their_attempt(core: Core) -> None:
    task = await core.running()
    new = NewLines(id=task.id, token=task.token, lines=(NewLine("a", "warning", 5), NewLine("b\n\u00e4")))
    assert await core.queue.logs.append(new) == 2
    await core.finish(fail(task, delay_ms=0))
    again = await core.claim_one()
    assert await core.queue.logs.append(lines_of(again, "c")) == 3
    page = await log_of(core, task.id)
    told = [(line.number, line.attempt, line.at_ms, line.level, line.text) for line in page.lines]
    now_ms = core.clock.now_ms()
    assert told == [
        (1, 1, 5, "warning", "a"),
        (2, 1, now_ms, "info", "b\n\u00e4"),
        (3, 2, now_ms, "info", "c"),
    ]
    assert (page.dropped, page.next, page.ended) == (0, 3, False)


async def test_only_the_holder_of_the_lease_adds_lines(core: Core) -> None:
    task = await core.running()
    await core.complete(task)
    with pytest.raises(LeaseLost):
        await core.queue.logs.append(lines_of(task, "late"))
    await core.queue.delete(task.id)
    with pytest.raises(NotFound):
        await core.queue.logs.append(lines_of(task, "later"))


async def test_lines_sent_twice_are_there_once_and_lost_ones_are_counted(core: Core) -> None:
    task = await core.running()
    await core.queue.logs.append(lines_of(task, "0", "1", first=0))
    await core.queue.logs.append(lines_of(task, "0", "1", "2", first=0))
    await core.queue.logs.append(lines_of(task, "1", first=1))
    await core.queue.logs.append(lines_of(task, "5", first=5))
    page = await log_of(core, task.id)
    assert [(line.number, line.text) for line in page.lines] == [(1, "0"), (2, "1"), (3, "2"), (6, "5")]
    assert page.dropped == 2


async def test_each_claim_counts_its_lines_anew(core: Core) -> None:
    task = await core.running()
    await core.queue.logs.append(lines_of(task, "a", "b", first=0))
    await core.queue.give_back([task])
    again = await core.claim_one()
    await core.queue.logs.append(lines_of(again, "c", first=0))
    assert await texts_of(core, task.id) == ["a", "b", "c"]


async def test_a_line_that_is_too_long_is_cut_at_a_character(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", log_line_bytes_max=64) as core:
        task = await core.running()
        await core.queue.logs.append(lines_of(task, "\u00e4" * 32, "\u00e4" * 33))
        whole, cut = await texts_of(core, task.id)
        assert whole == "\u00e4" * 32
        assert cut == "\u00e4" * 30 + "\u2026"


async def test_the_lines_of_a_finish_are_noted_with_it_and_once(core: Core) -> None:
    task = await core.running()
    for _ in range(2):
        await core.queue.finish([complete(task)], lines=[lines_of(task, "last", first=0)])
    page = await log_of(core, task.id)
    assert [line.text for line in page.lines] == ["last"]
    assert page.ended


async def test_lines_of_a_lost_lease_do_not_keep_a_finish_from_its_answer(core: Core) -> None:
    task = await core.running()
    await core.complete(task)
    await core.queue.retry(task.id)
    await core.claim_one()
    (answer,) = await core.queue.finish([complete(task)], lines=[lines_of(task, "lost", first=0)])
    assert isinstance(answer, LeaseLost)
    assert await texts_of(core, task.id) == []


async def test_lines_come_with_heartbeats_of_one_task_and_of_a_worker(core: Core) -> None:
    task = await core.running()
    await core.queue.heartbeat(
        task.id, task.token, lease_ms=None, progress=None, lines=[lines_of(task, "one", first=0)]
    )
    assert await texts_of(core, task.id) == ["one"]


async def test_a_follower_gets_the_next_lines_as_soon_as_they_are_committed(core: Core) -> None:
    task = await core.running()
    await core.queue.logs.append(lines_of(task, "a"))
    following = await follows(core, task.id, after=1)
    await core.queue.logs.append(lines_of(task, "b"))
    page = await asyncio.wait_for(following, 10)
    assert ([line.text for line in page.lines], page.next, page.ended) == (["b"], 2, False)


async def test_a_follower_is_told_of_the_end(core: Core) -> None:
    task = await core.running()
    following = await follows(core, task.id)
    await core.complete(task)
    page = await asyncio.wait_for(following, 10)
    assert (page.lines, page.ended) == ([], True)


async def test_a_follower_of_a_task_that_is_deleted_is_told_so(core: Core) -> None:
    task_id = await core.enqueue()
    following = await follows(core, task_id)
    await core.queue.delete(task_id)
    with pytest.raises(NotFound):
        await asyncio.wait_for(following, 10)


async def test_lines_wake_nobody_who_waits_for_the_end(core: Core) -> None:
    task = await core.running()
    waiting = asyncio.create_task(core.queue.results.wait(task.id, wait_s=LONG_S))
    await eventually_async(lambda: len(core.queue.onlookers) == 1)
    ((onlooker,),) = core.queue.onlookers._by_awaited.values()
    await core.queue.logs.append(lines_of(task, "a"))
    assert not onlooker.woken.is_set()
    await core.complete(task)
    assert (await asyncio.wait_for(waiting, 10)).state is TaskState.SUCCEEDED


async def test_the_lines_of_deleted_tasks_are_deleted_bit_by_bit(core: Core) -> None:
    tasks = [await core.running() for _ in range(3)]
    for task in tasks:
        await core.queue.logs.append(lines_of(task, *map(str, range(400))))
    for task in tasks[:2]:
        await core.complete(task)
        await core.queue.delete(task.id)
    with pytest.raises(NotFound):
        await log_of(core, tasks[0].id)
    await core.sweeper.sweep()
    assert await core.count("task_log") == 400
    assert await core.count("log_remains") == 0


async def test_lines_go_with_retention_and_with_a_purge(core: Core) -> None:
    kept, purged = await core.running(), await core.running()
    for task in (kept, purged):
        await core.queue.logs.append(lines_of(task, "a", "b"))
    await core.complete(kept)
    await core.finish(fail(purged, delay_ms=60_000))
    await core.queue.catalogue.purge("default", [TaskState.SCHEDULED])
    await core.sweeper.sweep()
    assert await core.count("task_log") == 2
    core.clock.advance(core.config.keep_succeeded_s + 1)
    await core.sweeper.sweep()
    assert await core.count("task") == 0
    assert await core.count("task_log") == 0


async def test_no_new_task_inherits_the_lines_of_a_deleted_one_over_a_restart(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db") as core:
        task = await core.running()
        await core.queue.logs.append(lines_of(task, "mine"))
        await core.complete(task)
        await core.queue.delete(task.id)
    async with open_core(tmp_path / "tq.db") as core:
        other = await core.running()
        await core.queue.logs.append(lines_of(other, "its own"))
        await core.sweeper.sweep()
        assert await texts_of(core, other.id) == ["its own"]


async def test_a_replaced_task_loses_its_lines_and_its_followers_go_on(core: Core) -> None:
    task = await core.running(unique_key="k")
    await core.queue.logs.append(lines_of(task, "a", "b"))
    await core.finish(fail(task, delay_ms=60_000))
    following = await follows(core, task.id, after=2)
    await core.enqueue(unique_key="k", unique_mode="replace")
    again = await core.claim_one()
    await core.queue.logs.append(lines_of(again, "c", first=0))
    page = await asyncio.wait_for(following, 10)
    assert [line.text for line in page.lines] == [REPLACED, "c"]
    assert await texts_of(core, task.id) == [REPLACED, "c"]


Sends = st.lists(st.tuples(st.integers(0, 12), st.integers(-4, 6), st.booleans()), min_size=1, max_size=12)


@settings(max_examples=40)
@given(sends=Sends, kept=st.integers(1, 8), limit=st.integers(1, 5))
def test_the_last_lines_are_kept_and_with_the_dropped_they_are_all_however_they_are_paged(
    tmp_path_factory: pytest.TempPathFactory, sends: list[tuple[int, int, bool]], kept: int, limit: int
) -> None:
    async def scenario() -> None:
        path = tmp_path_factory.mktemp("node") / "tq.db"
        async with open_core(path, log_lines_max=kept) as core:
            task = await core.running()
            place, number, told = 0, 0, {}
            for count, shift, anew in sends:
                if anew:
                    await core.queue.give_back([task])
                    task, place = await core.claim_one(), 0
                first = max(0, place + shift)
                texts = [f"{task.token}:{first + index}" for index in range(count)]
                await core.queue.logs.append(lines_of(task, *texts, first=first))
                for index, text in enumerate(texts):
                    if first + index >= place:
                        number += first + index - place + 1
                        place = first + index + 1
                        told[number] = text
            wanted = {at: text for at, text in told.items() if at > number - kept}
            seen: dict[int, str] = {}
            dropped = after = 0
            while True:
                page = await log_of(core, task.id, after=after, limit=limit)
                assert len(page.lines) <= limit
                seen |= {line.number: line.text for line in page.lines}
                dropped += page.dropped
                if page.next == after:
                    break
                after = page.next
            assert seen == wanted
            assert len(seen) + dropped == number
            assert await core.count("task_log") <= kept

    asyncio.run(scenario())
