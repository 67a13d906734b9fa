"""Cursors: where a page ended, as the client sends it back to get the next one."""

import base64
import binascii
from typing import Final

from tqnode import ids
from tqnode.errors import InvalidCursor

LAST: Final = 1 << ids.SEQ_BITS
"""Above every row number."""
_SEQ_BYTES = 6


def of_seq(seq: int) -> str:
    """The cursor of a page that ended with this row number."""
    return _encode(seq.to_bytes(_SEQ_BYTES, "big"))


def seq_of(cursor: str | None) -> int:
    """The row number that the page before ended with; :data:`LAST` for the first page.

    Raises:
        InvalidCursor: no page ended with this cursor.
    """
    if cursor is None:
        return LAST
    packed = _decode(cursor)
    seq = int.from_bytes(packed, "big")
    if len(packed) != _SEQ_BYTES or not 0 < seq <= LAST:
        raise _invalid()
    return seq


def of_name(name: str) -> str:
    """The cursor of a page that ended with this name."""
    return _encode(name.encode())


def name_of(cursor: str | None) -> str:
    """The name that the page before ended with; empty for the first page.

    Raises:
        InvalidCursor: no page ended with this cursor.
    """
    if cursor is None:
        return ""
    packed = _decode(cursor)
    if not packed.isascii():
        raise _invalid()
    return packed.decode()


def _encode(packed: bytes) -> str:
    return base64.urlsafe_b64encode(packed).decode()


def _decode(cursor: str) -> bytes:
    try:
        return base64.b64decode(cursor, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _invalid() from None


def _invalid() -> InvalidCursor:
    return InvalidCursor("the cursor is not one this node gave", field="cursor")
