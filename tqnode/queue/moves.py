"""The two ways a task leaves its worker's hands: put back, or ended. Both keep its history."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeVar

import apsw
import msgspec

from tqnode.config import Config
from tqnode.queue import keys, membership, webhooks
from tqnode.queue.dependencies import followers
from tqnode.queue.limits.rules import freed
from tqnode.queue.rows import errors_of, listed, texts_of
from tqnode.sql import statement
from tqnode.store.effects import TaskEvent
from tqnode.store.tx import Row, Tx
from tqnode.task import FINAL, TRANSITIONS, Reason, TaskError, TaskState

T = TypeVar("T")

_PUT_BACK = statement("put_back_task")
_END = statement("end_task")
_FIND_STATE = statement("find_task_state")
_READ_HISTORY = statement("read_history")
_FIND_HISTORIES = statement("find_histories")
_INSERT_HISTORY = "insert_history"
_WRITE_HISTORY = statement("write_history")
_PUT_BACK_CRASHED = statement("put_back_crashed")


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What a move must know of the task it moves."""

    seq: int
    packed: bytes
    queue: str
    kind: str
    state: TaskState
    priority: int
    run_at_ms: int
    attempt: int
    crashes: int
    worker: str | None
    lane: str | None = None
    """Of a running task its limit key, or empty if it has a slot of its queue's alone."""


class Movement:
    """Moves tasks on.

    Args:
        config: how much history is kept.
    """

    def __init__(self, config: Config) -> None:
        self._config = config

    def put_back(
        self, tx: Tx, held: Held, *, run_at_ms: int, attempt: int, crashes: int, receipt: bytes | None
    ) -> TaskState:
        """Makes a running task ready, or scheduled when ``run_at_ms`` is still to come.

        Args:
            attempt: what its attempt counter shall be.
            crashes: what its count of crashes in a row shall be.
            receipt: the stored answer of the finish, None when the lease was taken away.
        """
        state = TaskState.SCHEDULED if run_at_ms > tx.now_ms else TaskState.READY
        params = {
            "seq": held.seq,
            "state": state,
            "run_at_ms": run_at_ms,
            "attempt": attempt,
            "crashes": crashes,
            "receipt": receipt,
        }
        move(tx, _PUT_BACK, params)
        tx.effects.entered(held.queue, held.kind, held.priority, state, run_at_ms)
        self.note(tx, held.seq, worker=held.worker)
        self.record(tx, held, state, attempt=attempt)
        return state

    def put_back_crashed(self, tx: Tx, crashed: Sequence[tuple[Held, TaskError]]) -> None:
        """Makes running tasks ready again whose workers fell silent; each keeps its place in the line.

        Args:
            crashed: the tasks, and what their history shall say.
        """
        if not crashed:
            return
        seqs = [held.seq for held, _ in crashed]
        encoded = listed(seqs)
        try:
            tx.run(_PUT_BACK_CRASHED, {"seqs": encoded, "now_ms": tx.now_ms})
        except apsw.ConstraintError as error:
            if not _is_about_uniqueness(error):
                raise
            # Which of them has to give up its key shows one by one.
            for seq in seqs:
                move(tx, _PUT_BACK_CRASHED, {"seqs": f"[{seq}]", "seq": seq, "now_ms": tx.now_ms})
        self._note_crashes(tx, crashed, encoded)
        for queue, tasks in counts([held.queue for held, _ in crashed]).items():
            tx.moved(queue, TaskState.RUNNING, TaskState.READY, tasks)
        for held, _ in crashed:
            tx.effects.ready.append((held.queue, held.kind, held.priority))
            event = TaskEvent(held.packed, held.queue, held.kind, TaskState.READY, tx.now_ms, held.attempt)
            tx.effects.events.append(event)
            if held.lane is not None:
                freed(tx, held.queue, held.lane)

    def _note_crashes(self, tx: Tx, crashed: Sequence[tuple[Held, TaskError]], seqs: str) -> None:
        known = {row[0] for row in tx.all(_FIND_HISTORIES, {"seqs": seqs})}
        fresh = []
        for held, error in crashed:
            if held.seq in known:
                self.note(tx, held.seq, worker=held.worker, error=error)
            else:
                fresh.append((held.seq, msgspec.json.encode([error]), msgspec.json.encode([held.worker])))
        if fresh:
            tx.insert(_INSERT_HISTORY, fresh)

    def end(
        self, tx: Tx, held: Held, state: TaskState, reason: Reason, *, crashes: int, receipt: bytes | None
    ) -> None:
        """Makes a task dead or cancelled."""
        params = {
            "seq": held.seq,
            "state": state,
            "reason": reason,
            "crashes": crashes,
            "receipt": receipt,
            "now_ms": tx.now_ms,
        }
        ((awaited, notify, batch),) = move(tx, _END, params)
        self.record(tx, held, state, attempt=held.attempt, reason=reason)
        if notify:
            webhooks.ended(tx, [held.seq])
        if awaited:
            followers.ended(tx, {held.seq: False})
        if batch:
            membership.ended(tx, (batch,), state)

    def cancel_found(self, tx: Tx, held: Held, reason: Reason, *, receipt: bytes | None) -> None:
        """Cancels a task that was found waiting with others, unless what became of them has ended it."""
        if held.state is TaskState.BLOCKED:
            # The end of one of the others may have cancelled it, or released it.
            row = tx.one(_FIND_STATE, {"seq": held.seq, "id": held.packed})
            if row is None or row[0] in FINAL:
                return
            held = msgspec.structs.replace(held, state=TaskState(row[0]))
        self.end(tx, held, TaskState.CANCELLED, reason, crashes=0, receipt=receipt)

    def record(
        self, tx: Tx, held: Held, state: TaskState, *, attempt: int, reason: Reason | None = None
    ) -> None:
        """Tells the tallies and the events of a move that was made."""
        if state not in TRANSITIONS[held.state]:
            raise ValueError(f"no task goes from {held.state} to {state}")
        tx.moved(held.queue, held.state, state)
        event = TaskEvent(held.packed, held.queue, held.kind, state, tx.now_ms, attempt, reason)
        tx.effects.events.append(event)
        if held.lane is not None:
            freed(tx, held.queue, held.lane)

    def note(self, tx: Tx, seq: int, *, worker: str | None = None, error: TaskError | None = None) -> None:
        """Adds a past worker, an error, or both to a task's bounded history."""
        if worker is None and error is None:
            return
        row = tx.one(_READ_HISTORY, {"seq": seq}) or (None, None)
        errors, attempted_by = errors_of(row[0]), texts_of(row[1])
        if error is not None:
            errors = (*errors, error)[-self._config.errors_max :]
        if worker is not None:
            attempted_by = (*attempted_by, worker)[-self._config.attempted_by_max :]
        params = {
            "seq": seq,
            "errors": msgspec.json.encode(errors) if errors else None,
            "attempted_by": msgspec.json.encode(attempted_by) if attempted_by else None,
        }
        tx.run(_WRITE_HISTORY, params)


