"""The heads of the entries that a node holds; for the core's state, which is a new value at every step."""

from collections.abc import Iterator
from typing import Final

import msgspec

from tqnode.replication.entry import Head, Position

CHUNK: Final = 64
"""Heads that are copied, at most, to add one."""


class Heads(msgspec.Struct, frozen=True):
    """Heads of one term without a gap; a value, of which a longer or shorter one is made without a full copy.

    Args:
        term: of all of them; 0 if there are none.
        first: lowest txid that is held.
        last: highest txid that is held; ``first - 1`` if none is.
        offset: heads of the first chunk that are held no more.
        chunks: the heads, ``CHUNK`` in each but the last.
        size: bytes of all their entries.
    """

    term: int
    first: int
    last: int
    offset: int
    chunks: tuple[tuple[Head, ...], ...]
    size: int

    @property
    def position(self) -> Position:
        """Of the last of them."""
        return Position(self.term, self.last)

    @property
    def top(self) -> Head | None:
        """The last of them."""
        return self.chunks[-1][-1] if self.last >= self.first else None

    def holds(self, txid: int) -> bool:
        return self.first <= txid <= self.last

    def __getitem__(self, txid: int) -> Head:
        if not self.holds(txid):
            raise IndexError(txid)
        chunk, at = divmod(txid - self.first + self.offset, CHUNK)
        return self.chunks[chunk][at]

    def between(self, first: int, last: int) -> Iterator[Head]:
        """The held ones with a txid from ``first`` up to and with ``last``."""
        for txid in range(max(first, self.first), min(last, self.last) + 1):
            yield self[txid]

    def plus(self, heads: tuple[Head, ...]) -> "Heads":
        """With these at the end; they must follow the last one, of the same term."""
        chunks = self.chunks
        rest = heads
        if chunks and len(chunks[-1]) < CHUNK:
            room = CHUNK - len(chunks[-1])
            chunks = (*chunks[:-1], chunks[-1] + rest[:room])
            rest = rest[room:]
        if rest:
            chunks += tuple(rest[at : at + CHUNK] for at in range(0, len(rest), CHUNK))
        size = self.size + sum(head.size for head in heads)
        return Heads(self.term, self.first, self.last + len(heads), self.offset, chunks, size)

    def since(self, first: int) -> "Heads":
        """Without those below ``first``, which must be held or be the one to follow."""
        size = self.size - sum(head.size for head in self.between(self.first, first - 1))
        gone, offset = divmod(first - self.first + self.offset, CHUNK)
        return Heads(self.term, first, self.last, offset, self.chunks[gone:], size)


NO_HEADS: Final = Heads(term=0, first=1, last=0, offset=0, chunks=(), size=0)


def heads_of(entries: tuple[Head, ...]) -> Heads:
    """What a node holds that has these, of one term and without a gap."""
    if not entries:
        return NO_HEADS
    first = entries[0]
    return Heads(first.term, first.txid, first.txid - 1, 0, (), 0).plus(entries)
