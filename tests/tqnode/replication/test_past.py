import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.tqnode.nodes import START_MS, FakeClock, open_core
from tests.tqnode.replication.log_bench import LogBench, running_log
from tests.tqnode.replication.test_restore import settled
from tests.waiting import eventually_async
from tqnode.clock import SystemClock
from tqnode.errors import ArchiveUnavailable, InvalidField, NotFound, Overloaded
from tqnode.queue.listing import Filters
from tqnode.queue.past import PastQueue
from tqnode.replication import past as module
from tqnode.replication.past import PastStates
from tqnode.replication.sync_client import SyncError
from tqnode.store.readers import Readers


@asynccontextmanager
async def past_of(bench: LogBench, **limits: int) -> AsyncIterator[PastStates]:
    usual = {"kept_max": 2, "bytes_max": 1 << 40}
    states = PastStates(
        bench.archive, bench.folder / "past", refresh=bench.archived, clock=SystemClock(), **usual | limits
    )
    try:
        yield states
    finally:
        await states.close()


async def ready_at(states: PastStates, at_ms: int) -> int:
    async with states.at(at_ms) as readers:
        return (await PastQueue(readers.read, at_ms=at_ms).stats()).totals.get("ready", 0)


async def moments_of(bench: LogBench, count: int) -> list[int]:
    """One moment after each enqueued task."""
    moments = []
    for _ in range(count):
        await bench.core.enqueue()
        moments.append(await settled(bench))
    return moments


def kept(bench: LogBench) -> list[int]:
    return sorted(
        int(name.partition(".")[0]) for name in os.listdir(bench.folder / "past") if name.endswith(".db")
    )


async def test_a_state_is_restored_once_and_those_asked_for_longest_ago_go(tmp_path: Path) -> None:
    async with running_log(tmp_path / "node") as bench, past_of(bench) as states:
        one, two, three = await moments_of(bench, 3)
        assert [await ready_at(states, at_ms) for at_ms in (one, two, one, three)] == [1, 2, 1, 3]
        assert kept(bench) == [one, three]
        await states.close()
        assert kept(bench) == []


async def test_a_state_that_is_being_read_is_kept_until_it_is_not(tmp_path: Path) -> None:
    async with running_log(tmp_path / "node") as bench, past_of(bench, kept_max=1) as states:
        one, two = await moments_of(bench, 2)
        async with states.at(one) as readers:
            assert await ready_at(states, two) == 2
            assert kept(bench) == [one, two]
            queue = PastQueue(readers.read, at_ms=one)
            (task,) = (await queue.page(Filters(), limit=9, cursor=None, bodies=True)).tasks
            assert (await queue.get(task.id)) == task
            with pytest.raises(NotFound):
                await queue.get("00000000-0000-7000-8000-000000000000")
        await ready_at(states, two)
        assert kept(bench) == [two]


async def test_states_take_no_more_room_together_than_allowed(tmp_path: Path) -> None:
    async with running_log(tmp_path / "node") as bench, past_of(bench, kept_max=9, bytes_max=1) as states:
        one, two = await moments_of(bench, 2)
        assert [await ready_at(states, at_ms) for at_ms in (one, two)] == [1, 2]
        assert kept(bench) == [two]


async def test_many_who_ask_for_one_state_share_it_and_too_many_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restores = 0
    really = module.restore
    go_on = asyncio.Event()

    async def counted(*args: object, **options: object) -> object:
        nonlocal restores
        restores += 1
        await go_on.wait()
        return await really(*args, **options)  # type: ignore[arg-type]  # handed on as it came

    monkeypatch.setattr(module, "restore", counted)
    async with running_log(tmp_path / "node") as bench, past_of(bench) as states:
        (one,) = await moments_of(bench, 1)
        asking = [asyncio.create_task(ready_at(states, one)) for _ in range(module.WAITING_MAX)]
        await eventually_async(lambda: restores == 1)
        with pytest.raises(Overloaded):
            await ready_at(states, one)
        go_on.set()
        assert await asyncio.gather(*asking) == [1] * module.WAITING_MAX
        assert restores == 1


async def test_what_the_archive_cannot_give_is_told(tmp_path: Path) -> None:
    async with running_log(tmp_path / "node") as bench, past_of(bench) as states:
        (one,) = await moments_of(bench, 1)
        with pytest.raises(InvalidField, match=r"it has 20.* to 20") as caught:
            await ready_at(states, one - 86_400_000)
        assert caught.value.code == "outside_archive"
        with pytest.raises(InvalidField, match="must be a moment in the past"):
            await ready_at(states, one + 86_400_000)
        for file in (bench.folder / "archive" / "1" / "ltx").rglob("*.ltx"):
            written = file.stat().st_mtime
            file.write_bytes(b"damaged")
            os.utime(file, (written, written))
        with pytest.raises(ArchiveUnavailable):
            await ready_at(states, one)
        assert kept(bench) == []


async def test_a_moment_that_may_not_be_archived_yet_waits_for_the_archive(tmp_path: Path) -> None:
    async with running_log(tmp_path / "node") as bench:
        (one,) = await moments_of(bench, 1)

        async def unreachable() -> None:
            raise SyncError("litestream does not run")

        states = PastStates(
            bench.archive,
            bench.folder / "past",
            refresh=unreachable,
            clock=SystemClock(),
            kept_max=1,
            bytes_max=1,
        )
        with pytest.raises(ArchiveUnavailable, match="does not run"):
            await ready_at(states, one)
        await states.close()


async def test_ages_are_those_of_the_moment(tmp_path: Path) -> None:
    clock = FakeClock()
    async with open_core(tmp_path / "tq.db", clock=clock) as core:
        await core.enqueue()
    readers = Readers(tmp_path / "tq.db", threads=1)
    figures = await PastQueue(readers.read, at_ms=START_MS + 5_000).stats()
    await readers.close()
    assert figures.queues[0].oldest_ready_age_ms == 5_000
    assert figures.since_start == {}
