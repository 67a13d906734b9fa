"""Task ids: UUIDv7 (RFC 9562) whose random bits carry the task's row number.

Layout: 48 bits of milliseconds, version 7, 12 bits and (after the 2-bit variant) 62 bits that are
together 42 bits of row number and 32 random bits. So an id finds its row without an index, and ids
sort in the order of enqueueing.
"""

import re
import struct
from collections.abc import Sequence
from itertools import chain, repeat

SEQ_BITS = 42
NONCE_BITS = 32
_LOW_BITS = SEQ_BITS - 12
_LOW_MASK = (1 << _LOW_BITS) - 1
_WRITTEN = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CHARS = 36
_DASHES = (8, 13, 18, 23)
_parts = struct.Struct(">QII")
_whole = struct.Struct("16s")
_places = struct.Struct(">6xHI4x")
_groups = struct.Struct("8s4s4s4s12s")


def pack(*, at_ms: int, seq: int, nonce: int) -> bytes:
    """The 16 bytes of an id.

    Args:
        at_ms: milliseconds since 1970, below 2**48.
        seq: the task's row number, below 2**42.
        nonce: 32 random bits.
    """
    high = at_ms << 16 | 0x7000 | seq >> _LOW_BITS
    low = 2 << 62 | (seq & _LOW_MASK) << NONCE_BITS | nonce
    return (high << 64 | low).to_bytes(16, "big")


def pack_all(*, at_ms: int, seqs: range, nonces: int) -> list[bytes]:
    """The ids of many tasks of one time, with a tenth of the work for each.

    Args:
        at_ms: milliseconds since 1970, below 2**48.
        seqs: their row numbers, one after the other and below 2**42.
        nonces: 32 random bits for each.
    """
    words = struct.unpack(f">{len(seqs)}I", nonces.to_bytes(4 * len(seqs), "big"))
    if not seqs or seqs[0] >> _LOW_BITS != seqs[-1] >> _LOW_BITS:
        return [pack(at_ms=at_ms, seq=seq, nonce=nonce) for seq, nonce in zip(seqs, words, strict=True)]
    high = at_ms << 16 | 0x7000 | seqs[0] >> _LOW_BITS
    first = 2 << _LOW_BITS | seqs[0] & _LOW_MASK
    return list(map(_parts.pack, repeat(high), range(first, first + len(seqs)), words))


def seq_of(packed: bytes) -> int:
    """The row number in an id's 16 bytes."""
    number = int.from_bytes(packed, "big")
    return (number >> 64 & 0xFFF) << _LOW_BITS | (number >> NONCE_BITS) & _LOW_MASK


def seqs_of(packed: Sequence[bytes]) -> list[int]:
    """The row numbers in the 16 bytes of many ids."""
    places = _places.iter_unpack(b"".join(packed))
    return [(high & 0xFFF) << _LOW_BITS | low & _LOW_MASK for high, low in places]


def time_ms_of(written: str) -> int:
    """The milliseconds since 1970 in a written id."""
    return int(written[:8] + written[9:13], 16)


def text(packed: bytes) -> str:
    """The id as people write it: 8-4-4-4-12 hexadecimal digits."""
    digits = packed.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def texts(packed: Sequence[bytes]) -> list[str]:
    """Many ids as people write them."""
    if len(packed) == 1:
        return [text(packed[0])]
    digits = b"".join(packed).hex().encode()
    # All of it happens inside the interpreter's own functions: half the time of a loop.
    return b" ".join(map(b"-".join, _groups.iter_unpack(digits))).decode().split()


def parse(written: str) -> bytes:
    """The 16 bytes of a written id.

    Raises:
        ValueError: not a UUID.
    """
    # Stricter than uuid.UUID, which takes digits with underscores and dashes anywhere: one task, one id.
    if not _WRITTEN.fullmatch(written):
        raise ValueError("not a UUID")
    return bytes.fromhex(written.replace("-", ""))


def parse_all(written: Sequence[str]) -> list[bytes]:
    """The 16 bytes of many written ids.

    Raises:
        ValueError: one of them is not a UUID.
    """
    whole = "".join(written)
    dashes = "-" * len(written)
    if {*map(len, written)} - {_CHARS} or any(whole[place::_CHARS] != dashes for place in _DASHES):
        raise ValueError("not all are UUIDs")
    # It skips spaces: whoever has one lacks a digit.
    packed = bytes.fromhex(whole.replace("-", ""))
    if len(packed) != 16 * len(written):
        raise ValueError("not all are UUIDs")
    return list(chain.from_iterable(_whole.iter_unpack(packed)))
