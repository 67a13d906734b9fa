"""What the writer does when the disk is full, or fails."""

import asyncio
from pathlib import Path

import apsw
import pytest

from tests.tqnode.nodes import Core, HeldWriter, adds, open_core
from tests.tqnode.store.failing_disk import failing_disk
from tests.waiting import eventually_async
from tqnode.errors import DiskFull, OutcomeUnknown
from tqnode.task import TaskState


async def fill(core: Core) -> None:
    """Allows the file no more pages than it has."""
    await core.store.write(lambda tx: tx.one("PRAGMA max_page_count = 1"))


async def make_room(core: Core) -> None:
    await core.store.write(lambda tx: tx.one("PRAGMA max_page_count = 1000000"))


async def test_a_full_disk_refuses_the_whole_group_and_leaves_nothing_of_it(core: Core) -> None:
    kept = await core.enqueue()
    await fill(core)
    async with HeldWriter(core.store):
        small = asyncio.create_task(core.enqueue())
        large = asyncio.create_task(core.enqueue(payload=b'"' + b"x" * 1_000_000 + b'"'))
    for write in (small, large):
        with pytest.raises(DiskFull) as refusal:
            await write
        assert refusal.value.retry_after_s == 5
    assert await core.rows("SELECT count(*), sum(tasks) FROM task, tally") == [(1, 1)]
    assert await core.state(kept) is TaskState.READY


async def test_a_store_whose_disk_was_full_goes_on_once_there_is_space(core: Core) -> None:
    await fill(core)
    with pytest.raises(DiskFull):
        await core.enqueue(payload=b'"' + b"x" * 1_000_000 + b'"')
    await make_room(core)
    task_id = await core.enqueue(payload=b'"' + b"x" * 1_000_000 + b'"')
    assert await core.state(task_id) is TaskState.READY
    assert not core.fatal


async def test_a_full_disk_still_lets_tasks_be_read(core: Core) -> None:
    task_id = await core.enqueue()
    await fill(core)
    with pytest.raises(DiskFull):
        await core.enqueue(payload=b'"' + b"x" * 1_000_000 + b'"')
    assert await core.state(task_id) is TaskState.READY
    assert (await core.queue.stats()).totals == {"ready": 1}


async def test_space_that_runs_out_in_the_commit_is_a_full_disk_too(tmp_path: Path) -> None:
    with failing_disk() as disk:
        async with open_core(tmp_path / "tq.db") as core:
            kept = await core.enqueue()
            disk.full = True
            with pytest.raises(DiskFull):
                await core.enqueue()
            disk.full = False
            again = await core.enqueue()
            assert [row[0] for row in await core.rows("SELECT state FROM task")] == ["ready", "ready"]
            assert await core.state(kept) is await core.state(again)
            assert not core.fatal
            assert not await core.drift()


async def test_every_commit_is_synced_before_it_is_answered(tmp_path: Path) -> None:
    with failing_disk() as disk:
        async with open_core(tmp_path / "tq.db") as core:
            for _ in range(5):
                before = disk.syncs
                await core.enqueue()
                assert disk.syncs > before


async def test_a_failed_sync_leaves_the_outcome_unknown_and_ends_the_node(tmp_path: Path) -> None:
    with failing_disk() as disk:
        async with open_core(tmp_path / "tq.db") as core:
            await core.enqueue()
            disk.syncs_fail = True
            async with HeldWriter(core.store):
                writes = [core.store.submit(adds(f"q{n}")) for n in range(2)]
            for write in writes:
                with pytest.raises(OutcomeUnknown):
                    await write
            await eventually_async(lambda: core.fatal)
            assert isinstance(core.fatal[0], apsw.IOError)
            disk.syncs_fail = False


async def test_after_a_failed_sync_no_later_write_is_acknowledged(tmp_path: Path) -> None:
    with failing_disk() as disk:
        async with open_core(tmp_path / "tq.db") as core:
            disk.syncs_fail = True
            with pytest.raises(OutcomeUnknown):
                await core.enqueue()
            disk.syncs_fail = False
            await eventually_async(lambda: core.fatal)
            later = core.store.submit(adds("later"))
            done, _ = await asyncio.wait([later], timeout=0.2)
            assert not done or isinstance(later.exception(), OutcomeUnknown)


async def test_an_error_of_the_disk_within_an_operation_is_fatal_as_well(core: Core) -> None:
    def reads_a_bad_block(_tx: object) -> None:
        raise apsw.IOError("a bad block")

    with pytest.raises(OutcomeUnknown):
        await core.store.write(reads_a_bad_block)
    await eventually_async(lambda: core.fatal)
    core.fatal.clear()
