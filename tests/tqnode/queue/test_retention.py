"""How long queues keep what has ended."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.tqnode.nodes import Core, FakeClock, open_core
from tqnode.queue.retention import BEHIND_MS, Retention
from tqnode.store import Tx
from tqnode.task import TaskState


async def ended(core: Core, *queues: str) -> None:
    for queue in queues:
        await core.complete(await core.running(queue=queue))


async def left(core: Core) -> list[str]:
    return [queue for (queue,) in await core.rows("SELECT queue FROM task ORDER BY queue")]


@pytest.fixture
async def keeping_60s(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Core]:
    async with open_core(tmp_path / "tq.db", clock=clock, keep_succeeded_s=60) as core:
        yield core


async def test_queues_keep_their_tasks_for_shorter_longer_or_ever(keeping_60s: Core) -> None:
    core = keeping_60s
    for queue, kept_s in (("short", 5), ("long", 120), ("ever", -1)):
        await core.queue.catalogue.configure(queue, {"keep_succeeded_s": kept_s})
    await ended(core, "short", "long", "ever", "plain")
    await core.sweep_after(5)
    assert await left(core) == ["ever", "long", "plain", "short"]
    await core.sweep_after(1.1)
    assert await left(core) == ["ever", "long", "plain"]
    await core.sweep_after(55)
    assert await left(core) == ["ever", "long"]
    await core.sweep_after(61)
    assert await left(core) == ["ever"]
    assert not await core.drift()


async def test_a_rule_that_is_given_back_is_the_nodes_again(keeping_60s: Core) -> None:
    core = keeping_60s
    await core.queue.catalogue.configure("q", {"keep_succeeded_s": -1})
    await ended(core, "q", "plain")
    await core.sweep_after(70)
    assert await left(core) == ["q"]
    await core.queue.catalogue.configure("q", {"keep_succeeded_s": None})
    await core.sweep_after(1)
    assert await left(core) == []


async def test_a_rule_that_comes_later_is_held_to_what_has_ended_before(keeping_60s: Core) -> None:
    core = keeping_60s
    await core.queue.catalogue.configure("other", {"keep_succeeded_s": 30})
    await ended(core, "q", "other")
    await core.sweep_after(10)
    await core.queue.catalogue.configure("q", {"keep_succeeded_s": 1})
    await core.sweep_after(1)
    assert await left(core) == ["other"]


async def test_rows_that_are_kept_are_looked_at_once(keeping_60s: Core) -> None:
    core = keeping_60s
    await core.queue.catalogue.configure("ever", {"keep_succeeded_s": -1})
    await ended(core, *["ever"] * 20)
    core.clock.advance(100)
    retention = Retention(TaskState.SUCCEEDED, kept_s=60)
    looked = []
    for _ in range(4):
        looked.append(await core.store.write(lambda tx: retention.work(tx, 15)))
        retention.settle()
    assert looked == [15, 5, 0, 0]


async def test_a_look_that_came_to_nothing_is_taken_again(keeping_60s: Core) -> None:
    core = keeping_60s
    await core.queue.catalogue.configure("short", {"keep_succeeded_s": 0})
    await ended(core, "short")
    core.clock.advance(BEHIND_MS / 1000 + 0.001)
    retention = Retention(TaskState.SUCCEEDED, kept_s=60)

    def fails(tx: Tx) -> None:
        assert retention.work(tx, 10) == 1
        raise RuntimeError("so")

    with pytest.raises(RuntimeError):
        await core.store.write(fails)
    assert await left(core) == ["short"]
    assert await core.store.write(lambda tx: retention.work(tx, 10)) == 1
    assert await left(core) == []


async def test_tasks_that_end_after_the_clock_was_set_back_are_found(keeping_60s: Core) -> None:
    core = keeping_60s
    await core.queue.catalogue.configure("short", {"keep_succeeded_s": 5})
    await ended(core, "short")
    await core.sweep_after(10)
    core.clock.step(-3600)
    await ended(core, "short")
    await core.sweep_after(10)
    assert await left(core) == []


async def test_only_the_states_that_a_queue_speaks_of_have_its_rule(keeping_60s: Core) -> None:
    core = keeping_60s
    await core.queue.catalogue.configure("q", {"keep_dead_s": 1})
    await ended(core, "q")
    await core.sweep_after(10)
    assert await left(core) == ["q"]
