"""A standby's database is, byte for byte, what Litestream restores; no crash and no fault spoils it."""

import errno
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tqnode.replication import crashing_apply
from tests.tqnode.replication.litestream_bench import following, open_database
from tests.tqnode.replication.ltx_files import craft, header
from tests.tqnode.replication.workload import Write, create, perform, rows, writes
from tqnode.replication.ltx import LtxError, LtxFile
from tqnode.replication.pages import HELD_BYTES_MAX, DivergedFile, apply

WAL_PAGES = 20  # so few that Litestream checkpoints amid the workload
LOCK_PGNO = 0x4000_0000 // 65536 + 1
EXAMPLES = settings().max_examples


def files(entries: Sequence[bytes]) -> list[LtxFile]:
    return [LtxFile(io.BytesIO(entry)) for entry in entries]


@settings(max_examples=EXAMPLES // 4)  # each starts a Litestream
@given(
    page_size=st.sampled_from([512, 1024, 4096, 8192, 65536]),
    auto_vacuum=st.sampled_from(["none", "incremental", "full"]),
    steps=st.lists(st.tuples(st.lists(writes, max_size=4), st.booleans()), min_size=1, max_size=8),
)
@pytest.mark.timeout(600)
def test_applied_entries_give_what_litestream_restores(
    page_size: int, auto_vacuum: str, steps: list[tuple[list[Write], bool]]
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        standby = folder / "standby.db"
        connection = open_database(folder / "tq.db", page_size=page_size, auto_vacuum=auto_vacuum)
        create(connection)
        waiting: list[bytes] = []
        with following(folder / "litestream", folder / "tq.db", checkpoint_pages=WAL_PAGES) as litestream:
            for number, (group, applied) in enumerate([*steps, ([], True)]):
                for write in group:
                    perform(connection, write)
                waiting += litestream.entries()
                if not (applied and waiting):
                    continue
                last = apply(standby, files(waiting))
                waiting.clear()
                assert last is not None
                restored = folder / f"restored-{number}.db"
                assert standby.read_bytes() == litestream.restore(restored, txid=last.max_txid)
        connection.close()
        assert rows(folder / "tq.db") == rows(standby)


@dataclass(frozen=True)
class History:
    """Entries by Litestream, and what the database was after each."""

    entries: list[bytes]
    states: list[bytes]

    @property
    def snapshot(self) -> bytes:
        return self.entries[0]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """A database that grows and shrinks, now and then."""
    folder = tmp_path_factory.mktemp("history")
    connection = open_database(folder / "tq.db", page_size=512, auto_vacuum="incremental")
    create(connection)
    steps: list[Write] = [
        ("insert", 40, 300),
        ("delete", 2, 0),
        ("shrink", 99, 0),
        ("update", 3, 1),
        ("insert", 60, 200),
        ("index", 0, 0),
        ("delete", 1, 0),
        ("vacuum", 0, 0),
        ("insert", 20, 900),
    ]
    with following(folder / "litestream", folder / "tq.db") as litestream:
        entries = litestream.entries()
        for step in steps:
            perform(connection, step)
            entries += litestream.entries()
        states = [litestream.restore(folder / f"{txid}.db", txid=txid) for txid in range(1, len(entries) + 1)]
    connection.close()
    lengths = [len(state) for state in states]
    assert sorted(lengths) != lengths, "it must shrink too"
    return History(entries, states)


@settings(max_examples=300)
@given(drawn=st.data())
def test_whatever_a_crash_left_applying_again_gives_the_same(history: History, drawn: st.DataObject) -> None:
    first = drawn.draw(st.integers(0, len(history.entries) - 2))
    last = drawn.draw(st.integers(first + 1, len(history.entries) - 1))
    states = history.states[first : last + 1]
    # The disk may have kept any of the writes, in any order, and some of them in part.
    length = drawn.draw(st.integers(min(map(len, states)), max(map(len, states))))
    random = drawn.draw(st.randoms(use_true_random=True))
    sectors = [random.choice(states)[at : at + 256].ljust(256, b"\0") for at in range(0, length, 256)]
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "tq.db"
        database.write_bytes(b"".join(sectors)[:length])
        apply(database, files(history.entries[first + 1 : last + 1]))
        assert database.read_bytes() == history.states[last]


def test_applying_entries_twice_changes_nothing(history: History, tmp_path: Path) -> None:
    database = tmp_path / "tq.db"
    for _ in range(2):
        apply(database, files(history.entries))
        assert database.read_bytes() == history.states[-1]
    apply(database, files(history.entries[-1:]))
    assert database.read_bytes() == history.states[-1]
    assert os.listdir(tmp_path) == ["tq.db"]


def crashes(folder: Path, entry: bytes) -> list[dict[str, dict[str, str]]]:
    file = folder.parent / "entry.ltx"
    file.write_bytes(entry)
    command = [sys.executable, crashing_apply.__file__, str(folder), str(file)]
    # A tracer of its own must not meet that of a measured run.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, env=environ)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_crash_at_any_line_leaves_the_old_database_or_the_new(history: History, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    old, new = b"the old database" * 99, history.states[0].hex()
    (folder / "tq.db").write_bytes(old)
    (folder / "tq.db-wal").write_bytes(b"the old database's commits")
    (folder / "tq.db-shm").write_bytes(b"their index")
    found = crashes(folder, history.snapshot)
    assert len(found) > 40, "fewer lines than the module has"
    left = [each["left"]["tq.db"] for each in found]
    assert set(left) == {old.hex(), new}
    assert left == sorted(left, key=[old.hex(), new].index), "once new, it stays"
    for each in found:
        assert each["again"] == {"tq.db": new}
        if each["left"]["tq.db"] == new:
            assert each["left"] == {"tq.db": new}, "SQLite would apply an old log to it"


def test_a_change_a_crash_cut_short_is_made_whole_by_the_next_attempt(
    history: History, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "tq.db").write_bytes(history.states[0])
    found = crashes(folder, history.entries[1])
    assert len(found) > 40, "fewer lines than the module has"
    assert len({each["left"]["tq.db"] for each in found}) > 2, "none was cut amid its writes"
    assert all(each["again"] == {"tq.db": history.states[1].hex()} for each in found)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The kernel writes no file beyond that: the write that would is cut short, the next one fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_snapshot_the_disk_cannot_take_leaves_nothing_behind(history: History, tmp_path: Path) -> None:
    database = tmp_path / "tq.db"
    database.write_bytes(b"old")
    with largest_file(len(history.states[0]) - 700), pytest.raises(OSError, match="File too large"):
        apply(database, files([history.snapshot]))
    assert database.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["tq.db"]


def test_a_write_the_system_cuts_short_goes_on_where_it_stopped(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_some(descriptor: int, content: memoryview, offset: int) -> int:
        return write(descriptor, content[:700], offset)

    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", write_some)
    apply(tmp_path / "tq.db", files(history.entries))
    assert (tmp_path / "tq.db").read_bytes() == history.states[-1]


def test_a_change_the_disk_cannot_take_fails_and_is_made_later(history: History, tmp_path: Path) -> None:
    database = tmp_path / "tq.db"
    apply(database, files([history.snapshot]))
    assert len(history.states[1]) > len(history.states[0])
    with largest_file(len(history.states[0]) + 700), pytest.raises(OSError, match="File too large"):
        apply(database, files(history.entries[1:3]))
    apply(database, files(history.entries[1:3]))
    assert database.read_bytes() == history.states[2]


@pytest.mark.parametrize("which", [0, 1], ids=["snapshot", "change"])
def test_a_failed_sync_is_told(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    database = tmp_path / "tq.db"
    database.write_bytes(history.states[0])

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, f"descriptor {descriptor} could not be synced")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="could not be synced"):
        apply(database, files(history.entries[which : which + 1]))
    assert os.listdir(tmp_path) == ["tq.db"]


def test_a_snapshot_that_is_not_on_disk_does_not_take_the_old_ones_place(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "tq.db"
    database.write_bytes(b"old")
    synced = []

    def note(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        synced.append((path.name, database.read_bytes() == b"old", sorted(os.listdir(tmp_path))))
        sync(descriptor)

    sync = os.fsync
    monkeypatch.setattr(os, "fsync", note)
    (tmp_path / "tq.db-wal").write_bytes(b"old")
    apply(database, files([history.snapshot]))
    assert synced == [
        ("tq.db.new", True, ["tq.db", "tq.db-wal", "tq.db.new"]),
        (tmp_path.name, True, ["tq.db", "tq.db.new"]),
        (tmp_path.name, False, ["tq.db"]),
    ]


def leave_as_leader(database: Path) -> None:
    """What a leader leaves behind: commits in the write-ahead log that no checkpoint has moved."""
    connection = open_database(database)
    connection.execute("CREATE TABLE IF NOT EXISTS mine (text); INSERT INTO mine VALUES ('only here')")
    connection.close()
    assert database.with_name("tq.db-wal").stat().st_size > 0


def test_a_snapshot_replaces_what_a_leader_left_behind(history: History, tmp_path: Path) -> None:
    database = tmp_path / "tq.db"
    leave_as_leader(database)
    apply(database, files(history.entries[:2]))
    assert database.read_bytes() == history.states[1]
    assert os.listdir(tmp_path) == ["tq.db"]
    assert len(rows(database)) == 60


def test_a_change_is_refused_where_sqlite_has_written(history: History, tmp_path: Path) -> None:
    database = tmp_path / "tq.db"
    apply(database, files([history.snapshot]))
    leave_as_leader(database)
    before = database.read_bytes()
    with pytest.raises(DivergedFile, match=r"tq\.db-wal has commits"):
        apply(database, files(history.entries[1:2]))
    assert database.read_bytes() == before


def test_an_empty_write_ahead_log_does_not_stand_in_the_way(history: History, tmp_path: Path) -> None:
    database = tmp_path / "tq.db"
    apply(database, files([history.snapshot]))
    (tmp_path / "tq.db-wal").touch()  # of a reader that was killed
    apply(database, files(history.entries[1:2]))
    assert database.read_bytes() == history.states[1]


def test_a_change_needs_a_database_of_its_page_size(history: History, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        apply(tmp_path / "tq.db", files(history.entries[1:2]))
    for base in (b"", bytes(4096), history.states[0][:16] + b"\x10\x00" + history.states[0][18:]):
        (tmp_path / "tq.db").write_bytes(base)
        with pytest.raises(DivergedFile, match="pages of 512 bytes"):
            apply(tmp_path / "tq.db", files(history.entries[1:2]))
        assert (tmp_path / "tq.db").read_bytes() == base


def test_a_gap_between_entries_is_refused(history: History, tmp_path: Path) -> None:
    with pytest.raises(LtxError, match="txid 3 does not follow 1"):
        apply(tmp_path / "tq.db", files([history.entries[0], history.entries[2]]))


def test_a_damaged_entry_changes_nothing(history: History, tmp_path: Path) -> None:
    database = tmp_path / "tq.db"
    apply(database, files([history.snapshot]))
    for entry in history.entries[:2]:
        for damaged in (entry[:-1], entry[:-5] + b"\0" + entry[-4:]):
            with pytest.raises(LtxError):
                apply(database, files([damaged]))
            assert database.read_bytes() == history.states[0]
            assert os.listdir(tmp_path) == ["tq.db"]


def test_a_change_too_large_to_hold_is_verified_before_it_is_applied(tmp_path: Path) -> None:
    connection = open_database(tmp_path / "live.db")
    create(connection)
    database = tmp_path / "tq.db"
    with following(tmp_path / "litestream", tmp_path / "live.db") as litestream:
        apply(database, files(litestream.entries()))
        connection.execute("INSERT INTO t (text) VALUES (zeroblob(?))", (2 * HELD_BYTES_MAX,))
        change = litestream.entries()
        before = database.read_bytes()
        with pytest.raises(LtxError, match="CRC"):
            apply(database, files([change[0][:-1] + bytes([change[0][-1] ^ 1])]))
        assert database.read_bytes() == before
        apply(database, files(change))
        assert database.read_bytes() == litestream.restore(tmp_path / "restored.db", txid=1 + len(change))
    connection.close()


@pytest.mark.parametrize("commit_pages", [LOCK_PGNO, LOCK_PGNO + 1])
def test_pages_around_the_lock_page_go_where_they_belong(tmp_path: Path, commit_pages: int) -> None:
    database = tmp_path / "tq.db"
    page = b"page".ljust(65536, b"\1")
    apply(database, files([craft(header(page_size=65536, commit_pages=1), [(1, sqlite_page())])]))
    head = header(page_size=65536, commit_pages=commit_pages, min_txid=2, max_txid=2)
    last = [(commit_pages, page)] if commit_pages > LOCK_PGNO else []
    apply(database, files([craft(head, [(LOCK_PGNO - 1, page), *last])]))
    assert database.stat().st_size == commit_pages * 65536
    with database.open("rb") as file:
        file.seek((LOCK_PGNO - 2) * 65536)
        assert file.read(65536) == page
        assert file.read(65536) == bytes(65536)
        assert file.read() == page * len(last)


def sqlite_page() -> bytes:
    """The start of a database with pages of 65536 bytes."""
    return (b"SQLite format 3\0" + b"\0\1").ljust(65536, b"\0")


def test_without_files_nothing_is_done(tmp_path: Path) -> None:
    assert apply(tmp_path / "tq.db", []) is None
    assert os.listdir(tmp_path) == []


def test_the_database_is_for_its_owner_alone(history: History, tmp_path: Path) -> None:
    apply(tmp_path / "tq.db", files([history.snapshot]))
    assert (tmp_path / "tq.db").stat().st_mode & 0o777 == 0o600
