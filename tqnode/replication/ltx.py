"""One of Litestream's log files (LTX version 3), decoded and verified.

For the log, before it stores an entry, and for :mod:`tqnode.replication.pages`, which applies it.

The layout, numbers big-endian, as github.com/superfly/ltx v0.5.2 writes it for Litestream 0.5.17::

    header    100 bytes
    per page  pgno u32, flags u16 = 1, size u32, one LZ4 block of that size
    end       6 bytes of zero
    index     per page: pgno, offset and size of its part of the file, as varints; a zero; u64 index length
    trailer   u64 checksum of the database, unused; u64 CRC-64/ISO of the file with its highest bit set

The CRC runs over all of it but itself, with each page uncompressed in its block's place. So it says nothing
of how a page was compressed: another block of the same size that yields the same page passes. Where the very
bytes count, give their SHA-256 too.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from fastcrc import crc64
from lz4 import block  # type: ignore[import-untyped]  # it ships no types

MAGIC: Final = b"LTX1"
NO_CHECKSUMS: Final = 2  # the one flag Litestream sets: no checksums of the database, only of the file
BLOCK_WITH_SIZE: Final = 1
PAGE_SIZES: Final = frozenset(512 << shift for shift in range(8))
PENDING_BYTE: Final = 0x4000_0000  # the page around it is SQLite's lock, never content

_HEADER = struct.Struct(">4sIIIQQQQqqIIQ20s")
_PAGE = struct.Struct(">IHI")
_END = bytes(6)
_U64 = struct.Struct(">Q")
_HIGHEST_BIT = 1 << 63


class LtxError(Exception):
    """The bytes are not a whole and undamaged LTX file; the text says what is wrong."""


class Source(Protocol):
    """What a file is read from: an open file, ``io.BytesIO``, ``mmap.mmap``, ``apsw.Blob``."""

    def read(self, size: int, /) -> bytes:
        """The next ``size`` bytes; fewer only at the end."""

    def seek(self, offset: int, /) -> object:
        """Goes to a byte, counted from the start."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself.

    Attributes:
        flags: always ``NO_CHECKSUMS``.
        page_size: bytes of a page.
        commit_pages: pages of the database once the file is applied.
        min_txid: the first of Litestream's transactions in it.
        max_txid: the last of them.
        timestamp_ms: wall clock of the node that wrote it.
        wal_offset: where in the write-ahead log its part began, in bytes.
        wal_size: how long that part was, in bytes.
        wal_salts: which write-ahead log that was.
        node_id: 0; Litestream does not set it.
    """

    flags: int
    page_size: int
    commit_pages: int
    min_txid: int
    max_txid: int
    timestamp_ms: int
    wal_offset: int
    wal_size: int
    wal_salts: tuple[int, int]
    node_id: int

    @property
    def is_snapshot(self) -> bool:
        """Whether it has every page, so that it needs no file to be applied to."""
        return self.min_txid == 1

    @property
    def lock_pgno(self) -> int:
        """The page that is never content."""
        return PENDING_BYTE // self.page_size + 1


class LtxFile:
    """One file; the constructor reads no more than its header.

    Args:
        source: the file from its first byte to its last; read only within calls.
        sha256: of the whole file, where it is known: 32 bytes.

    Raises:
        LtxError: the header is not one of Litestream 0.5.17.
    """

    def __init__(self, source: Source, *, sha256: bytes | None = None) -> None:
        self._source = source
        self._sha256 = sha256
        source.seek(0)
        self._head = source.read(_HEADER.size)
        self.header = _header(self._head)

    def verify(self) -> Header:
        """Reads the whole file; memory does not grow with its pages but for 10 bytes each.

        Raises:
            LtxError: it is not whole, or damaged.
        """
        for _ in self.pages():
            pass
        return self.header

    def pages(self) -> Iterator[tuple[int, bytes]]:
        """Each page as (pgno, content), ascending, from the first on at every call.

        **Nothing of it is verified before the last**: who can't take a page back calls :meth:`verify` first.

        Raises:
            LtxError: the file is not whole, or damaged; at the latest after the last page.
        """
        source = self._source
        source.seek(len(self._head))
        digest = hashlib.sha256(self._head) if self._sha256 is not None else None
        crc = crc64.go_iso(self._head)
        page_size = self.header.page_size
        # LZ4's own bound on what a page can become; no more than that is ever asked for.
        block_bytes_max = page_size + page_size // 255 + 16
        index = bytearray()
        offset = len(self._head)
        pgno = 0
        while not (frame := _take(source, _PAGE.size)).startswith(_END):
            previous = pgno
            pgno, flags, size = _PAGE.unpack(frame)
            _check_order(self.header, previous, pgno)
            if flags != BLOCK_WITH_SIZE:
                raise LtxError(f"page {pgno} has unknown flags {flags:#x}")
            if not 0 < size <= block_bytes_max:
                raise LtxError(f"page {pgno} says that it takes {size} bytes; {block_bytes_max} are the most")
            packed = _take(source, size)
            page = _unpacked(packed, pgno, page_size)
            if digest is not None:
                digest.update(frame)
                digest.update(packed)
            crc = crc64.go_iso(page, crc64.go_iso(frame, crc))
            index += _varint(pgno) + _varint(offset) + _varint(_PAGE.size + size)
            offset += _PAGE.size + size
            yield pgno, page
        _check_last(self.header, pgno)
        index.append(0)
        tail = _END + index + _U64.pack(len(index)) + bytes(8)
        # The end's frame is shorter than a page's: some of the index came with it.
        found = frame + _take(source, len(tail) - len(frame))
        if found != tail:
            raise LtxError("the page index or the trailer does not fit the pages")
        checksum = _take(source, 8)
        if source.read(1):
            raise LtxError("bytes follow the trailer")
        if _U64.unpack(checksum)[0] != crc64.go_iso(tail, crc) | _HIGHEST_BIT:
            raise LtxError("the CRC does not fit the content")
        if digest is not None:
            digest.update(found + checksum)
            if digest.digest() != self._sha256:
                raise LtxError("the SHA-256 is not the one it should be")


def _header(head: bytes) -> Header:
    if len(head) < _HEADER.size:
        raise LtxError(f"the file ends within its header, after {len(head)} bytes")
    (
        magic,
        flags,
        page_size,
        commit_pages,
        min_txid,
        max_txid,
        timestamp_ms,
        pre_apply_checksum,
        wal_offset,
        wal_size,
        *wal_salts,
        node_id,
        reserved,
    ) = _HEADER.unpack(head)
    salted = any(wal_salts)
    refusals = (
        (magic != MAGIC, f"the first bytes are {magic!r}, not {MAGIC!r}"),
        (flags != NO_CHECKSUMS, f"the flags are {flags:#x}, not {NO_CHECKSUMS:#x}"),
        (page_size not in PAGE_SIZES, f"{page_size} is not a page size"),
        (commit_pages == 0, "it says that the database has no pages"),
        (not 0 < min_txid <= max_txid < _HIGHEST_BIT, f"txids {min_txid} to {max_txid} are no range"),
        (timestamp_ms >= _HIGHEST_BIT, "the timestamp is negative"),
        (pre_apply_checksum != 0, "it has a checksum of the database, against its flags"),
        (wal_offset < 0 or wal_size < 0, "its place in the write-ahead log is negative"),
        (wal_offset == 0 and (wal_size > 0 or salted), "its place in the write-ahead log is not said"),
        (any(reserved), "reserved bytes are not zero"),
    )
    for refused, why in refusals:
        if refused:
            raise LtxError(why)
    first, second = wal_salts
    return Header(
        flags=flags,
        page_size=page_size,
        commit_pages=commit_pages,
        min_txid=min_txid,
        max_txid=max_txid,
        timestamp_ms=timestamp_ms,
        wal_offset=wal_offset,
        wal_size=wal_size,
        wal_salts=(first, second),
        node_id=node_id,
    )


def _take(source: Source, size: int) -> bytes:
    data = source.read(size)
    if len(data) != size:
        raise LtxError("the file ends too early")
    return data


def _unpacked(packed: bytes, pgno: int, page_size: int) -> bytes:
    try:
        page: bytes = block.decompress(packed, uncompressed_size=page_size)
    except block.LZ4BlockError as error:
        raise LtxError(f"page {pgno} is no LZ4 block: {error}") from error
    if len(page) != page_size:
        raise LtxError(f"page {pgno} has {len(page)} bytes, not {page_size}")
    return page


def _check_order(header: Header, previous: int, pgno: int) -> None:
    due = previous + 1
    due += due == header.lock_pgno
    if header.is_snapshot and pgno != due:
        raise LtxError(f"page {pgno} of the snapshot stands where {due} should")
    if pgno < due:
        raise LtxError(f"page {pgno} follows page {previous}")
    if pgno == header.lock_pgno:
        raise LtxError(f"page {pgno} is the lock page")
    if pgno > header.commit_pages:
        raise LtxError(f"page {pgno} is beyond the last page, {header.commit_pages}")


def _check_last(header: Header, pgno: int) -> None:
    last = header.commit_pages
    last -= last == header.lock_pgno
    if header.is_snapshot and pgno != last:
        raise LtxError(f"the snapshot ends at page {pgno} of {last}")


def _varint(number: int) -> bytes:
    """As Go's ``binary.AppendUvarint``: 7 bits a byte, the lowest first."""
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)
