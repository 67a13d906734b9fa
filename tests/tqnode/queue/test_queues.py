import asyncio
from pathlib import Path

import pytest

from tests.tqnode.nodes import Core, open_core, spec
from tests.waiting import eventually_async
from tqnode.errors import NotFound, QueueFull
from tqnode.queue import queues
from tqnode.queue.sliced import SLICE_MIN
from tqnode.task import FINAL, WAITING, Complete, TaskState


async def test_a_queue_is_there_from_its_first_task_on(core: Core) -> None:
    assert await core.queue.catalogue.all() == []
    await core.enqueue(queue="b")
    await core.enqueue(queue="a")
    assert [info.queue for info in await core.queue.catalogue.all()] == ["a", "b"]


async def test_a_queue_tells_its_counts_by_state(core: Core) -> None:
    await core.queue.enqueue([spec() for _ in range(5)])
    await core.enqueue(run_at_ms=core.clock.now_ms() + 1000)
    one, _ = await core.claim(max=2)
    await core.complete(one)
    info = await core.queue.catalogue.one("default")
    assert info.counts == {"ready": 3, "scheduled": 1, "running": 1, "succeeded": 1}
    assert not info.paused


async def test_a_queue_tells_how_long_its_oldest_ready_task_waits_whatever_its_priority(core: Core) -> None:
    await core.enqueue(priority=0)
    core.clock.advance(3)
    await core.enqueue(priority=255)
    core.clock.advance(2)
    await core.enqueue(priority=100)
    assert (await core.queue.catalogue.one("default")).oldest_ready_age_ms == 5_000
    while await core.claim():
        pass
    assert (await core.queue.catalogue.one("default")).oldest_ready_age_ms is None


async def test_an_age_is_never_negative_though_the_clock_was_set_back(core: Core) -> None:
    await core.enqueue()
    core.clock.step(-100)
    assert (await core.queue.catalogue.one("default")).oldest_ready_age_ms == 0


async def test_a_paused_queue_takes_tasks_in_and_says_that_it_is_paused(core: Core) -> None:
    await core.enqueue()
    assert (await core.queue.catalogue.pause("default")).paused
    assert (await core.queue.catalogue.pause("default")).paused
    await core.enqueue()
    assert await core.claim() == []
    assert (await core.queue.catalogue.one("default")).counts == {"ready": 2}
    assert not (await core.queue.catalogue.resume("default")).paused
    assert len(await core.claim(max=5)) == 2


async def test_a_pause_stops_no_task_that_runs(core: Core) -> None:
    task = await core.running()
    await core.queue.catalogue.pause("default")
    assert (await core.finish(Complete(id=task.id, token=task.token))).state is TaskState.SUCCEEDED


async def test_what_is_asked_of_a_queue_that_is_not_there_says_so(core: Core) -> None:
    for asked in (
        core.queue.catalogue.one("x"),
        core.queue.catalogue.pause("x"),
        core.queue.catalogue.resume("x"),
        core.queue.catalogue.purge("x", sorted(FINAL)),
    ):
        with pytest.raises(NotFound) as missing:
            await asked
        assert missing.value.code == "queue_not_found"
    assert await core.queue.catalogue.all() == []


async def test_a_purge_deletes_the_states_it_names_of_its_queue_alone(core: Core) -> None:
    await core.queue.enqueue([spec(tags=("t",)), spec(), spec(queue="other")])
    await core.enqueue(run_at_ms=core.clock.now_ms() + 1000)
    running = await core.claim_one()
    assert await core.queue.catalogue.purge("default", [TaskState.READY]) == 1
    assert (await core.queue.catalogue.one("default")).counts == {"running": 1, "scheduled": 1}
    assert await core.queue.catalogue.purge("default", sorted(WAITING)) == 1
    assert await core.queue.catalogue.purge("default", sorted(WAITING)) == 0
    await core.complete(running)
    assert await core.queue.catalogue.purge("default", sorted(FINAL)) == 1
    assert (await core.queue.catalogue.one("default")).counts == {}
    assert (await core.queue.catalogue.one("other")).counts == {"ready": 1}
    assert await core.count("task_tag") == 0


async def test_a_purge_takes_the_tags_of_its_tasks_and_leaves_those_of_others(core: Core) -> None:
    await core.queue.enqueue([spec(tags=("a", "b")), spec(), spec(tags=("b", "c")), spec(tags=())])
    await core.queue.enqueue([spec(queue="other", tags=("a", "c"))])
    assert await core.queue.catalogue.purge("default", [TaskState.READY]) == 4
    (kept,) = await core.rows("SELECT seq FROM task")
    assert await core.rows("SELECT tag, seq FROM task_tag ORDER BY tag") == [("a", *kept), ("c", *kept)]
    assert await core.count("task_body") == 1


