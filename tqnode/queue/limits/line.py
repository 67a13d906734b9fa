"""One of the lines that claims take tasks from: those of a key, of a kind, or of a priority."""

from collections.abc import Callable

from tqnode.store.tx import Row


class Line:
    """Ready tasks of one sort in the order of claims; read as far as they are wanted.

    Args:
        key: the limit key that all of them have; None for none.
        read: the first so many of them.
        expected: how many will be wanted, as far as one knows.
        start: how many of them are known already.
    """

    def __init__(
        self, key: str | None, read: Callable[[int], list[Row]], *, expected: int, start: int = 0
    ) -> None:
        self.key = key
        self._read = read
        self._limit = start + max(1, expected)
        self._rows: list[Row] | None = None
        self._next = start

    def next(self) -> Row | None:
        """The task after the last one."""
        if self._rows is None:
            self._rows = self._read(self._limit)
        elif self._next == self._limit:
            self._limit *= 2
            self._rows = self._read(self._limit)
        if self._next >= len(self._rows):
            return None
        row = self._rows[self._next]
        self._next += 1
        return row
