import asyncio
from pathlib import Path

import apsw
import pytest

from tests.tqnode.nodes import Core, add_queue, open_core, spec
from tqnode.errors import NotFound
from tqnode.sql import migrations
from tqnode.store import Reader, Tx
from tqnode.store.connection import open_reader, open_writer
from tqnode.store.migrations import SchemaTooNew, migrate
from tqnode.store.tx import Row
from tqnode.task import TaskState

WAL, FULL, INCREMENTAL = "wal", 2, 2


async def pragma(core: Core, name: str) -> object:
    def operation(tx: Tx) -> Row | None:
        return tx.one(f"PRAGMA {name}")

    row = await core.store.write(operation)
    assert row is not None
    return row[0]


async def test_the_writer_really_has_the_settings_that_durability_rests_on(core: Core) -> None:
    assert await pragma(core, "journal_mode") == WAL
    assert await pragma(core, "synchronous") == FULL
    assert await pragma(core, "auto_vacuum") == INCREMENTAL
    assert await pragma(core, "busy_timeout") == 5000


async def test_a_file_that_is_opened_again_keeps_giving_back_its_pages(tmp_path: Path) -> None:
    for _ in range(2):
        async with open_core(tmp_path / "tq.db") as core:
            assert await pragma(core, "auto_vacuum") == INCREMENTAL
            assert await pragma(core, "synchronous") == FULL


async def test_a_read_cannot_write(core: Core) -> None:
    def write(reader: Reader) -> list[Row]:
        return reader.all("DELETE FROM task")

    await core.enqueue()
    with pytest.raises(apsw.ReadOnlyError):
        await core.store.read(write)
    assert await core.count("task") == 1


async def test_a_reader_s_connection_can_be_talked_into_nothing(tmp_path: Path) -> None:
    path = tmp_path / "tq.db"
    writer = open_writer(path)
    migrate(writer)
    reader = open_reader(path)
    reader.execute("PRAGMA query_only = OFF")
    with pytest.raises(apsw.ReadOnlyError):
        reader.execute("DELETE FROM task")
    reader.close()
    writer.close()


async def test_a_read_sees_one_snapshot_while_others_write(core: Core) -> None:
    await core.enqueue()
    loop = asyncio.get_running_loop()

    def count_twice(reader: Reader) -> list[int]:
        counts = []
        for _ in range(2):
            (count,) = reader.one("SELECT count(*) FROM task") or (None,)
            counts.append(count)
            asyncio.run_coroutine_threadsafe(core.enqueue(), loop).result(10)
        return counts

    assert await core.store.read(count_twice) == [1, 1]
    assert await core.count("task") == 3


async def test_a_read_that_fails_leaves_its_connection_usable(core: Core) -> None:
    def fail(_reader: Reader) -> None:
        raise LookupError("not there")

    for _ in range(10):
        with pytest.raises(LookupError):
            await core.store.read(fail)
    assert await core.count("task") == 0


async def test_a_read_sees_what_was_acknowledged_before_it(core: Core) -> None:
    for n in range(20):
        await core.enqueue()
        assert await core.count("task") == n + 1


async def test_reads_and_writes_go_on_side_by_side(core: Core) -> None:
    async def read_a_lot() -> None:
        for _ in range(20):
            await core.queue.stats()

    await asyncio.gather(*[core.enqueue() for _ in range(100)], *[read_a_lot() for _ in range(5)])
    assert await core.count("task") == 100


async def test_what_was_acknowledged_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "tq.db"
    async with open_core(path) as core:
        made = await core.queue.enqueue([spec(priority=n) for n in range(10)])
    async with open_core(path) as reopened:
        for answer in made:
            assert await reopened.state(answer.id) is TaskState.READY
        assert not await reopened.drift()


# -- migrations --------------------------------------------------------------------------------


def schema(path: Path) -> list[Row]:
    connection = open_writer(path)
    found = connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()
    connection.close()
    return found


def version(path: Path) -> int:
    connection = open_writer(path)
    (found,) = connection.execute("PRAGMA user_version").fetchone() or (None,)
    connection.close()
    assert isinstance(found, int)
    return found


def test_a_fresh_file_gets_the_newest_schema(tmp_path: Path) -> None:
    connection = open_writer(tmp_path / "tq.db")
    migrate(connection)
    connection.close()
    assert version(tmp_path / "tq.db") == migrations()[-1][0]
    assert {"task", "task_body", "tally", "worker"} <= {name for name, _ in schema(tmp_path / "tq.db")}


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "tq.db"
    for _ in range(2):
        connection = open_writer(path)
        migrate(connection)
        add_a_queue_if_none(connection)
        connection.close()
    first = schema(path)
    connection = open_writer(path)
    migrate(connection)
    assert connection.execute("SELECT count(*) FROM queue").fetchall() == [(1,)]
    connection.close()
    assert schema(path) == first


def add_a_queue_if_none(connection: apsw.Connection) -> None:
    connection.execute("INSERT OR IGNORE INTO queue (name, created_at_ms) VALUES ('q', 0)")


async def test_a_file_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "tq.db"
    connection = open_writer(path)
    connection.execute("CREATE TABLE future (answer); PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(SchemaTooNew, match=r"schema 99, this version knows \d+"):
        async with open_core(path):
            raise AssertionError("the newer file was opened")
    assert [name for name, _ in schema(path)] == ["future"]
    assert version(path) == 99


def test_a_migration_that_fails_leaves_the_schema_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tq.db"
    connection = open_writer(path)
    migrate(connection)
    last = migrations()[-1][0]
    steps = [
        *migrations(),
        (last + 1, "CREATE TABLE good (a);"),
        (last + 2, "CREATE TABLE half (a); CREATE TABLE half (a);"),
    ]
    monkeypatch.setattr("tqnode.store.migrations.migrations", lambda _of: steps)
    with pytest.raises(apsw.SQLError, match="already exists"):
        migrate(connection)
    connection.close()
    names = {name for name, _ in schema(path)}
    assert "good" in names
    assert "half" not in names
    assert version(path) == last + 1


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tq.db"
    path.write_bytes(b"something else entirely " * 1000)
    with pytest.raises(apsw.NotADBError):
        async with open_core(path):
            raise AssertionError("it was opened")
    assert path.read_bytes().startswith(b"something else")


async def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(apsw.CantOpenError):
        async with open_core(tmp_path / "nowhere" / "tq.db"):
            raise AssertionError("it was opened")


async def test_a_part_of_an_operation_that_is_refused_leaves_the_rest(core: Core) -> None:
    def operation(tx: Tx) -> str:
        add_queue(tx, "kept")

        def part() -> None:
            add_queue(tx, "dropped")
            tx.effects.resumed.append("dropped")
            raise NotFound("queue", "x")

        try:
            tx.atomically(part)
        except NotFound as error:
            assert not tx.effects.resumed
            return error.code
        return ""

    assert await core.store.write(operation) == "queue_not_found"
    assert await core.rows("SELECT name FROM queue") == [("kept",)]
