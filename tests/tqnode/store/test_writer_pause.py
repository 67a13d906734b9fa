"""What a pause of the writer keeps waiting, how it ends, and what a writer says that takes nothing more."""

import asyncio
import sys
import traceback
from pathlib import Path

import pytest

from tests.tqnode.nodes import Core, HeldWriter, adds, open_core, settle
from tests.waiting import eventually_async
from tqnode.errors import Draining, NoLeader, OutcomeUnknown
from tqnode.replication.quorum_gate import QuorumGate


async def names(core: Core) -> list[str]:
    return [row[0] for row in await core.rows("SELECT name FROM queue ORDER BY name")]


async def test_a_pause_returns_when_the_group_at_hand_is_committed_and_later_ones_wait(core: Core) -> None:
    held = HeldWriter(core.store)
    held.begin()
    pausing = asyncio.create_task(core.store.pause())
    await settle()
    later = core.store.submit(adds("later"))
    assert not pausing.done()
    await held.end()
    await pausing
    await settle()
    assert core.store.held
    assert not later.done()
    assert await names(core) == []
    core.store.go_on()
    assert await later == "later"
    assert not core.store.held


async def test_a_pause_that_is_given_up_while_a_group_runs_leaves_no_thread_behind(core: Core) -> None:
    held = HeldWriter(core.store)
    held.begin()
    pausing = asyncio.create_task(core.store.pause())
    await eventually_async(lambda: waiters() > 0)
    pausing.cancel()
    core.store.go_on()
    await settle()
    await held.end()
    # Nothing else wakes it: no write comes.
    await eventually_async(lambda: waiters() == 0)
    assert await core.store.write(adds("after")) == "after"


async def test_a_store_closes_though_a_pause_was_given_up_while_a_group_ran(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db") as core:
        held = HeldWriter(core.store)
        held.begin()
        pausing = asyncio.create_task(core.store.pause())
        await eventually_async(lambda: waiters() > 0)
        pausing.cancel()
        closing = asyncio.create_task(core.store.close())
        await settle()
        await held.end()
        async with asyncio.timeout(30):
            await closing


def waiters() -> int:
    """Threads that wait for the writer to rest."""
    # The only way to see another thread's frames, for all that its name says.
    stacks = map(traceback.extract_stack, sys._current_frames().values())
    return sum(any(entry.name == "_await_rest" for entry in stack) for stack in stacks)


async def test_what_waits_for_cancelled_operations_does_not_keep_a_pause_waiting(core: Core) -> None:
    held = HeldWriter(core.store)
    held.begin()
    cancelled = [core.store.submit(adds(f"q{number}")) for number in range(600)]
    pausing = asyncio.create_task(core.store.pause())
    await settle()
    for one in cancelled:
        one.cancel()
    await held.end()
    async with asyncio.timeout(30):
        await pausing
    core.store.go_on()
    assert await core.store.write(adds("after")) == "after"
    assert await names(core) == ["after"]


async def test_writes_can_be_given_up_while_the_writer_takes_them(tmp_path: Path) -> None:
    for round_ in range(20):
        async with open_core(tmp_path / f"{round_}.db") as core:
            writes = [core.store.submit(adds(f"q{number}")) for number in range(200)]
            others = [core.store.submit(adds(f"b{number}"), background=True) for number in range(200)]
            await settle(round_)
            core.store.abandon(NoLeader("it is over"))
            outcomes = await asyncio.gather(*writes, *others, return_exceptions=True)
            assert all(isinstance(one, str | NoLeader) for one in outcomes), outcomes


async def test_the_one_refusal_of_many_does_not_grow(core: Core) -> None:
    error = NoLeader("it is over")
    core.store.abandon(error)
    for _ in range(100):
        with pytest.raises(NoLeader):
            core.store.submit(adds("never"))
    assert len(traceback.extract_tb(error.__traceback__)) < 10


async def test_a_read_that_comes_after_the_end_is_told_why_there_is_no_queue(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db") as core:
        core.store.abandon(NoLeader("it is over"))
        await core.store.close()
        with pytest.raises(NoLeader):
            await names(core)
    async with open_core(tmp_path / "tq.db") as core:
        await core.store.close()
        with pytest.raises(Draining):
            await names(core)


async def test_a_read_that_saw_what_nobody_will_answer_is_sent_elsewhere_and_its_write_is_unknown(
    tmp_path: Path,
) -> None:
    clocks: list[float] = []
    async with open_core(tmp_path / "other.db") as other:
        gate = QuorumGate(lambda: None, clock=other.clock, on_answer=clocks.append)
        async with open_core(tmp_path / "tq.db", gate=gate) as core:
            write = core.store.submit(adds("q"))
            await eventually_async(lambda: gate.uncovered == 1)
            read = asyncio.create_task(names(core))
            await settle()
            assert not read.done()
            gate.refuse(lambda: OutcomeUnknown("who knows"), elsewhere=lambda: NoLeader("it is over"))
            with pytest.raises(OutcomeUnknown):
                await write
            with pytest.raises(NoLeader):
                await read
