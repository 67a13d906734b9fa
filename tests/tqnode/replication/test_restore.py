import os
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.tqnode.nodes import Core, complete
from tests.tqnode.replication.log_bench import LogBench, archive_at, running_log
from tests.waiting import eventually_async
from tqnode.clock import SystemClock
from tqnode.replication.archive_url import ArchiveError
from tqnode.replication.drill import COMPARED, NOT_COMPARED
from tqnode.replication.restore import OutsideWindow, Unsound, inspect, restore, window_of

TABLES = ("task", "task_body", "task_note", "task_tag", "queue", "tally")
Dump = dict[str, list[tuple[Any, ...]]]


async def dump_of(core: Core) -> Dump:
    return {table: sorted(await core.rows(f"SELECT * FROM {table}")) for table in TABLES}


def dump_in(path: Path) -> Dump:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return {table: sorted(connection.execute(f"SELECT * FROM {table}")) for table in TABLES}
    finally:
        connection.close()


def left(folder: Path, begins: str) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(begins)]


def last_of(path: Path) -> int:
    """The last transaction that a level of the archive has."""
    return max((int(file.stem.partition("-")[2], 16) for file in path.glob("*.ltx")), default=0)


async def settled(bench: LogBench) -> int:
    """Has everything in the archive, at the grain at which moments are told apart later; the moment now."""
    synced = await bench.archived()
    level = bench.folder / "archive" / str(bench.term) / "ltx" / "1"
    await eventually_async(lambda: last_of(level) >= synced.txid, within_s=60)
    return SystemClock().now_ms()


async def work(core: Core, round_number: int) -> None:
    """Something of everything: tasks made, claimed, completed, cancelled."""
    for number in range(5):
        await core.enqueue(priority=number, payload=b"%d" % round_number, tags=("a", f"b{number}"))
    task = await core.claim_one()
    await core.finish(complete(task, result=b"1"))
    await core.claim_one()
    await core.queue.cancel(await core.enqueue())


async def test_each_moment_is_restored_exactly_as_it_was_over_several_terms(tmp_path: Path) -> None:
    moments: dict[int, Dump] = {}
    began_ms = SystemClock().now_ms()
    number = 0
    for _ in range(2):
        async with running_log(tmp_path / "node") as bench:
            for _ in range(3):
                number += 1
                await work(bench.core, number)
                dump = await dump_of(bench.core)
                moments[await settled(bench)] = dump
    archive = archive_at(tmp_path / "node")
    for at_ms, dump in moments.items():
        restored = await restore(archive, tmp_path / f"{at_ms}.db", at_ms=at_ms)
        assert dump_in(restored.path) == dump
        assert sum(restored.counts.values()) == len(dump["task"])
    latest = await restore(archive, tmp_path / "latest.db", at_ms=None)
    assert (latest.term, dump_in(latest.path)) == (2, dump)
    window = await window_of(archive, await archive.terms())
    assert window is not None
    assert began_ms - 1000 <= window.from_ms <= min(moments)
    assert max(moments) - 60_000 <= window.to_ms <= max(moments)
    with pytest.raises(OutsideWindow) as caught:
        await restore(archive, tmp_path / "early.db", at_ms=began_ms - 5_000)
    assert caught.value.window == window
    assert left(tmp_path, "early") == []


async def test_nothing_is_ever_written_over(tmp_path: Path) -> None:
    async with running_log(tmp_path / "node") as bench:
        await bench.core.enqueue()
        await bench.archived()
        for name in ("tq.db", "tq.db-wal"):
            folder = tmp_path / name
            folder.mkdir()
            (folder / name).write_text("mine")
            with pytest.raises(ArchiveError, match="is there already"):
                await restore(bench.archive, folder / "tq.db", at_ms=None)
            assert [file.read_text() for file in folder.iterdir()] == ["mine"]


async def test_an_empty_archive_is_told(tmp_path: Path) -> None:
    archive = archive_at(tmp_path)
    for at_ms in (None, 1_700_000_000_000):
        with pytest.raises(OutsideWindow, match="the archive is empty") as caught:
            await restore(archive, tmp_path / "tq.db", at_ms=at_ms)
        assert caught.value.window is None


