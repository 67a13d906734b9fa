import asyncio
import os
from pathlib import Path

import apsw
import pytest

from tests.tqnode.nodes import complete
from tests.tqnode.replication.log_bench import LogBench, running_log
from tqnode.clock import SystemClock
from tqnode.replication.drill import Drill, drill
from tqnode.replication.sync_client import Synced, SyncError
from tqnode.replication.verified import FILE, Verified, read_verified, write_verified


async def drilled(bench: LogBench, tmp_path: Path) -> Drill:
    return await drill(
        bench.archive, bench.folder / "tq.db", sync=bench.archived, scratch=tmp_path, clock=SystemClock()
    )


async def test_a_quiet_queue_is_found_whole_in_the_archive(tmp_path: Path) -> None:
    async with running_log(tmp_path / "node") as bench:
        for number in range(20):
            await bench.core.enqueue(tags=("a", "b"), priority=number)
        await bench.core.complete(await bench.core.claim_one())
        found = await drilled(bench, tmp_path)
    assert found.ok
    assert found.counts == {"ready": 19, "succeeded": 1}
    # Tasks, bodies, one note, two tags each, the queue.
    assert found.compared >= 20 * 4 + 1
    assert found.moving == 0
    assert os.listdir(tmp_path) == ["node"]


async def test_a_busy_queue_is_compared_while_it_goes_on(tmp_path: Path) -> None:
    async with running_log(tmp_path / "node") as bench:
        for _ in range(200):
            await bench.core.enqueue()
        stop = asyncio.Event()

        async def live() -> None:
            while not stop.is_set():
                await bench.core.enqueue()
                await bench.core.finish(complete(await bench.core.claim_one(), result=b"1"))

        living = asyncio.create_task(live())
        found = await drilled(bench, tmp_path)
        stop.set()
        await living
    assert found.differences == []
    assert found.moving > 0
    assert found.compared > 0


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        ("UPDATE task SET priority = 7 WHERE seq = 3", "row 3 of task is another"),
        ("DELETE FROM task_body WHERE seq = 2", "row 2 of task_body is missing"),
        ("INSERT INTO task_tag VALUES ('zz', 1)", None),
        ("UPDATE tally SET tasks = tasks + 1", "tally of 'default', ready: 6"),
        ("INSERT INTO task_tag VALUES ('x', 99)", None),
    ],
)
async def test_what_differs_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str, told: str | None
) -> None:
    from tqnode.replication import drill as module

    async with running_log(tmp_path / "node") as bench:
        for _ in range(5):
            await bench.core.enqueue()
        really = module.restore

        async def harmed(*args: object, **options: object) -> object:
            restored = await really(*args, **options)  # type: ignore[arg-type]  # handed on as it came
            connection = apsw.Connection(str(restored.path))
            connection.execute(harm)
            connection.close()
            return restored

        monkeypatch.setattr(module, "restore", harmed)
        found = await drilled(bench, tmp_path)
    if told is None:
        # A row that is in neither reading may have come and gone between them.
        assert found.ok
    else:
        assert [line for line in found.differences if line.startswith(told)] != []


async def test_an_archive_that_lacks_the_last_transactions_is_told(tmp_path: Path) -> None:
    async with running_log(tmp_path / "node") as bench:
        await bench.core.enqueue()
        synced = await bench.archived()

        async def claims_more() -> Synced:
            return Synced(synced.txid + 5, synced.replicated_txid + 5)

        found = await drill(
            bench.archive, bench.folder / "tq.db", sync=claims_more, scratch=tmp_path, clock=SystemClock()
        )
    assert not found.ok
    assert "was restored, the archive has" in found.differences[0]


async def test_an_archive_that_gets_nothing_is_an_error_and_leaves_nothing_open(tmp_path: Path) -> None:
    async with running_log(tmp_path / "node") as bench:

        async def broken() -> Synced:
            raise SyncError("no")

        with pytest.raises(SyncError):
            await drill(
                bench.archive, bench.folder / "tq.db", sync=broken, scratch=tmp_path, clock=SystemClock()
            )
        assert os.listdir(tmp_path) == ["node"]


def test_the_last_result_keeps_when_all_was_well_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert read_verified(tmp_path) is None
    write_verified(tmp_path, Verified(1_000, True, "fine", 0.5))
    write_verified(tmp_path, Verified(2_000, False, "lost", 0.5))
    assert read_verified(tmp_path) == Verified(2_000, False, "lost", 0.5, 1_000)
    write_verified(tmp_path, Verified(3_000, True, "fine", 0.5))
    assert read_verified(tmp_path) == Verified(3_000, True, "fine", 0.5, 3_000)
    (tmp_path / FILE).write_text("{")
    assert read_verified(tmp_path) is None
    assert "cannot be read" in caplog.text
    assert os.listdir(tmp_path) == [FILE]
