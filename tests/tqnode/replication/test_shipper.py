"""From a leader's commits to entries: in order, each group covered by what has it; or the term ends."""

import asyncio
import contextlib
import hashlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import apsw
import pytest

from tests.tqnode.replication.litestream_bench import Litestream, following, open_database
from tests.tqnode.replication.node_db_folder import log_files, opened
from tests.waiting import eventually_async
from tqnode.clock import SystemClock
from tqnode.errors import TqnodeError
from tqnode.replication import shipper as shipping
from tqnode.replication.entry import Head, Position
from tqnode.replication.entry_files import Staged
from tqnode.replication.node_db import NodeDb
from tqnode.replication.quorum_gate import QuorumGate
from tqnode.replication.shipper import Content, LogBroken, Shipper
from tqnode.replication.sync_client import SyncClient

PATIENCE_S = 2.0


@dataclass
class Ship:
    """A shipper over a real Litestream, and what it handed on."""

    connection: apsw.Connection
    litestream: Litestream
    node_db: NodeDb
    gate: QuorumGate
    shipper: Shipper
    meta: Path
    entries: list[tuple[Head, Content]] = field(default_factory=list)
    answers: list[TqnodeError | None] = field(default_factory=list)

    def write(self, count: int = 1, *, blob: int = 100) -> None:
        """Commits something, and holds its answer as the writer does."""
        for _ in range(count):
            self.connection.execute("INSERT INTO t VALUES (randomblob(?))", (blob,))
            self.gate.hold(self.answers.append)


@contextlib.contextmanager
def database(folder: Path) -> Iterator[apsw.Connection]:
    folder.mkdir()
    connection = open_database(folder / "tq.db")
    try:
        connection.execute("CREATE TABLE t (b BLOB)")
        yield connection
    finally:
        connection.close()


@contextlib.asynccontextmanager
async def ship(folder: Path) -> AsyncIterator[Ship]:
    clock = SystemClock()
    path = folder / "queue" / "tq.db"
    async with contextlib.AsyncExitStack() as stack:
        connection = stack.enter_context(database(folder / "queue"))
        litestream = stack.enter_context(following(folder / "litestream", path))
        node_db = await stack.enter_async_context(opened(folder))
        gate = QuorumGate(lambda: None, clock=clock, on_answer=lambda _seconds: None)
        client = SyncClient(litestream._socket, clock=clock)
        stack.callback(client.close)
        meta = folder / "litestream" / "meta"
        shipper = Shipper(
            4,
            meta=meta,
            sync=lambda within_s: client.sync(path, archived=False, within_s=within_s),
            node_db=node_db,
            gate=gate,
            produced=lambda entries: one.entries.extend(entries),
            patience_s=PATIENCE_S,
            clock=clock,
        )
        one = Ship(connection, litestream, node_db, gate, shipper, meta)
        yield one


@contextlib.asynccontextmanager
async def running(one: Ship) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(one.shipper.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_commits_become_entries_in_order_and_each_group_is_covered_by_its_entry(tmp_path: Path) -> None:
    async with ship(tmp_path) as one, running(one):
        one.write(3)
        await one.shipper.drained()
        one.write()
        await one.shipper.drained()
        heads = [head for head, _ in one.entries]
        assert [head.position for head in heads] == [Position(4, n + 1) for n in range(len(heads))]
        assert heads[0].prev_sha256 == b""
        assert all(after.prev_sha256 == head.sha256 for head, after in pairwise(heads))
        for head, content in one.entries:
            assert isinstance(content, bytes)
            assert (hashlib.sha256(content).digest(), len(content)) == (head.sha256, head.size)
        assert one.answers == []
        one.gate.committed(heads[-1].txid)
        assert one.answers == [None] * 4


async def test_a_snapshot_of_more_than_a_megabyte_stays_a_file(tmp_path: Path) -> None:
    async with ship(tmp_path) as one:
        one.write(blob=2_000_000)
        async with running(one):
            await one.shipper.drained()
        head, content = one.entries[0]
        assert isinstance(content, Staged)
        path = tmp_path / "log" / content.name
        assert hashlib.sha256(path.read_bytes()).digest() == head.sha256
        assert path.stat().st_size == head.size


async def test_what_nobody_waits_for_is_found_all_the_same(tmp_path: Path) -> None:
    async with ship(tmp_path) as one, running(one):
        one.connection.execute("INSERT INTO t VALUES (1)")
        await eventually_async(lambda: one.entries, within_s=30)


async def test_a_litestream_that_hangs_ends_the_term(tmp_path: Path) -> None:
    async with ship(tmp_path) as one, running(one) as task:
        one.write()
        await one.shipper.drained()
        os.kill(one.litestream._process.pid, signal.SIGSTOP)
        try:
            one.write()
            async with asyncio.timeout(10 * PATIENCE_S):
                with pytest.raises(LogBroken, match="does not write the log"):
                    await task
        finally:
            os.kill(one.litestream._process.pid, signal.SIGCONT)
        assert one.gate.uncovered == 1


async def test_a_first_entry_may_take_as_long_as_it_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "FIRST_S", PATIENCE_S)
    async with ship(tmp_path) as one:
        growing = one.meta / "ltx" / "0" / "unfinished.tmp"
        growing.parent.mkdir(parents=True, exist_ok=True)
        os.kill(one.litestream._process.pid, signal.SIGSTOP)
        clock = SystemClock()
        try:
            async with running(one) as task:
                began = clock.monotonic()
                while clock.monotonic() < began + 3 * PATIENCE_S:
                    with growing.open("ab") as stream:
                        stream.write(bytes(1000))
                    await clock.sleep(0.1)
                    assert not task.done()
                with pytest.raises(LogBroken):
                    await task
        finally:
            os.kill(one.litestream._process.pid, signal.SIGCONT)


async def test_an_entry_that_is_damaged_or_gone_ends_the_term_and_leaves_no_file(
    tmp_path: Path,
) -> None:
    async with ship(tmp_path) as one:
        one.write(blob=2_000_000)
        async with running(one):
            await one.shipper.drained()
        before = log_files(tmp_path)
        for _ in range(3):
            one.write(blob=2_000_000)
            one.litestream.sync()
        folder = one.meta / "ltx" / "0"
        last = max(int(file.name[:16], 16) for file in folder.glob("*.ltx"))
        damaged = folder / f"{last - 1:016x}-{last - 1:016x}.ltx"
        damaged.write_bytes(b"not what an entry begins with")
        with pytest.raises(LogBroken, match="can't be gone on with"):
            await one.shipper.run()
        assert log_files(tmp_path) == before
        damaged.unlink()
        with pytest.raises(LogBroken, match="no entry"):
            await one.shipper.run()


async def test_a_shipper_that_is_ended_while_it_takes_a_large_file_over_leaves_none(tmp_path: Path) -> None:
    async with ship(tmp_path) as one:
        one.write(blob=3_000_000)
        one.litestream.sync()
        file = next((one.meta / "ltx" / "0").glob("*.ltx"))
        for _ in range(20):
            staging = asyncio.create_task(one.node_db.stage(Position(4, 1), file))
            await asyncio.sleep(0)
            staging.cancel()
            with pytest.raises(asyncio.CancelledError):
                await staging
        assert log_files(tmp_path) == []
