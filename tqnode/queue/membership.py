"""Counts the members of batches, and notes what a batch has come to.

Called by whatever makes, ends, retries or deletes a task. What a batch has come to is a row in
``batch_event``, written in the transaction that brought it about; ``callbacks`` has what is done then.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import repeat

import msgspec

from tqnode import ids
from tqnode.queue.rows import listed
from tqnode.sql import statement
from tqnode.store.tx import Row, Tx
from tqnode.task import ClaimedTask, TaskState

_COUNT = statement("count_members")
_CLOSE = statement("close_batch")
_MARK = statement("mark_batch")
_ADD_EVENT = statement("add_batch_event")
_READ_IDS = statement("read_batch_ids")

_UNCHANGED = {"total": 0, "pending": 0, "succeeded": 0, "dead": 0, "cancelled": 0}


class BatchEvent(StrEnum):
    """What a batch comes to, each at most once."""

    FAILURE = "failure"
    """A member is dead, the first one."""
    FINISHED = "finished"
    """Every member has ended, and no more are to come."""
    SUCCESS = "success"
    """Every member has succeeded, and no more are to come."""


def joined(tx: Tx, batch: int, tasks: int) -> None:
    """Tasks were made as members."""
    _count(tx, batch, {"total": tasks, "pending": tasks})


def ended(tx: Tx, batches: Iterable[int | None], state: TaskState) -> None:
    """Tasks have ended so, or were deleted instead.

    Args:
        batches: the batch of each, None of those that are of none.
        state: a final one.
    """
    for batch, tasks in Counter(batches).items():
        if batch is not None:
            _count(tx, batch, {"pending": -tasks, state.value: tasks})


def reopened(tx: Tx, batch: int, state: TaskState) -> None:
    """A person has had a member retried that had ended so."""
    _count(tx, batch, {"pending": 1, state.value: -1})


def close(tx: Tx, batch: int) -> None:
    """No more tasks are to come than its members add."""
    _judge(tx, batch, tx.all(_CLOSE, {"batch": batch, "now_ms": tx.now_ms}))


def _count(tx: Tx, batch: int, changes: dict[str, int]) -> None:
    _judge(tx, batch, tx.all(_COUNT, {**_UNCHANGED, **changes, "batch": batch, "now_ms": tx.now_ms}))


def _judge(tx: Tx, batch: int, rows: list[Row]) -> None:
    """Notes what the batch has come to by its counts; a batch that was deleted comes to nothing."""
    if not rows:
        return
    is_open, total, pending, succeeded, dead, failed_ms, finished_ms, succeeded_ms, cancelled_ms = rows[0]
    come: list[BatchEvent] = []
    if dead and failed_ms is None:
        come.append(BatchEvent.FAILURE)
    if not (pending or is_open):
        tx.effects.batches.append(batch)
        if finished_ms is None:
            come.append(BatchEvent.FINISHED)
        if succeeded == total and succeeded_ms is None and cancelled_ms is None:
            come.append(BatchEvent.SUCCESS)
    if not come:
        return
    params = {event.value: event in come for event in BatchEvent}
    tx.run(_MARK, params | {"batch": batch, "now_ms": tx.now_ms})
    # Due by any clock: this one may be set back.
    tx.many(_ADD_EVENT, [(batch, event.value, 0) for event in come])
    tx.effects.due_ms.append(tx.now_ms)


def with_batches(tx: Tx, tasks: Sequence[ClaimedTask], batches: Sequence[int | None]) -> list[ClaimedTask]:
    """Claimed tasks with the ids of their batches.

    Args:
        batches: the batch of each, None of those that are of none.
    """
    seqs = [batch for batch in {*batches} if batch is not None]
    known = {seq: ids.text(packed) for seq, packed in tx.all(_READ_IDS, {"seqs": listed(seqs)})}
    names = map(known.get, batches, repeat(None))
    return [
        task if batch is None else msgspec.structs.replace(task, batch=batch)
        for task, batch in zip(tasks, names, strict=True)
    ]