async def test_a_term_of_which_nothing_arrived_is_no_moment_and_no_obstacle(tmp_path: Path) -> None:
    async with running_log(tmp_path / "node") as bench:
        await bench.core.enqueue()
        before_ms = await settled(bench)
    async with running_log(tmp_path / "node") as bench:
        await bench.core.enqueue()
        after_ms = await settled(bench)
    archive = archive_at(tmp_path / "node")
    (tmp_path / "node" / "archive" / "2").rename(tmp_path / "gone")
    assert (await restore(archive, tmp_path / "latest.db", at_ms=None)).counts == {"ready": 1}
    assert (await restore(archive, tmp_path / "before.db", at_ms=before_ms)).counts == {"ready": 1}
    with pytest.raises(OutsideWindow, match="nothing of term 2"):
        await restore(archive, tmp_path / "after.db", at_ms=after_ms)


async def test_a_moment_before_what_a_term_still_has_is_not_answered_with_an_older_term(
    tmp_path: Path,
) -> None:
    async with running_log(tmp_path / "node") as bench:
        await bench.core.enqueue()
        await settled(bench)
    async with running_log(tmp_path / "node") as bench:
        await bench.core.enqueue()
        await bench.archived()
    archive = archive_at(tmp_path / "node")
    listed = (await archive.terms())[-1].started_at_ms
    # As if the term had begun long ago, and retention had taken its beginning.
    for file in (tmp_path / "node" / "archive" / "2" / "ltx").rglob("*.ltx"):
        os.utime(file, (listed / 1000 + 3600, listed / 1000 + 3600))
    with pytest.raises(OutsideWindow, match="does not reach back"):
        await restore(archive, tmp_path / "between.db", at_ms=listed + 60_000)
    # In its first seconds, before its first entry, the state was the last one of the term before.
    assert (await restore(archive, tmp_path / "start.db", at_ms=listed + 1)).term == 1


async def test_files_that_are_missing_in_the_archive_are_noticed(tmp_path: Path) -> None:
    async with running_log(tmp_path / "node") as bench:
        for _ in range(3):
            await bench.core.enqueue()
            await settled(bench)
    archive = archive_at(tmp_path / "node")
    levels = tmp_path / "node" / "archive" / "1" / "ltx"
    for level in ("0", "2", "3", "4"):
        for file in (levels / level).iterdir():
            file.unlink()
    copies = sorted((levels / "9").iterdir())
    held = last_of(levels / "9")
    after = [file for file in sorted((levels / "1").iterdir()) if int(file.name[:16], 16) > held]
    assert copies
    assert len(after) >= 2
    after[0].unlink()
    with pytest.raises(ArchiveError):
        await restore(archive, tmp_path / "tq.db", at_ms=None)
    with pytest.raises(Unsound, match="files are missing"):
        await restore(archive, tmp_path / "tq.db", at_ms=SystemClock().now_ms())
    assert left(tmp_path, "tq.db") == []


async def test_a_damaged_archive_gives_nothing(tmp_path: Path) -> None:
    async with running_log(tmp_path / "node") as bench:
        await bench.core.enqueue(payload=b'"' + b"x" * 100_000 + b'"')
        await bench.archived()
    for file in (tmp_path / "node" / "archive" / "1" / "ltx").rglob("*.ltx"):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    with pytest.raises(ArchiveError):
        await restore(archive_at(tmp_path / "node"), tmp_path / "tq.db", at_ms=None)
    assert left(tmp_path, "tq.db") == []


def test_a_damaged_database_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "tq.db").write_bytes(b"no database" * 1000)
    with pytest.raises(Unsound, match="is damaged"):
        inspect(tmp_path / "tq.db")
    connection = apsw.Connection(str(tmp_path / "other.db"))
    connection.execute("CREATE TABLE task (state, x); CREATE INDEX i ON task (x)")
    connection.executemany("INSERT INTO task VALUES ('ready', ?)", [(number,) for number in range(2000)])
    connection.close()
    content = bytearray((tmp_path / "other.db").read_bytes())
    content[3 * 4096 + 200 : 3 * 4096 + 300] = bytes(100)
    (tmp_path / "other.db").write_bytes(content)
    with pytest.raises(Unsound, match="is damaged"):
        inspect(tmp_path / "other.db")


async def test_every_table_is_compared_by_the_drill(tmp_path: Path) -> None:
    async with running_log(tmp_path / "node") as bench:
        tables = await bench.core.rows(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        )
    ours = {name for (name,) in tables if not name.startswith("_litestream")}
    assert ours == COMPARED | NOT_COMPARED
