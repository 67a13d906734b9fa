"""What the rows of node.db say, each sealed: what was not written here is never taken for it."""

import hashlib
from pathlib import Path
from typing import Any, Final

import msgspec

from tqnode.replication.disk_errors import DiskFailed
from tqnode.replication.effects import Row
from tqnode.replication.entry import Head, Position
from tqnode.replication.entry_files import sha256_of

SEAL_BYTES: Final = 16


class OutOfOrder(ValueError):
    """The entry is not the next one of this log, nor one of it that came again: a bug of the caller's."""


class NoEntry(LookupError):
    """The log has no entry at that position (any more)."""


class Kept(msgspec.Struct, frozen=True):
    """All that a node finds of itself on its disk, the entries' bytes aside.

    Args:
        node_id: of this disk, a UUID.
        cluster_id: None until the node belongs to a cluster.
        row: the lease row; ``Row(0, "")`` at first.
        fresh: the node has an empty disk: it has forgotten what it voted, if it ever did.
        heads: of the log's entries, in order and of one term.
        applied: position up to which the node's database is.
    """

    node_id: str
    cluster_id: str | None
    row: Row
    fresh: bool
    heads: tuple[Head, ...]
    applied: Position


class Self(msgspec.Struct, frozen=True):
    """The one row of the table ``node``, in the order of its columns."""

    node_id: str
    cluster_id: str | None
    fresh: int
    term: int
    holder: str
    applied_term: int
    applied_txid: int
    log_term: int
    log_first: int
    log_last: int

    @property
    def last(self) -> Position:
        """Of the log's last entry."""
        return Position(self.log_term, self.log_last)


def seal_of(of: Head | Self) -> bytes:
    """What stands beside a row, so that no flipped bit of it is taken for the truth."""
    return hashlib.sha256(msgspec.msgpack.encode(msgspec.structs.astuple(of))).digest()[:SEAL_BYTES]


def head_of(row: tuple[Any, ...]) -> Head:
    """The head in a row of the table ``entry``, whose last column is the seal.

    Raises:
        DiskFailed: the row is damaged.
    """
    *values, seal = row
    head = Head(*values)
    if seal_of(head) != seal:
        raise DiskFailed("the head of an entry of the log is damaged")
    return head


def self_of(row: tuple[Any, ...]) -> Self:
    """The row of the table ``node``, whose last column is the seal.

    Raises:
        DiskFailed: the row is damaged.
    """
    *values, seal = row
    me = Self(*values)
    if seal_of(me) != seal:
        raise DiskFailed("the row that says who this node is and whom it voted for is damaged")
    return me


def is_sound(head: Head, content: bytes | Path) -> bool:
    """Whether the bytes are those of the head; a file that is not there is not. Blocks on the disk.

    Raises:
        OSError: the file can't be read.
    """
    if isinstance(content, bytes):
        return (hashlib.sha256(content).digest(), len(content)) == (head.sha256, head.size)
    try:
        return sha256_of(content) == (head.sha256, head.size)
    except FileNotFoundError:
        return False
