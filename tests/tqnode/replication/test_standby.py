"""A standby's database: up to what is committed, and no further, whatever comes in between."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import pytest

from tests.tqnode.replication.litestream_bench import write_entries
from tests.tqnode.replication.node_db_folder import flip, log_files, opened
from tests.waiting import eventually_async
from tqnode.clock import SystemClock
from tqnode.replication.disk_errors import DiskFailed
from tqnode.replication.effects import Row
from tqnode.replication.entry import NOTHING, Head, Position
from tqnode.replication.node_db import NodeDb, NoEntry
from tqnode.replication.standby import AHEAD, Standby


@dataclass
class Bench:
    """A standby on real files, and what it told."""

    node_db: NodeDb
    standby: Standby
    database: Path
    applied: list[Position] = field(default_factory=list)
    damaged: list[Position] = field(default_factory=list)

    async def store(self, term: int, contents: list[bytes], *, first: int = 1, prev: bytes = b"") -> bytes:
        """Stores entries; returns the last one's hash."""
        for txid, content in enumerate(contents, first):
            digest = hashlib.sha256(content).digest()
            await self.node_db.store([(Head(term, txid, digest, prev, len(content)), content)])
            prev = digest
        return prev

    def numbers(self) -> list[int]:
        connection = apsw.Connection(str(self.database), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return [row[0] for row in connection.execute("SELECT n FROM t ORDER BY n")]
        finally:
            connection.close()


@contextlib.asynccontextmanager
async def standing_by(folder: Path, *, applied: Position = NOTHING) -> AsyncIterator[Bench]:
    async with opened(folder) as node_db:
        await node_db.save_row(Row(9, "b"), fresh=False)
        standby = Standby(
            folder / "tq.db",
            node_db=node_db,
            applied=applied,
            clock=SystemClock(),
            on_applied=lambda position: bench.applied.append(position),
            on_damaged=lambda position: bench.damaged.append(position),
        )
        bench = Bench(node_db, standby, folder / "tq.db")
        running = asyncio.create_task(standby.run())
        try:
            yield bench
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def entries(folder: Path, *numbers: int) -> list[bytes]:
    """A snapshot with the first number, then an entry for each of the others."""

    def first(connection: apsw.Connection) -> None:
        connection.execute("CREATE TABLE t (n INTEGER)")
        connection.execute("INSERT INTO t VALUES (?)", (numbers[0],))

    others = [
        lambda connection, n=number: connection.execute("INSERT INTO t VALUES (?)", (n,))
        for number in numbers[1:]
    ]
    return [content for group in write_entries(folder, first, *others) for content in group]


async def test_what_is_committed_is_applied_and_noted_and_nothing_beyond_it(tmp_path: Path) -> None:
    contents = entries(tmp_path / "leader", 1, 2, 3)
    async with standing_by(tmp_path) as bench:
        await bench.store(3, contents)
        bench.standby.reach(Position(3, 2))
        await eventually_async(lambda: bench.applied[-1:] == [Position(3, 2)])
        assert bench.numbers() == [1, 2]
        assert (await bench.node_db.kept()).applied == Position(3, 2)
        bench.standby.reach(Position(3, 3))
        await eventually_async(lambda: bench.applied[-1:] == [Position(3, 3)])
        assert bench.numbers() == [1, 2, 3]


async def test_a_newer_terms_snapshot_takes_the_old_databases_place(tmp_path: Path) -> None:
    old, new = entries(tmp_path / "old", 1, 2), entries(tmp_path / "new", 7, 8)
    async with standing_by(tmp_path) as bench:
        await bench.store(3, old)
        bench.standby.reach(Position(3, 2))
        await eventually_async(lambda: bench.standby.applied == Position(3, 2))
        await bench.store(4, new)
        bench.standby.reach(Position(4, 2))
        await eventually_async(lambda: bench.standby.applied == Position(4, 2))
        assert bench.numbers() == [7, 8]


async def test_before_it_leads_a_node_applies_the_uncommitted_tail_too_and_notes_that_it_is_ahead(
    tmp_path: Path,
) -> None:
    contents = entries(tmp_path / "leader", 1, 2, 3)
    async with standing_by(tmp_path) as bench:
        await bench.store(3, contents)
        bench.standby.reach(Position(3, 1))
        await bench.standby.halt()
        await bench.standby.take_all(Position(3, 3), 5)
        assert bench.numbers() == [1, 2, 3]
        assert (await bench.node_db.kept()).applied == Position(5, AHEAD)


async def test_a_node_that_led_goes_on_from_its_own_database_when_it_leads_again(tmp_path: Path) -> None:
    contents = entries(tmp_path / "leader", 1, 2)
    async with standing_by(tmp_path, applied=Position(5, AHEAD)) as bench:
        bench.database.write_bytes(b"what it wrote while it led")
        await bench.store(5, contents)
        await bench.standby.halt()
        await bench.standby.take_all(Position(5, 2), 7)
        assert bench.database.read_bytes() == b"what it wrote while it led"
        assert bench.standby.applied == Position(7, AHEAD)


async def test_a_log_that_begins_too_late_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    contents = entries(tmp_path / "leader", 1, 2, 3)
    async with standing_by(tmp_path) as bench:
        await bench.store(3, contents)
        await bench.node_db.trim(Position(3, 3))
        with pytest.raises(NoEntry):
            await bench.standby.take_all(Position(3, 3), 4)
        assert not bench.database.exists()


async def test_nothing_is_applied_while_others_have_the_file(tmp_path: Path) -> None:
    contents = entries(tmp_path / "leader", 1, 2)
    async with standing_by(tmp_path) as bench:
        await bench.standby.halt()
        await bench.store(3, contents)
        bench.standby.reach(Position(3, 2))
        await bench.node_db.kept()
        assert not bench.database.exists()
        bench.standby.go_on()
        await eventually_async(lambda: bench.standby.applied == Position(3, 2))


async def test_a_damaged_entry_is_told_and_applied_once_it_is_mended(tmp_path: Path) -> None:
    contents = entries(tmp_path / "leader", 1, 2)
    async with opened(tmp_path) as node_db:
        await node_db.save_row(Row(9, "b"), fresh=False)
        await Bench(node_db, None, tmp_path / "tq.db").store(3, contents)  # type: ignore[arg-type]  # stores only
    flip(tmp_path / "node.db", contents[1][-40:], 20)
    async with standing_by(tmp_path) as bench:
        bench.standby.reach(Position(3, 2))
        await eventually_async(lambda: Position(3, 2) in bench.damaged)
        assert bench.standby.applied < Position(3, 2)
        before = hashlib.sha256(contents[0]).digest()
        head = Head(3, 2, hashlib.sha256(contents[1]).digest(), before, len(contents[1]))
        await bench.node_db.store([(head, contents[1])])
        await eventually_async(lambda: bench.standby.applied == Position(3, 2))
        assert bench.numbers() == [1, 2]


async def test_a_large_entry_whose_file_is_gone_is_damaged_and_no_failure_of_the_disk(tmp_path: Path) -> None:
    def large(connection: apsw.Connection) -> None:
        connection.execute("CREATE TABLE t (n INTEGER, b BLOB)")
        connection.execute("INSERT INTO t VALUES (1, randomblob(2000000))")

    ((content,),) = write_entries(tmp_path / "leader", large)
    async with standing_by(tmp_path) as bench:
        await bench.store(3, [content])
        (file,) = log_files(tmp_path)
        (tmp_path / "log" / file).rename(tmp_path / "elsewhere")
        bench.standby.reach(Position(3, 1))
        await eventually_async(lambda: bench.damaged[:1] == [Position(3, 1)])
        (tmp_path / "elsewhere").rename(tmp_path / "log" / file)  # as when a peer has mended it
        await eventually_async(lambda: bench.applied == [Position(3, 1)])
        assert bench.numbers() == [1]


async def test_a_database_that_somebody_else_changed_ends_the_node_and_is_said_to(tmp_path: Path) -> None:
    contents = entries(tmp_path / "leader", 1, 2, 3)
    async with opened(tmp_path) as node_db:
        await node_db.save_row(Row(9, "b"), fresh=False)
        standby = Standby(
            tmp_path / "tq.db",
            node_db=node_db,
            applied=NOTHING,
            clock=SystemClock(),
            on_applied=lambda _position: None,
            on_damaged=lambda _position: None,
        )
        bench = Bench(node_db, standby, tmp_path / "tq.db")
        await bench.store(3, contents)
        await standby.take_all(Position(3, 2), 4)
        standby.applied = Position(3, 2)
        connection = apsw.Connection(str(tmp_path / "tq.db"))
        connection.execute("INSERT INTO t VALUES (77)")
        with pytest.raises(DiskFailed, match="not what the log made of it"):
            await standby.take_all(Position(3, 3), 4)
        connection.close()
        (tmp_path / "tq.db").unlink()
        with pytest.raises(DiskFailed, match="comes back as one with an empty disk"):
            await standby.take_all(Position(3, 3), 4)
