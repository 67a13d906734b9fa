"""What a person does with one task: cancel, retry, delete."""

from tqnode import ids
from tqnode.errors import NotFound, Overloaded, WrongState
from tqnode.queue import membership
from tqnode.queue.finish import plain_receipt
from tqnode.queue.moves import Held, Movement, move_or_refuse
from tqnode.queue.remove import remove
from tqnode.queue.results import renew_time
from tqnode.queue.rows import place, read_task
from tqnode.sql import statement
from tqnode.store.tx import Row, Tx
from tqnode.task import FINAL, Reason, Task, TaskState

_FIND = statement("find_managed")
_REQUEST_CANCEL = statement("request_cancel")
_RETRY = statement("retry_task")
_FIND_SETTLEMENT = statement("find_settlement")


def find(tx: Tx, seq: int, packed: bytes) -> tuple[Held, Row] | None:
    """A task as it stands, and what more of its row the operations need; None if it is not there.

    Args:
        seq: its row number.
        packed: its id.
    """
    row = tx.one(_FIND, {"seq": seq, "id": packed})
    if row is None:
        return None
    held = Held(
        seq=seq,
        packed=packed,
        queue=row[0],
        kind=row[1],
        state=TaskState(row[2]),
        priority=row[3],
        run_at_ms=row[4],
        attempt=row[5],
        crashes=0,
        worker=row[9],
    )
    return held, row


def _require(tx: Tx, task_id: str) -> tuple[Held, Row]:
    where = place(task_id)
    found = find(tx, where["seq"], where["id"])
    if found is None:
        raise NotFound("task", task_id)
    return found


class Manager:
    """The operations.

    Args:
        movement: moves the tasks.
    """

    def __init__(self, movement: Movement) -> None:
        self._movement = movement

    def cancel(self, tx: Tx, task_id: str) -> Task:
        """Cancels a waiting task; asks the worker of a running one to stop; leaves a final one.

        Raises:
            NotFound: there is no such task.
        """
        self.cancel_held(tx, *_require(tx, task_id))
        return read_task(tx, task_id)

    def cancel_held(self, tx: Tx, held: Held, row: Row) -> bool:
        """The same to a task that was found; whether it changed anything."""
        if held.state is TaskState.RUNNING:
            if row[7] is None:
                tx.run(_REQUEST_CANCEL, {"seq": held.seq, "now_ms": tx.now_ms})
            return row[7] is None
        if held.state in FINAL:
            return False
        self._movement.end(tx, held, TaskState.CANCELLED, Reason.REQUESTED, crashes=0, receipt=row[8])
        return True

    def retry(self, tx: Tx, task_id: str) -> Task:
        """Makes a scheduled or final task ready, with one more attempt if they are spent.

        A running or ready task stays as it is.

        Raises:
            NotFound: there is no such task.
            UniqueConflict: another task holds its key by now.
            WrongState: it waits on other tasks.
            Overloaded: not all who waited for its end know of it yet.
        """
        self.retry_held(tx, *_require(tx, task_id))
        return read_task(tx, task_id)

    def retry_held(self, tx: Tx, held: Held, row: Row) -> bool:
        """The same to a task that was found; whether it changed anything. A refusal has written nothing."""
        if held.state is TaskState.BLOCKED:
            raise WrongState("the task waits on other tasks", task=ids.text(held.packed))
        if row[10] and tx.one(_FIND_SETTLEMENT, {"seq": held.seq}) is not None:
            # Else its next end would meet tasks to which this one is still to be told.
            raise Overloaded(f"tasks that waited for {ids.text(held.packed)} are still being told of its end")
        if held.state not in FINAL and held.state is not TaskState.SCHEDULED:
            return False
        receipt = row[8]
        if receipt is None and held.state is TaskState.SUCCEEDED:
            receipt = plain_receipt(ids.text(held.packed))
        params = {
            "seq": held.seq,
            "run_at_ms": tx.id_ms,
            "max_attempts": max(row[6], held.attempt + 1),
            "receipt": receipt,
            "now_ms": tx.now_ms,
        }
        move_or_refuse(tx, _RETRY, params)
        renew_time(tx, held.seq)
        self._movement.note(tx, held.seq, worker=held.worker)
        self._movement.record(tx, held, TaskState.READY, attempt=held.attempt)
        if row[11] and held.state in FINAL:
            membership.reopened(tx, row[11], held.state)
        tx.effects.ready.append((held.queue, held.kind, held.priority))
        return True

    def delete(self, tx: Tx, task_id: str) -> None:
        """Deletes a task that no worker holds.

        Raises:
            NotFound: there is no such task.
            WrongState: it is running.
        """
        held, _ = _require(tx, task_id)
        if held.state is TaskState.RUNNING:
            raise WrongState("the task is running: cancel it first", task=task_id)
        remove(tx, [(held.seq, held.packed, held.queue, held.kind, held.state, held.attempt)])
