"""Real files are read whole; whatever else is refused, with its reason."""

import hashlib
import io
import itertools
import mmap
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tqnode.replication.litestream_bench import write_entries
from tests.tqnode.replication.ltx_files import PAGE_SIZE, craft, filled, header, packed
from tqnode.replication.ltx import Header, LtxError, LtxFile, Source

PAGES = [(1, filled(1)), (2, filled(2))]
LOCK_PGNO = 0x4000_0000 // 65536 + 1


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """A small snapshot and a small change, both by Litestream."""

    def create(connection: apsw.Connection) -> None:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, text)")
        connection.execute("INSERT INTO t VALUES (1, 'one'), (2, hex(randomblob(40)))")

    written = write_entries(
        tmp_path_factory.mktemp("ltx"),
        create,
        lambda connection: connection.execute("INSERT INTO t VALUES (3, hex(randomblob(60)))"),
    )
    return written[0][0], written[1][0]


def opened(data: bytes, *, sha256: bytes | None = None) -> LtxFile:
    return LtxFile(io.BytesIO(data), sha256=sha256)


def content(data: bytes) -> tuple[Header, list[tuple[int, bytes]]]:
    file = opened(data)
    return file.header, list(file.pages())


def refused(data: bytes, *, sha256: bytes | None = None) -> bool:
    try:
        opened(data, sha256=sha256).verify()
    except LtxError as error:
        return str(error) != ""
    return False


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def assert_harmless(changed: bytes, original: bytes) -> None:
    """Refused without knowing its SHA-256, or what it says is what the original says."""
    assert refused(changed) or content(changed) == content(original)


def test_a_snapshot_by_litestream_has_every_page_and_says_what_it_is(entries: tuple[bytes, bytes]) -> None:
    found, pages = content(entries[0])
    assert (found.min_txid, found.max_txid, found.page_size) == (1, 1, 4096)
    assert found.is_snapshot
    assert [pgno for pgno, _ in pages] == list(range(1, found.commit_pages + 1))
    assert pages[0][1].startswith(b"SQLite format 3\0")
    assert found.wal_offset == 32
    assert found.timestamp_ms > 1_700_000_000_000


def test_a_change_by_litestream_has_some_pages_in_order(entries: tuple[bytes, bytes]) -> None:
    found, pages = content(entries[1])
    assert (found.min_txid, found.max_txid) == (2, 2)
    assert not found.is_snapshot
    numbers = [pgno for pgno, _ in pages]
    assert 0 < len(numbers) < found.commit_pages
    assert numbers == sorted(set(numbers))
    assert all(len(page) == found.page_size for _, page in pages)


@pytest.mark.parametrize("which", [0, 1], ids=["snapshot", "change"])
def test_every_flipped_bit_of_a_known_file_is_refused(entries: tuple[bytes, bytes], which: int) -> None:
    data = entries[which]
    sha256 = hashlib.sha256(data).digest()
    assert not refused(data, sha256=sha256)
    assert [bit for bit in range(len(data) * 8) if not refused(flipped(data, bit), sha256=sha256)] == []


@pytest.mark.parametrize("which", [0, 1], ids=["snapshot", "change"])
def test_no_flipped_bit_changes_what_a_file_says(entries: tuple[bytes, bytes], which: int) -> None:
    # Without the SHA-256 a few pass: in a run of equal bytes, LZ4 may copy from one byte back or from three.
    data = entries[which]
    passed = [bit for bit in range(len(data) * 8) if not refused(flipped(data, bit))]
    assert len(passed) < len(data) * 8 / 50
    for bit in passed:
        assert content(flipped(data, bit)) == content(data)


@pytest.mark.parametrize("which", [0, 1], ids=["snapshot", "change"])
def test_every_truncation_is_refused(entries: tuple[bytes, bytes], which: int) -> None:
    data = entries[which]
    assert [length for length in range(len(data)) if not refused(data[:length])] == []


@pytest.mark.parametrize("which", [0, 1], ids=["snapshot", "change"])
def test_every_appended_byte_is_refused(entries: tuple[bytes, bytes], which: int) -> None:
    data = entries[which]
    assert [byte for byte in range(256) if not refused(data + bytes([byte]))] == []
    assert refused(data + data)


