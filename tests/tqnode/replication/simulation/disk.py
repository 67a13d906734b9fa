"""What is on a simulated node's disk: survives crashes, if it was synced, but not being wiped."""

import contextlib
import random
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from tqnode.replication.effects import Row
from tqnode.replication.entry import NOTHING, Head, Position
from tqnode.replication.state import Durable

AHEAD = 1 << 62
NO_ROW = Row(0, "")
TORN = -1
"""An operation that stands for pages which are half written."""


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
        """Entries whose bytes have gone bad, be it known or not."""
        self.applied = NOTHING
        self.database: list[int] = []
        self.full = False
        self._skipped = False
        """Entries found no space: those that were to follow them find none either."""
        self.run = 0
        """Counts the crashes."""
        self._unsynced: deque[Callable[[], None]] = deque()

    @property
    def last(self) -> Position:
        return self.heads[-1].position if self.heads else NOTHING

    @property
    def idle(self) -> bool:
        """Nothing is being written."""
        return not self._unsynced

    def begin(self, change: Callable[[], None]) -> None:
        """Writes something, which is not safe before :meth:`sync`."""
        self._unsynced.append(change)

    def sync(self) -> None:
        """Makes the oldest unsynced change.

        Raises:
            DiskIsFull: it could not be made.
        """
        self._unsynced.popleft()()

    def crash(self, rng: random.Random) -> None:
        """Of what was written and not synced some is there, from the oldest on, or nothing."""
        self.run += 1
        kept = rng.randint(0, len(self._unsynced)) if rng.random() < 0.5 else 0
        while kept > 0 and self._unsynced and not self.full:
            with contextlib.suppress(DiskIsFull):  # what was to follow entries that found no room
                self.sync()
            kept -= 1
        self._unsynced.clear()
        self._skipped = False

    # -- changes ---------------------------------------------------------------------------

    def save(self, row: Row, fresh: bool) -> None:
        self._check_room()
        if row.term < self.row.term:
            raise BadStore(f"row {row} after {self.row}")
        self.row, self.fresh = row, fresh

    def note(self, applied: Position) -> None:
        """Notes how far the database is."""
        self._check_room()
        self.applied = applied

    def store(self, entries: list[tuple[Head, Content]]) -> None:
        """Adds entries, all or none."""
        if self.full:
            self._skipped = True
        self._check_room()
        for head, content in entries:
            last = self.heads[-1] if self.heads else None
            if head.txid == 1 and (last is None or head.term > last.term):
                self.heads.clear()
                self.contents.clear()
                self.bad.clear()
            elif last is None or (last.term, last.txid + 1) != (head.term, head.txid):
                if self._skipped:
                    raise DiskIsFull
                raise BadStore(f"entry {head.position} after {last and last.position}")
            elif head.prev_sha256 != last.sha256:
                raise BadStore(f"entry {head.position} does not follow by its hash")
            self.heads.append(head)
            self.contents[head.position] = content
        self._skipped = False

    def mend(self, head: Head, content: Content) -> None:
        self._check_room()
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

    def apply(self, contents: list[Content]) -> None:
        """Brings the database to the state after these entries; how far it is, is noted later."""
        self._check_room()
        for content in contents:
            del self.database[content.start :]
            self.database += content.operations

    def tear(self, content: Content) -> None:
        """Brings the database half way to an entry's state."""
        if not self.full:
            del self.database[content.start :]
            self.database += (*content.operations[: len(content.operations) // 2], TORN)

    def _check_room(self) -> None:
        if self.full:
            raise DiskIsFull

    def durable(self) -> Durable:
        """What the core starts from: as the real driver reads it."""
        applied, last = self.applied, self.last
        if applied.txid == AHEAD:
            applied = last if applied.term >= last.term else NOTHING
        return Durable(
            node_id=self.node_id, row=self.row, fresh=self.fresh, heads=tuple(self.heads), applied=applied
        )
