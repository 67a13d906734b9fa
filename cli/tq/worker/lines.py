"""The log lines of one attempt on their way to the node: bounded, told again until they are taken."""

import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from tq.wire import Level, NewLine, NewLines
from tq.worker.text import clean

LINES_MAX = 1_000
"""Lines that wait for the node; beyond it the oldest are dropped, and counted."""
CHARS_MAX = 256 * 1024
"""The same of all their texts together."""
LINE_CHARS_MAX = 4_000
"""Length at which a line is cut; a node keeps no more by default."""


def line_of(text: str, level: Level, at_s: float) -> NewLine:
    """A line that every node takes.

    Args:
        text: cut if it is too long, and freed of what JSON cannot hold.
        level: its severity.
        at_s: seconds since 1970.
    """
    fitting = text if len(text) <= LINE_CHARS_MAX else text[: LINE_CHARS_MAX - 1] + "…"
    return NewLine(text=clean(fitting), level=level, at=datetime.fromtimestamp(at_s, UTC))


class WaitingLines:
    """Lines the node has not taken yet. Several threads add to one, and take from it.

    Each line has its place among all of the attempt: so the node knows those that come again, and how many
    it never got.

    Args:
        news: called when there is a line to send.
    """

    __slots__ = ("_chars", "_closed", "_lines", "_mutex", "_news", "_next")

    def __init__(self, news: Callable[[], None]) -> None:
        self._news = news
        self._mutex = threading.Lock()
        self._lines: deque[NewLine] = deque()
        self._chars = 0
        self._next = 0
        self._closed = False

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, line: NewLine) -> None:
        """Takes a line in; after the attempt's end it is dropped."""
        with self._mutex:
            if self._closed:
                return
            self._lines.append(line)
            self._next += 1
            self._chars += len(line.text)
            while len(self._lines) > LINES_MAX or (self._chars > CHARS_MAX and len(self._lines) > 1):
                self._chars -= len(self._lines.popleft().text)
        self._news()

    def unsent(self, *, chars_max: int = CHARS_MAX) -> NewLines | None:
        """The oldest lines that wait, as many as fit into ``chars_max`` characters; None without any."""
        with self._mutex:
            chosen: list[NewLine] = []
            for line in self._lines:
                chars_max -= len(line.text)
                if chars_max < 0 and chosen:
                    break
                chosen.append(line)
            return NewLines(lines=chosen, first=self._next - len(self._lines)) if chosen else None

    def taken(self, lines: NewLines) -> None:
        """The node has these."""
        with self._mutex:
            upto = (lines.first or 0) + len(lines.lines)
            while self._lines and self._next - len(self._lines) < upto:
                self._chars -= len(self._lines.popleft().text)

    def close(self) -> NewLines | None:
        """The attempt has ended: its last lines, to go with its outcome."""
        with self._mutex:
            self._closed = True
        return self.unsent()
