"""What is on a simulated node's disk: survives crashes, if it was synced, but not being wiped."""

from typing import NamedTuple

from tqnode.replication.effects import Row
from tqnode.replication.entry import NOTHING, Head, Position
from tqnode.replication.state import Durable

AHEAD = 1 << 62
NO_ROW = Row(0, "")


class Content(NamedTuple):
    """What an entry makes of a database: from place ``start`` on it has ``operations``, whatever was there.

    As pages have it, and so to apply one again changes nothing. A snapshot starts at 0.
    """

    start: int
    operations: tuple[int, ...]


class DiskIsFull(Exception):
    """Nothing was written."""


class BadStore(AssertionError):
    """The node stored what does not follow what it has: the core must never ask for that."""


class Disk:
    """node.db and the database of one node.

    Args:
        node_id: of this disk.
        fresh: it came empty into a cluster that has begun.
    """

    def __init__(self, node_id: str, *, fresh: bool) -> None:
        self.node_id = node_id
        self.fresh = fresh
        self.row = NO_ROW
        self.heads: list[Head] = []
        self.contents: dict[Position, Content] = {}
        self.bad: set[Position] = set()
        self.applied = NOTHING
        self.database: list[int] = []
        self.full = False
        self.unsynced_row: tuple[Row, bool] | None = None
        """A row that was written and not synced: only a planted bug leaves one."""

    @property
    def last(self) -> Position:
        return self.heads[-1].position if self.heads else NOTHING

    def save(self, row: Row, fresh: bool) -> None:
        if self.full:
            raise DiskIsFull
        if row.term < self.row.term:
            raise BadStore(f"row {row} after {self.row}")
        self.row, self.fresh = row, fresh

    def store(self, entries: list[tuple[Head, Content]]) -> None:
        """Adds entries, all or none."""
        if self.full:
            raise DiskIsFull
        for head, content in entries:
            last = self.heads[-1] if self.heads else None
            if head.txid == 1 and (last is None or head.term > last.term):
                self.heads.clear()
                self.contents.clear()
                self.bad.clear()
            elif last is None or (last.term, last.txid + 1) != (head.term, head.txid):
                raise BadStore(f"entry {head.position} after {last and last.position}")
            elif head.prev_sha256 != last.sha256:
                raise BadStore(f"entry {head.position} does not follow by its hash")
            self.heads.append(head)
            self.contents[head.position] = content

    def mend(self, head: Head, content: Content) -> None:
        if head.position in self.contents:
            self.contents[head.position] = content
            self.bad.discard(head.position)

    def trim(self, before: Position) -> None:
        gone = [head for head in self.heads[:-1] if head.position < before]
        if gone and gone[0].term == before.term:
            self.heads = self.heads[len(gone) :]
            for head in gone:
                del self.contents[head.position]
                self.bad.discard(head.position)

    def apply(self, position: Position) -> None:
        """Brings the database to a stored entry's state; how far it is, is noted by the caller, later."""
        content = self.contents[position]
        del self.database[content.start :]
        self.database += content.operations

    def durable(self) -> Durable:
        """What the core starts from: as the real driver reads it."""
        applied, last = self.applied, self.last
        if applied.txid == AHEAD:
            applied = last if applied.term >= last.term else NOTHING
        return Durable(
            node_id=self.node_id, row=self.row, fresh=self.fresh, heads=tuple(self.heads), applied=applied
        )
