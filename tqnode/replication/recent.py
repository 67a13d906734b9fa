"""The bytes of the newest small entries, so that sending them need not read them from the disk."""

from collections import OrderedDict
from typing import Final

from tqnode.replication.entry import Position

BYTES_MAX: Final = 32 << 20


class Recent:
    """Forgets the oldest when they are too many."""

    def __init__(self) -> None:
        self._contents: OrderedDict[Position, bytes] = OrderedDict()
        self._bytes = 0

    def add(self, position: Position, content: bytes) -> None:
        """Keeps an entry's bytes for a while."""
        self._bytes += len(content) - len(self._contents.pop(position, b""))
        self._contents[position] = content
        while self._bytes > BYTES_MAX:
            _, oldest = self._contents.popitem(last=False)
            self._bytes -= len(oldest)

    def get(self, position: Position) -> bytes | None:
        """An entry's bytes, if they are still kept."""
        return self._contents.get(position)
