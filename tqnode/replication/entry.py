"""A log entry as the election and the shipping see it: its position and its head, never its bytes."""

from typing import NamedTuple

import msgspec


class Position(NamedTuple):
    """Where an entry stands: ``txid`` counts from 1 within its ``term``. Compares by term, then txid."""

    term: int
    txid: int


NOTHING = Position(0, 0)
"""The position of a log without entries."""


class Head(msgspec.Struct, frozen=True):
    """What is known of an entry without its bytes.

    Args:
        term: the leadership that wrote it.
        txid: its number within the term, from 1; entry 1 is a full snapshot of the database.
        sha256: of the entry's bytes, 32 bytes.
        prev_sha256: of the entry before it in the term; empty for entry 1.
        size: of the entry's bytes.
    """

    term: int
    txid: int
    sha256: bytes
    prev_sha256: bytes
    size: int

    @property
    def position(self) -> Position:
        return Position(self.term, self.txid)
