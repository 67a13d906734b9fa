import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from tests.tqnode.nodes import open_core, spec
from tests.tqnode.store.failing_disk import FailingDisk, failing_disk
from tests.waiting import eventually, eventually_async
from tqnode.store.checkpoints import PAGES, Checkpoints
from tqnode.store.connection import open_writer

PAGE = 4096


@pytest.fixture
def disk() -> Iterator[FailingDisk]:
    with failing_disk() as disk:
        yield disk


def fill(writer: apsw.Connection, pages: int) -> None:
    with writer:
        writer.executemany("INSERT INTO t VALUES (zeroblob(?))", [(PAGE,)] * pages)


def opened(path: Path) -> apsw.Connection:
    writer = open_writer(path)
    writer.execute("CREATE TABLE t (a)")
    return writer


def unmoved(writer: apsw.Connection) -> int:
    """Pages that are in the log alone."""
    logged, moved = writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
    return logged - moved


async def test_what_is_committed_goes_into_the_file_while_the_node_runs(tmp_path: Path) -> None:
    path = tmp_path / "tq.db"
    async with open_core(path) as core:
        for _ in range(4):
            await core.queue.enqueue([spec(payload=b"0" * PAGE) for _ in range(PAGES)])
        await eventually_async(lambda: path.stat().st_size > 3 * PAGES * PAGE)
        assert (tmp_path / "tq.db-wal").exists()


def test_a_short_log_is_left_alone(tmp_path: Path, disk: FailingDisk) -> None:
    writer = opened(tmp_path / "t.db")
    fatal: list[BaseException] = []
    mover = Checkpoints(tmp_path / "t.db", on_fatal=fatal.append)
    fill(writer, PAGES // 2)
    before = unmoved(writer)
    mover.note()
    mover.close()
    assert unmoved(writer) == before > 0
    assert not fatal
    writer.close()


def test_a_failed_sync_of_the_file_ends_the_process(tmp_path: Path, disk: FailingDisk) -> None:
    writer = opened(tmp_path / "t.db")
    fatal: list[BaseException] = []
    mover = Checkpoints(tmp_path / "t.db", on_fatal=fatal.append)
    fill(writer, 2 * PAGES)
    disk.syncs_fail = True
    mover.note()
    eventually(lambda: fatal)
    assert isinstance(fatal[0], apsw.IOError)
    disk.syncs_fail = False
    mover.close()
    writer.close()


def test_a_full_disk_ends_nothing_and_the_log_is_moved_once_there_is_room(
    tmp_path: Path, disk: FailingDisk, caplog: pytest.LogCaptureFixture
) -> None:
    writer = opened(tmp_path / "t.db")
    fatal: list[BaseException] = []
    mover = Checkpoints(tmp_path / "t.db", on_fatal=fatal.append)
    fill(writer, 2 * PAGES)
    disk.full = True
    mover.note()
    eventually(lambda: "can't be moved" in caplog.text)
    assert unmoved(writer) > 2 * PAGES
    disk.full = False
    mover.note()
    eventually(lambda: unmoved(writer) == 0)
    mover.close()
    assert not fatal
    writer.close()


def test_a_log_that_somebody_else_is_moving_is_no_failure_of_the_disk(
    tmp_path: Path, disk: FailingDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = opened(tmp_path / "t.db")
    fatal: list[BaseException] = []
    mover = Checkpoints(tmp_path / "t.db", on_fatal=fatal.append)
    fill(writer, 2 * PAGES)
    syncing, going = threading.Event(), threading.Event()

    def sync() -> None:
        syncing.set()
        assert going.wait(60), "nobody let the disk go on"

    monkeypatch.setattr(disk, "sync", sync)
    other = threading.Thread(target=writer.wal_checkpoint, kwargs={"mode": apsw.SQLITE_CHECKPOINT_PASSIVE})
    other.start()
    assert syncing.wait(60)
    mover.note()
    # It has looked again since it found the other at it.
    busy = mover._busy
    eventually(lambda: mover._busy > busy + 1)
    going.set()
    other.join()
    eventually(lambda: unmoved(writer) == 0)
    mover.close()
    assert not fatal
    writer.close()
