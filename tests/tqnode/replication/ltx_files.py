"""LTX files as Litestream never writes them, with a checksum that fits: only a close look refuses them."""

import struct
from collections.abc import Sequence

from fastcrc import crc64
from lz4 import block  # type: ignore[import-untyped]  # it ships no types

HEADER = struct.Struct(">4sIIIQQQQqqIIQ20s")
PAGE_SIZE = 512


def header(
    *,
    magic: bytes = b"LTX1",
    flags: int = 2,
    page_size: int = PAGE_SIZE,
    commit_pages: int = 2,
    min_txid: int = 1,
    max_txid: int = 1,
    timestamp_ms: int = 1_700_000_000_000,
    pre_apply_checksum: int = 0,
    wal_offset: int = 32,
    wal_size: int = 536,
    wal_salts: tuple[int, int] = (1, 2),
    reserved: bytes = bytes(20),
) -> bytes:
    sizes = (flags, page_size, commit_pages)
    txids = (min_txid, max_txid, timestamp_ms, pre_apply_checksum)
    return HEADER.pack(magic, *sizes, *txids, wal_offset, wal_size, *wal_salts, 0, reserved)


def varint(number: int) -> bytes:
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def packed(page: bytes) -> bytes:
    block_bytes: bytes = block.compress(page, store_size=False)
    return block_bytes


def filled(pgno: int, page_size: int = PAGE_SIZE) -> bytes:
    """A page that tells its number."""
    return pgno.to_bytes(4) * (page_size // 4)


def craft(
    head: bytes,
    pages: Sequence[tuple[int, bytes]],
    *,
    page_flags: int = 1,
    sizes: dict[int, int] | None = None,
    blocks: dict[int, bytes] | None = None,
    index: bytes | None = None,
    post_apply_checksum: int = 0,
    highest_bit: int = 1 << 63,
) -> bytes:
    """One file.

    Args:
        head: its header.
        pages: (pgno, content).
        page_flags: of every page.
        sizes: by pgno, what a page's header says instead of its block's size.
        blocks: by pgno, a page's block instead of the right one.
        index: instead of the right one.
        post_apply_checksum: the trailer's first half.
        highest_bit: what is set in the CRC.
    """
    out = bytearray(head)
    crc = crc64.go_iso(head)
    entries = b""
    for pgno, page in pages:
        body = (blocks or {}).get(pgno, None)
        body = packed(page) if body is None else body
        frame = struct.pack(">IHI", pgno, page_flags, (sizes or {}).get(pgno, len(body)))
        entries += varint(pgno) + varint(len(out)) + varint(len(frame) + len(body))
        out += frame + body
        crc = crc64.go_iso(page, crc64.go_iso(frame, crc))
    entries += bytes(1)
    listed = entries if index is None else index
    tail = bytes(6) + listed + struct.pack(">QQ", len(listed), post_apply_checksum)
    return bytes(out) + tail + struct.pack(">Q", crc64.go_iso(tail, crc) | highest_bit)