async def test_a_large_purge_lets_others_write_between_its_slices(core: Core) -> None:
    await core.queue.enqueue([spec() for _ in range(SLICE_MIN * 20 + 7)])
    purging = asyncio.create_task(core.queue.catalogue.purge("default", [TaskState.READY]))
    beside = 0
    while not purging.done():
        await core.store.write(lambda _: None)
        beside += 1
    assert await purging == SLICE_MIN * 20 + 7
    assert beside > 3
    assert await core.count("task") == await core.count("task_body") == 0


async def test_a_purge_of_exactly_one_slice_ends(core: Core) -> None:
    await core.queue.enqueue([spec() for _ in range(SLICE_MIN)])
    assert await core.queue.catalogue.purge("default", [TaskState.READY]) == SLICE_MIN


async def test_a_purge_finds_its_tasks_among_many_others_without_looking_at_all_at_once(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "PURGE_SCAN", 10)
    for _ in range(5):
        await core.queue.enqueue([spec(queue="other") for _ in range(17)])
        await core.enqueue()
    assert await core.queue.catalogue.purge("default", [TaskState.READY]) == 5
    assert await core.queue.catalogue.purge("other", [TaskState.READY]) == 85
    assert await core.count("task") == 0


async def test_a_purge_leaves_the_tasks_that_came_after_it_began(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "PURGE_SCAN", 10)
    await core.queue.enqueue([spec() for _ in range(50)])
    purging = asyncio.create_task(core.queue.catalogue.purge("default", [TaskState.READY]))
    await eventually_async(lambda: few_left(core, 45))
    late = await core.enqueue()
    assert await purging == 50
    assert await core.state(late) is TaskState.READY


async def few_left(core: Core, tasks: int) -> bool:
    return await core.count("task") <= tasks


# -- figures ---------------------------------------------------------------------------------------


async def test_the_figures_of_an_empty_node_are_empty(core: Core) -> None:
    stats = await core.queue.stats()
    assert (stats.totals, stats.queues, stats.workers, stats.since_start) == ({}, [], {}, {})
    assert stats.database["file"] > 0


async def test_the_figures_add_up_over_the_queues(core: Core) -> None:
    await core.queue.enqueue([spec(queue="a"), spec(queue="b"), spec(queue="b")])
    task = await core.claim_one("b")
    stats = await core.queue.stats()
    assert stats.totals == {"ready": 2, "running": 1}
    assert {info.queue: info.counts for info in stats.queues} == {
        "a": {"ready": 1},
        "b": {"ready": 1, "running": 1},
    }
    await core.complete(task)
    assert (await core.queue.stats()).since_start == {"enqueued": 3, "claimed": 1, "succeeded": 1}


async def test_the_tallies_agree_with_the_tasks_after_every_kind_of_move(core: Core) -> None:
    await core.queue.enqueue([spec(lease_ms=1000, priority=n % 3) for n in range(20)])
    for task in await core.claim(max=6):
        await core.complete(task)
    await core.claim(max=5)
    await core.sweep_after(2)
    for task in await core.claim(max=4):
        await core.queue.cancel(task.id)
    await core.sweep_after(2)
    await core.queue.catalogue.purge("default", [TaskState.CANCELLED])
    assert not await core.drift()
    totals = (await core.queue.stats()).totals
    assert sum(totals.values()) == await core.count("task") == 16


async def test_the_size_of_the_database_counts_its_free_pages(core: Core) -> None:
    await core.queue.enqueue([spec(payload=b'"' + b"x" * 20_000 + b'"') for _ in range(50)])
    await core.queue.catalogue.purge("default", [TaskState.READY])
    database = (await core.queue.stats()).database
    assert 500_000 < database["free"] <= database["file"]


async def test_empty_queues_make_room_for_new_ones_unless_they_are_paused(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", queues_max=3) as core:
        await core.queue.enqueue([spec(queue=name) for name in ("empty", "full", "paused")])
        await core.queue.catalogue.pause("paused")
        for name in ("empty", "paused"):
            await core.queue.catalogue.purge(name, [TaskState.READY])
        await core.enqueue(queue="new")
        assert [info.queue for info in await core.queue.catalogue.all()] == ["full", "new", "paused"]
        with pytest.raises(QueueFull):
            await core.enqueue(queue="empty")
        assert not await core.drift()


async def test_a_queue_that_fills_in_the_same_group_is_not_taken_for_empty(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", queues_max=2) as core:
        await core.queue.enqueue([spec(queue="a"), spec(queue="b")])
        for name in ("a", "b"):
            await core.queue.catalogue.purge(name, [TaskState.READY])
        await core.queue.enqueue([spec(queue="a"), spec(queue="c")])
        assert [info.queue for info in await core.queue.catalogue.all()] == ["a", "c"]
        assert not await core.drift()
