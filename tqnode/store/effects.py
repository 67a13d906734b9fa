"""What operations did that others wait for; the writer publishes it once it is answered."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from typing import Any, NamedTuple

import msgspec

from tqnode.task import TaskState


class TaskEvent(msgspec.Struct, frozen=True):
    """A task went to ``state``, or was deleted (None)."""

    id: bytes
    queue: str
    kind: str
    state: TaskState | None
    at_ms: int
    attempt: int
    reason: str | None = None


class _Together(NamedTuple):
    """Events of one moment, a column for each of their parts."""

    ids: Sequence[bytes]
    queues: Sequence[str]
    kinds: Sequence[str]
    states: Sequence[TaskState | None]
    at_ms: int
    attempts: Sequence[int]

    def events(self) -> Iterator[TaskEvent]:
        columns = self.ids, self.queues, self.kinds, self.states, repeat(self.at_ms), self.attempts
        return map(TaskEvent, *columns)


class TaskEvents:
    """Events in their order. Those told together are made when somebody looks, which is seldom."""

    def __init__(self) -> None:
        self.parts: list[list[TaskEvent] | _Together] = []

    def append(self, event: TaskEvent) -> None:
        """Adds one."""
        self.parts.append([event])

    def extend(self, events: Iterable[TaskEvent]) -> None:
        """Adds some."""
        self.parts.append(list(events))

    def tell(
        self,
        ids: Sequence[bytes],
        queues: Sequence[str],
        kinds: Sequence[str],
        states: Sequence[TaskState | None],
        at_ms: int,
        attempts: Sequence[int],
    ) -> None:
        """Adds one for each task, of a moment and without a reason."""
        self.parts.append(_Together(ids, queues, kinds, states, at_ms, attempts))

    def __len__(self) -> int:
        return sum([len(part) if isinstance(part, list) else len(part.ids) for part in self.parts])

    def __iter__(self) -> Iterator[TaskEvent]:
        return chain.from_iterable(part if isinstance(part, list) else part.events() for part in self.parts)


class TaskNews(msgspec.Struct, frozen=True):
    """A running task told something: its progress, or (None) lines of its log."""

    id: bytes
    queue: str
    kind: str
    attempt: int
    at_ms: int
    progress: bytes | None = None


class Effects:
    """What a group of operations did that others wait for; published once it is answered."""

    __slots__ = (
        "batches",
        "due_ms",
        "events",
        "freed",
        "inserts",
        "moves",
        "news",
        "ready",
        "resumed",
        "steered",
    )

    def __init__(self) -> None:
        self.inserts: list[tuple[str, Sequence[tuple[Any, ...]]]] = []
        """(statement's name, rows of its parameters) of what is not written yet."""
        self.moves: list[tuple[str, TaskState | None, TaskState | None, int]] = []
        self.events = TaskEvents()
        self.news: list[TaskNews] = []
        self.ready: list[tuple[str, str | None, int]] = []
        """(queue, kind or None for any, priority) of each task that became claimable."""
        self.resumed: list[str | None] = []
        """Queues that give out tasks again; None for all."""
        self.steered: list[str] = []
        """Workers told to run again."""
        self.due_ms: list[int] = []
        """Times something was put off to."""
        self.freed: list[tuple[str | None, str | None]] = []
        """(queue or None for all, limit key or None for any) of each slot or token that claims may have."""
        self.batches: list[int] = []
        """Row numbers of batches that are closed and have nothing pending, or are gone."""

    def entered(self, queue: str, kind: str, priority: int, state: TaskState, run_at_ms: int) -> None:
        """Notes that a task may be claimed: a ready one at once, a scheduled one from ``run_at_ms`` on."""
        if state is TaskState.READY:
            self.ready.append((queue, kind, priority))
        elif state is TaskState.SCHEDULED:
            self.due_ms.append(run_at_ms)

    def _lists(self) -> tuple[list[Any], ...]:
        return (
            self.inserts,
            self.moves,
            self.events.parts,
            self.ready,
            self.resumed,
            self.steered,
            self.due_ms,
            self.freed,
            self.news,
            self.batches,
        )

    def mark(self) -> tuple[int, ...]:
        """Where the effects stand now, for :meth:`cut`."""
        # Taken before each operation: written out, it costs half.
        return (
            len(self.inserts),
            len(self.moves),
            len(self.events.parts),
            len(self.ready),
            len(self.resumed),
            len(self.steered),
            len(self.due_ms),
            len(self.freed),
            len(self.news),
            len(self.batches),
        )

    def cut(self, mark: tuple[int, ...]) -> None:
        """Forgets what came after ``mark``."""
        for effects, length in zip(self._lists(), mark, strict=True):
            del effects[length:]
