"""What an explanation is made of, and what those who make one look at."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import msgspec

from tqnode.config import Config
from tqnode.errors import NotFound
from tqnode.queue.finish import Receipt
from tqnode.queue.rows import Reads, place, read_task
from tqnode.sql import statement
from tqnode.task import Task

_READ = statement("explain_task")

MOMENT_MAX_MS = 253_402_300_799_999
"""The last millisecond that can be written."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = (
    (86_400, "day", "days"),
    (3_600, "hour", "hours"),
    (60, "minute", "minutes"),
    (1, "second", "seconds"),
)
_receipts = msgspec.json.Decoder(Receipt)


class Cause(msgspec.Struct, frozen=True):
    """One reason why a task is where it is.

    Args:
        code: stable, for programs.
        text: one sentence, for people.
        facts: what the sentence says, by name. Moments end in ``_at_ms``, durations in ``_ms``; ids are
            texts.
    """

    code: str
    text: str
    facts: dict[str, Any] = {}


class View:
    """One task in one snapshot.

    Args:
        reader: the snapshot.
        task_id: the task.
        now_ms: the wall time.
        config: the limits, and how long things are kept.

    Raises:
        NotFound: there is no such task.
    """

    def __init__(self, reader: Reads, task_id: str, *, now_ms: int, config: Config) -> None:
        self.reader = reader
        self.now_ms = now_ms
        self.config = config
        self.task: Task = read_task(reader, task_id)
        row = reader.one(_READ, place(task_id))
        if row is None:
            raise NotFound("task", task_id)
        self.seq: int = row[0]
        self.unique_states: tuple[str, ...] = tuple((row[2] or "").split())
        self.unique_until_ms: int | None = row[3]
        self._receipt: bytes | None = row[1]

    @cached_property
    def receipt(self) -> Receipt | None:
        """The answer to the last finish; None after a plain completion, and where there was none."""
        return None if self._receipt is None else _receipts.decode(self._receipt)


Rule = Callable[[View], Iterator[Cause]]
"""Looks at one thing, and yields what it has to say of it: nothing, mostly."""


def moment(at_ms: int) -> str:
    """A moment for people."""
    at = _EPOCH + timedelta(milliseconds=min(max(at_ms, 0), MOMENT_MAX_MS))
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def span(ms: int) -> str:
    """A duration for people, in at most two units."""
    seconds = abs(ms) // 1000
    for index, (size, one, many) in enumerate(_UNITS):
        if seconds < size:
            continue
        count, rest = divmod(seconds, size)
        told = f"{count} {one if count == 1 else many}"
        if index + 1 < len(_UNITS) and count < 10:
            size, one, many = _UNITS[index + 1]
            part = rest // size
            if part:
                told += f" {part} {one if part == 1 else many}"
        return told
    return "less than a second"


def from_now(at_ms: int, now_ms: int) -> str:
    """A moment with how far off it is: ``2026-01-31T12:00:00Z (in 5 minutes)``."""
    told = f"in {span(at_ms - now_ms)}" if at_ms > now_ms else f"{span(now_ms - at_ms)} ago"
    return f"{moment(at_ms)} ({told})"


def counted(count: int, one: str, many: str | None = None) -> str:
    """``1 task``, ``2 tasks``."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def cut(text: str, chars_max: int = 200) -> str:
    """A text on one line, not longer than that."""
    line = " ".join(text.split())
    return line if len(line) <= chars_max else line[: chars_max - 1] + "…"
