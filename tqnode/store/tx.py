"""One operation's view of the transaction it runs in."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar

import apsw

from tqnode.settings import Controls
from tqnode.sql import statement, statement_of_rows
from tqnode.store.effects import Effects
from tqnode.task import WAITING, TaskState

Params = Mapping[str, Any]
Row = tuple[Any, ...]

T = TypeVar("T")

DISK_FAILURES = (apsw.FullError, apsw.IOError, apsw.CorruptError, apsw.NotADBError)
"""After one of them the whole transaction is lost: no operation may take it for its own failure."""

_SAVEPOINT = statement("savepoint_part")
_ROLLBACK_SAVEPOINT = statement("rollback_part")
_RELEASE = statement("release_part")
_CHANGE_TALLY = statement("change_tally")
_START_TALLY = statement("start_tally")

ROWS_MAX = 32
"""Rows in one INSERT. More save nothing; each number of rows has its own compiled statement, all of which the
connection keeps."""
NODE = ""
"""What stands for all queues together: no queue has an empty name."""
SETTLING_MAX = 512
"""How many dependencies on tasks that end in it one transaction settles."""


class Tx:
    """Runs statements in the group's transaction and notes their effects.

    Args:
        connection: the writer's, inside a transaction.
        now_ms: the one wall time of the whole group.
        next_seq: the next free row number.
        last_id_ms: the newest id's time, which the next ids don't go below.
        depths: those of the group before, if it was committed: nobody else writes.
        controls: likewise.
    """

    __slots__ = (
        "_connection",
        "_noted",
        "_owed",
        "controls",
        "controls_changed",
        "depths",
        "effects",
        "id_ms",
        "joined",
        "memo",
        "next_seq",
        "now_ms",
        "settled",
        "settling_left",
    )

    def __init__(
        self,
        connection: apsw.Connection,
        *,
        now_ms: int,
        next_seq: int,
        last_id_ms: int,
        depths: dict[str, int] | None = None,
        controls: Controls | None = None,
    ) -> None:
        self._connection = connection
        self.now_ms = now_ms
        self.next_seq = next_seq
        self.id_ms = max(now_ms, last_id_ms)
        self.effects = Effects()
        self.depths: dict[str, int] = {} if depths is None else depths
        """How many tasks wait now in the queues that were looked up; the empty name is the node."""
        self.memo: dict[str, object] = {}
        """What operations have read that changes seldom, for those after them."""
        self.controls = controls
        """What the node and its queues were told; None while that is not known."""
        self.controls_changed = False
        """Whether an operation changed it."""
        self.settling_left = SETTLING_MAX
        """What is left of :data:`SETTLING_MAX`."""
        self.joined = 0
        """Requests that came with others in one operation, beyond the first of each."""
        self._noted = 0
        self._owed = 0
        self.settled = 0
        """Rows that earlier operations had noted and this one's statements brought to be written."""

    def begin_operation(self) -> tuple[int, ...]:
        """Where the effects stand as an operation begins, for :meth:`undo`."""
        mark = self.effects.mark()
        self._owed = self._noted
        self.settled = 0
        return mark

    def all(self, sql: str, params: Params | None = None) -> list[Row]:
        """Every row of a statement."""
        if self.effects.inserts:
            self.flush()
        return self._connection.execute(sql, params).fetchall()

    def each(self, sql: str, params: Params | None = None) -> apsw.Cursor:
        """The rows of a statement, for as long as they are wanted; to be closed before any other runs."""
        if self.effects.inserts:
            self.flush()
        return self._connection.execute(sql, params)

    def one(self, sql: str, params: Params | None = None) -> Row | None:
        """The only row of a statement, None without one."""
        rows = self.all(sql, params)
        return rows[0] if rows else None

    def run(self, sql: str, params: Params | None = None) -> int:
        """Runs a statement; how many rows it changed."""
        if self.effects.inserts:
            self.flush()
        self._connection.execute(sql, params)
        return self._connection.changes()

    def many(self, sql: str, rows: Iterable[Row]) -> None:
        """Runs a statement once for each row of positional parameters."""
        if self.effects.inserts:
            self.flush()
        self._connection.executemany(sql, rows)

    def insert(self, name: str, rows: Sequence[Row]) -> None:
        """Adds rows, at the latest before the next statement runs.

        Many rows in one statement cost half of what as many statements do; and each end of a statement is
        a turn in the queue for the interpreter, which a busy event loop makes a long one.

        Args:
            name: an INSERT in ``tqnode.sql`` that ends with one row of positional parameters.
            rows: the parameters.
        """
        self.effects.inserts.append((name, rows))
        self._noted += len(rows)

    def flush(self) -> None:
        """Writes the rows that :meth:`insert` noted."""
        by_name: dict[str, list[Row]] = {}
        for name, noted in self.effects.inserts:
            by_name.setdefault(name, []).extend(noted)
        for name, rows in by_name.items():
            start = 0
            while left := len(rows) - start:
                count = min(ROWS_MAX, left)
                params = tuple(chain.from_iterable(rows[start : start + count]))
                self._connection.execute(statement_of_rows(name, count), params)
                start += count
        # Not before they are written: an error must not make them vanish from under their operations.
        self.effects.inserts.clear()
        self.settled += self._owed
        self._owed = self._noted = 0

    def atomically(self, operation: Callable[[], T]) -> T:
        """Runs a part of an operation that, should it raise, leaves nothing behind."""
        self.flush()
        mark = self.effects.mark()
        self._connection.execute(_SAVEPOINT)
        try:
            result = operation()
            self.flush()
        except Exception:
            if self._connection.in_transaction:  # a disk failure may have ended it
                self._connection.execute(_ROLLBACK_SAVEPOINT)
            self.undo(mark)
            raise
        else:
            return result
        finally:
            if self._connection.in_transaction:
                self._connection.execute(_RELEASE)

    def undo(self, mark: tuple[int, ...]) -> None:
        """Forgets what an operation noted whose statements were undone."""
        # Once the rows noted before it are written, all that is still noted is its own.
        self.effects.cut((0, *mark[1:]) if self.settled else mark)
        self._noted = sum(len(rows) for _, rows in self.effects.inserts)
        self.depths.clear()
        self.memo.clear()
        if self.controls_changed:
            self.controls = None

    def give_back_pages(self, pages: int) -> None:
        """Shortens the file by up to ``pages`` free pages."""
        self.flush()
        self._connection.pragma("incremental_vacuum", pages)

    def run_script(self, sql: str) -> None:
        """Runs several statements without parameters."""
        self.flush()
        self._connection.execute(sql)

    def take_seqs(self, count: int) -> range:
        """Row numbers that no task has, one after the other."""
        first = self.next_seq
        self.next_seq = first + count
        return range(first, first + count)

    def moved(self, queue: str, before: TaskState | None, after: TaskState | None, tasks: int = 1) -> None:
        """Notes for the tallies that ``tasks`` left ``before`` for ``after``; None is not existing."""
        self.effects.moves.append((queue, before, after, tasks))
        depths = self.depths
        if queue in depths:
            depths[queue] += tasks * ((after in WAITING) - (before in WAITING))
        if NODE in depths:
            depths[NODE] += tasks * ((after in WAITING) - (before in WAITING))

    def know_depth(self, queue: str, tallied: int) -> int:
        """Takes in what the tallies say of a queue; how many tasks wait there with the moves since."""
        depth = tallied + sum(
            tasks * ((after in WAITING) - (before in WAITING))
            for name, before, after, tasks in self.effects.moves
            if name == queue or queue == NODE
        )
        self.depths[queue] = depth
        return depth

    def flush_tallies(self) -> None:
        """Writes the tallies of all moves; once, as the transaction's last statements."""
        self.flush()
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