@settings(max_examples=500)
@given(drawn=st.data())
def test_no_random_damage_changes_what_a_file_says(
    entries: tuple[bytes, bytes], drawn: st.DataObject
) -> None:
    data = drawn.draw(st.sampled_from(entries))
    start = drawn.draw(st.integers(0, len(data)))
    end = drawn.draw(st.integers(start, min(len(data), start + 64)))
    changed = data[:start] + drawn.draw(st.binary(max_size=64)) + data[end:]
    assert_harmless(changed, data)
    assert (changed == data) != refused(changed, sha256=hashlib.sha256(data).digest())


@given(data=st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    assert refused(data)
    assert refused(header() + data)


def test_a_crafted_file_is_taken_where_nothing_is_wrong_with_it() -> None:
    assert content(craft(header(), PAGES))[1] == PAGES
    grown = craft(header(min_txid=7, max_txid=9, commit_pages=40), [(3, filled(3)), (40, filled(40))])
    assert content(grown)[1] == [(3, filled(3)), (40, filled(40))]
    unplaced = header(min_txid=2, max_txid=2, wal_offset=0, wal_size=0, wal_salts=(0, 0))
    assert content(craft(unplaced, []))[1] == []


BAD_HEADERS: dict[str, bytes] = {
    "first bytes": header(magic=b"LTX2"),
    "flags are 0x0": header(flags=0),
    "flags are 0x3": header(flags=3),
    "0 is not a page size": header(page_size=0),
    "256 is not a page size": header(page_size=256),
    "1000 is not a page size": header(page_size=1000),
    "131072 is not a page size": header(page_size=131072),
    "2147483648 is not a page size": header(page_size=1 << 31),
    "no pages": header(commit_pages=0),
    "txids 0 to 1": header(min_txid=0),
    "txids 3 to 2": header(min_txid=3, max_txid=2),
    "txids 1 to 9223372036854775808": header(max_txid=1 << 63),
    "timestamp is negative": header(timestamp_ms=1 << 63),
    "against its flags": header(pre_apply_checksum=1 << 63),
    "log is negative": header(wal_offset=-1),
    "log is not said": header(wal_offset=0, wal_size=0),
    "reserved bytes": header(reserved=bytes(19) + b"\1"),
}


@pytest.mark.parametrize("reason", BAD_HEADERS)
def test_a_header_litestream_never_writes_is_refused_at_once(reason: str) -> None:
    with pytest.raises(LtxError, match=reason):
        opened(BAD_HEADERS[reason])


CHANGE = header(min_txid=2, max_txid=2, commit_pages=9)
BAD_FILES: dict[str, bytes] = {
    "snapshot ends at page 2 of 3": craft(header(commit_pages=3), PAGES),
    "snapshot ends at page 0 of 2": craft(header(), []),
    "page 2 of the snapshot stands where 1": craft(header(), PAGES[1:]),
    "page 3 of the snapshot stands where 2": craft(header(commit_pages=3), [PAGES[0], (3, filled(3))]),
    "page 3 is beyond the last page, 2": craft(header(), [*PAGES, (3, filled(3))]),
    "page 1 follows page 2": craft(CHANGE, [PAGES[1], PAGES[0]]),
    "page 2 follows page 2": craft(CHANGE, [PAGES[1], PAGES[1]]),
    "page 10 is beyond the last page, 9": craft(CHANGE, [(10, filled(10))]),
    "page 2 has unknown flags 0x0": craft(CHANGE, [PAGES[1]], page_flags=0),
    "page 2 has unknown flags 0x3": craft(CHANGE, [PAGES[1]], page_flags=3),
    "says that it takes 0 bytes": craft(CHANGE, [PAGES[1]], sizes={2: 0}),
    "says that it takes 4294967295 bytes": craft(CHANGE, [PAGES[1]], sizes={2: 0xFFFF_FFFF}),
    "ends too early": craft(CHANGE, [PAGES[1]], sizes={2: PAGE_SIZE}),
    "page 2 has 511 bytes": craft(CHANGE, [(2, bytes(511))]),
    "page 2 is no LZ4 block": craft(CHANGE, [(2, bytes(513))]),
    "page 2 is no LZ4": craft(CHANGE, [(2, filled(2))], blocks={2: packed(filled(2)) + b"\0"}),
    "page index or the trailer": craft(CHANGE, [PAGES[1]], index=b"\2\x65\x1d\0"),
    "index or the trailer": craft(CHANGE, [PAGES[1]], post_apply_checksum=1),
    "CRC does not fit": craft(CHANGE, [PAGES[1]], highest_bit=0)[:-8] + bytes(8),
}


@pytest.mark.parametrize("reason", BAD_FILES)
def test_a_wrong_file_with_a_fitting_checksum_is_refused(reason: str) -> None:
    with pytest.raises(LtxError, match=reason):
        opened(BAD_FILES[reason]).verify()


def test_a_page_index_that_is_right_in_another_spelling_is_refused() -> None:
    good = craft(CHANGE, [PAGES[1]])
    size = len(packed(filled(2))) + 10
    assert bytes([2, 100, size, 0]) in good
    longer = bytes([2, 100 | 128, 0, size, 0])  # a varint may end in a zero that says nothing
    with pytest.raises(LtxError, match="page index"):
        opened(craft(CHANGE, [PAGES[1]], index=longer)).verify()


def huge(pgnos: list[int], commit_pages: int) -> bytes:
    head = header(page_size=65536, commit_pages=commit_pages)
    page = bytes(65536)  # one for all: a gibibyte of them is too much for a test
    return craft(head, [(pgno, page) for pgno in pgnos])


@pytest.mark.parametrize("commit_pages", [LOCK_PGNO - 1, LOCK_PGNO, LOCK_PGNO + 1])
def test_a_snapshot_of_a_gibibyte_leaves_the_lock_page_out(commit_pages: int) -> None:
    pgnos = [pgno for pgno in range(1, commit_pages + 1) if pgno != LOCK_PGNO]
    data = huge(pgnos, commit_pages)
    assert opened(data).verify().lock_pgno == LOCK_PGNO
    with pytest.raises(LtxError, match="ends at page"):
        opened(huge(pgnos[:-1], commit_pages)).verify()


def test_the_lock_page_is_refused() -> None:
    head = header(page_size=65536, commit_pages=LOCK_PGNO + 9, min_txid=2, max_txid=2)
    with pytest.raises(LtxError, match="lock page"):
        opened(craft(head, [(LOCK_PGNO, bytes(65536))])).verify()
    with pytest.raises(LtxError, match=f"page {LOCK_PGNO} of the snapshot stands where {LOCK_PGNO + 1}"):
        opened(huge(list(range(1, LOCK_PGNO + 1)), LOCK_PGNO)).verify()


def test_memory_does_not_grow_with_the_database() -> None:
    source = io.BytesIO(huge(list(range(1, 4001)), 4000))
    tracemalloc.start()
    try:
        LtxFile(source).verify()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 << 20, "a database of 250 MiB takes no more than a few pages"


class Watched(io.BytesIO):
    """Remembers the most it was asked for."""

    most = 0

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert size >= 0
        self.most = max(self.most, size)
        return super().read(size)


@pytest.mark.parametrize("reason", [*BAD_FILES])
def test_no_claimed_size_is_believed(reason: str) -> None:
    source = Watched(BAD_FILES[reason])
    with pytest.raises(LtxError):
        LtxFile(source).verify()
    assert source.most <= PAGE_SIZE + 32


def as_file(data: bytes, folder: Path) -> Source:
    (folder / "entry.ltx").write_bytes(data)
    return (folder / "entry.ltx").open("rb")


def as_map(data: bytes, folder: Path) -> Source:
    with (folder / "mapped.ltx").open("w+b") as file:
        file.write(data)
        file.flush()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def as_blob(data: bytes, folder: Path) -> Source:
    connection = apsw.Connection(str(folder / "blobs.db"))
    connection.execute("CREATE TABLE entry (bytes BLOB); INSERT INTO entry VALUES (?)", (data,))
    return connection.blob_open("main", "entry", "bytes", 1, False)


@pytest.mark.parametrize("as_source", [as_file, as_map, as_blob])
def test_each_kind_of_source_gives_the_same_pages_again_and_again(
    entries: tuple[bytes, bytes], tmp_path: Path, as_source: Callable[[bytes, Path], Source]
) -> None:
    source = as_source(entries[1], tmp_path)
    file = LtxFile(source, sha256=hashlib.sha256(entries[1]).digest())
    assert file.verify() == opened(entries[1]).header
    assert list(file.pages()) == list(file.pages()) == content(entries[1])[1]
    list(itertools.islice(file.pages(), 1))
    assert file.verify() == file.header
    source.close()  # type: ignore[attr-defined]  # all three have it; the reader does not ask for it


def test_another_file_than_the_one_expected_is_refused(entries: tuple[bytes, bytes]) -> None:
    snapshot, change = entries
    with pytest.raises(LtxError, match="SHA-256"):
        opened(change, sha256=hashlib.sha256(snapshot).digest()).verify()
