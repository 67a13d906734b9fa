"""One operation's view of the transaction it runs in."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import apsw
import msgspec

from tqnode.errors import TqnodeError
from tqnode.sql import statement
from tqnode.task import WAITING, TaskState

Params = Mapping[str, Any]
Row = tuple[Any, ...]

T = TypeVar("T")

_SAVEPOINT = statement("savepoint_part")
_ROLLBACK_SAVEPOINT = statement("rollback_part")
_RELEASE = statement("release_part")
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

    __slots__ = ("due_ms", "events", "moves", "ready", "resumed", "steered")

    def __init__(self) -> None:
        self.moves: list[tuple[str, TaskState | None, TaskState | None, int]] = []
        self.events: list[TaskEvent] = []
        self.ready: list[tuple[str, str | None, int]] = []
        """(queue, kind or None for any, priority) of each task that became claimable."""
        self.resumed: list[str] = []
        """Queues that give out tasks again."""
        self.steered: list[str] = []
        """Workers told to run again."""
        self.due_ms: list[int] = []
        """Times something was put off to."""

    def _lists(self) -> tuple[list[Any], ...]:
        return self.moves, self.events, self.ready, self.resumed, self.steered, self.due_ms

    def mark(self) -> tuple[int, ...]:
        """Where the effects stand now, for :meth:`cut`."""
        return tuple(map(len, self._lists()))

    def cut(self, mark: tuple[int, ...]) -> None:
        """Forgets what came after ``mark``."""
        for effects, length in zip(self._lists(), mark, strict=True):
            del effects[length:]


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

    def many(self, sql: str, rows: Iterable[Row]) -> None:
        """Runs a statement once for each row of positional parameters."""
        self._connection.executemany(sql, rows)

    def atomically(self, operation: Callable[[], T]) -> T:
        """Runs a part of an operation that, should it raise, leaves nothing behind."""
        mark = self.effects.mark()
        self._connection.execute(_SAVEPOINT)
        try:
            return operation()
        except TqnodeError:
            self._connection.execute(_ROLLBACK_SAVEPOINT)
            self.effects.cut(mark)
            raise
        finally:
            if self._connection.in_transaction:
                self._connection.execute(_RELEASE)

    def give_back_pages(self, pages: int) -> None:
        """Shortens the file by up to ``pages`` free pages."""
        self._connection.pragma("incremental_vacuum", pages)

    def take_seq(self) -> int:
        """A row number that was never used."""
        seq = self.next_seq
        self.next_seq = seq + 1
        return seq

    def moved(self, queue: str, before: TaskState | None, after: TaskState | None, tasks: int = 1) -> None:
        """Notes for the tallies that ``tasks`` left ``before`` for ``after``; None is not existing."""
        self.effects.moves.append((queue, before, after, tasks))

    def waiting_change(self, queue: str) -> int:
        """By how much the moves so far, not yet in the tallies, deepen a queue."""
        return sum(
            tasks * ((after in WAITING) - (before in WAITING))
            for name, before, after, tasks in self.effects.moves
            if name == queue
        )

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
