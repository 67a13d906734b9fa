"""One operation's view of the transaction it runs in."""

from collections.abc import Mapping
from typing import Any

import apsw
import msgspec

from tqnode.sql import statement
from tqnode.task import TaskState

Params = Mapping[str, Any]
Row = tuple[Any, ...]

_CHANGE_TALLY = statement("change_tally")
_START_TALLY = statement("start_tally")


class TaskEvent(msgspec.Struct, frozen=True):
    """A task went to ``state``, or was deleted (None)."""

    id: bytes
    queue: str
    kind: str
    state: TaskState | None
    at_ms: int
    attempt: int
    reason: str | None = None


class Effects:
    """What a group of operations did that others wait for; published once it is answered."""

    __slots__ = ("due_ms", "events", "moves", "ready", "steered")

    def __init__(self) -> None:
        self.moves: list[tuple[str, TaskState | None, TaskState | None, int]] = []
        self.events: list[TaskEvent] = []
        self.ready: list[tuple[str, str | None, int]] = []
        """(queue, kind or None for any, priority) of each task that became claimable."""
        self.steered: list[str] = []
        """Workers told to run again."""
        self.due_ms: list[int] = []
        """Times something was put off to."""

    def mark(self) -> tuple[int, int, int, int, int]:
        """Where the effects stand now, for :meth:`cut`."""
        return len(self.moves), len(self.events), len(self.ready), len(self.steered), len(self.due_ms)

    def cut(self, mark: tuple[int, int, int, int, int]) -> None:
        """Forgets what came after ``mark``."""
        moves, events, ready, steered, due = mark
        del self.moves[moves:], self.events[events:], self.ready[ready:]
        del self.steered[steered:], self.due_ms[due:]


class Tx:
    """Runs statements in the group's transaction and notes their effects.

    Args:
        connection: the writer's, inside a transaction.
        now_ms: the one wall time of the whole group.
        next_seq: the next free row number.
        last_id_ms: the newest id's time, which the next ids don't go below.
    """

    __slots__ = ("_connection", "effects", "id_ms", "next_seq", "now_ms")

    def __init__(self, connection: apsw.Connection, *, now_ms: int, next_seq: int, last_id_ms: int) -> None:
        self._connection = connection
        self.now_ms = now_ms
        self.next_seq = next_seq
        self.id_ms = max(now_ms, last_id_ms)
        self.effects = Effects()

    def all(self, sql: str, params: Params | None = None) -> list[Row]:
        """Every row of a statement."""
        return self._connection.execute(sql, params).fetchall()

    def one(self, sql: str, params: Params | None = None) -> Row | None:
        """The only row of a statement, None without one."""
        rows = self._connection.execute(sql, params).fetchall()
        return rows[0] if rows else None

    def run(self, sql: str, params: Params | None = None) -> int:
        """Runs a statement; how many rows it changed."""
        self._connection.execute(sql, params)
        return self._connection.changes()

    def take_seq(self) -> int:
        """A row number that was never used."""
        seq = self.next_seq
        self.next_seq = seq + 1
        return seq

    def moved(self, queue: str, before: TaskState | None, after: TaskState | None, tasks: int = 1) -> None:
        """Notes for the tallies that ``tasks`` left ``before`` for ``after``; None is not existing."""
        self.effects.moves.append((queue, before, after, tasks))

    def flush_tallies(self) -> None:
        """Writes the tallies of all moves; once, as the transaction's last statements."""
        changes: dict[tuple[str, TaskState], int] = {}
        for queue, before, after, tasks in self.effects.moves:
            if before is not None:
                changes[queue, before] = changes.get((queue, before), 0) - tasks
            if after is not None:
                changes[queue, after] = changes.get((queue, after), 0) + tasks
        for (queue, state), tasks in changes.items():
            row = {"queue": queue, "state": state, "tasks": tasks}
            if tasks and not self.run(_CHANGE_TALLY, row):
                self.run(_START_TALLY, row)