def counts(values: Sequence[T]) -> dict[T, int]:
    """How often each of them comes, for the tallies of a batch."""
    distinct = {*values}
    # Nearly always all are of one queue; a Counter takes longer to be made than to count.
    return {values[0]: len(values)} if len(distinct) == 1 else Counter(values)


def place_in_line_ms(tx: Tx, held: Held) -> int:
    """The run_at with which a task that is given back at once keeps its place in the line."""
    # Its own may lie ahead when the clock was set back since: it would have to wait for that.
    return min(held.run_at_ms, tx.now_ms)


def move(tx: Tx, sql: str, params: dict[str, Any]) -> list[Row]:
    """Runs a move of the task ``seq``; it gives up its unique key where another task holds that by now."""
    try:
        return tx.all(sql, params)
    except apsw.ConstraintError as error:
        if not _is_about_uniqueness(error):
            raise
        keys.give_way(tx, params["seq"], refuse=False)
        return tx.all(sql, params)


def move_or_refuse(tx: Tx, sql: str, params: dict[str, Any]) -> None:
    """Runs a move of the task ``seq`` that a person asked for.

    Raises:
        UniqueConflict: another task holds the key by now.
    """
    try:
        tx.run(sql, params)
    except apsw.ConstraintError as error:
        if not _is_about_uniqueness(error):
            raise
        keys.give_way(tx, params["seq"], refuse=True)
        tx.run(sql, params)


def _is_about_uniqueness(error: apsw.ConstraintError) -> bool:
    # apsw sets the attribute, its type stubs don't have it.
    return bool(getattr(error, "extendedresult", None) == apsw.SQLITE_CONSTRAINT_UNIQUE)
