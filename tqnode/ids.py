"""Task ids: UUIDv7 (RFC 9562) whose random bits carry the task's row number.

Layout: 48 bits of milliseconds, version 7, 12 bits and (after the 2-bit variant) 62 bits that are
together 42 bits of row number and 32 random bits. So an id finds its row without an index, and ids
sort in the order of enqueueing.
"""

import re

SEQ_BITS = 42
NONCE_BITS = 32
_LOW_BITS = SEQ_BITS - 12
_LOW_MASK = (1 << _LOW_BITS) - 1
_WRITTEN = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


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


def seq_of(packed: bytes) -> int:
    """The row number in an id's 16 bytes."""
    number = int.from_bytes(packed, "big")
    return (number >> 64 & 0xFFF) << _LOW_BITS | (number >> NONCE_BITS) & _LOW_MASK


def time_ms_of(written: str) -> int:
    """The milliseconds since 1970 in a written id."""
    return int(written[:8] + written[9:13], 16)


def text(packed: bytes) -> str:
    """The id as people write it: 8-4-4-4-12 hexadecimal digits."""
    digits = packed.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def parse(written: str) -> bytes:
    """The 16 bytes of a written id.

    Raises:
        ValueError: not a UUID.
    """
    # Stricter than uuid.UUID, which takes digits with underscores and dashes anywhere: one task, one id.
    if not _WRITTEN.fullmatch(written):
        raise ValueError("not a UUID")
    return bytes.fromhex(written.replace("-", ""))
