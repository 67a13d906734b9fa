"""Deletes tasks with all that hangs on them."""

from collections.abc import Sequence

from tqnode.queue import followers
from tqnode.queue.rows import texts_of
from tqnode.sql import statement
from tqnode.store.tx import TaskEvent, Tx
from tqnode.task import FINAL, TaskState

_READ_TAGS = statement("read_tags")
_INSERT_TAG = statement("insert_tag")
_DELETE_TAG = statement("delete_tag")
_DELETE_TASK = statement("delete_task")
_DELETE_BODY = statement("delete_body")
_DELETE_NOTE = statement("delete_note")
_FORGET_PARENTS = statement("forget_parents")


def replace_tags(tx: Tx, seq: int, tags: Sequence[str]) -> None:
    """Takes a task's tags out of the tag table and puts ``tags`` in."""
    row = tx.one(_READ_TAGS, {"seq": seq})
    if row is not None and row[0] is not None:
        tx.many(_DELETE_TAG, [(tag, seq) for tag in texts_of(row[0])])
    if tags:
        tx.many(_INSERT_TAG, [(tag, seq) for tag in tags])


def remove(tx: Tx, seq: int, *, packed: bytes, queue: str, kind: str, state: TaskState, attempt: int) -> None:
    """Deletes one task. To those who wait for it, one that had not ended has ended without success."""
    replace_tags(tx, seq, ())
    key = {"seq": seq}
    ((needs, awaited),) = tx.all(_DELETE_TASK, key)
    tx.run(_DELETE_BODY, key)
    tx.run(_DELETE_NOTE, key)
    tx.moved(queue, state, None)
    tx.effects.events.append(TaskEvent(packed, queue, kind, None, tx.now_ms, attempt))
    if needs is not None:
        tx.run(_FORGET_PARENTS, key)
    if awaited and state not in FINAL:
        followers.ended(tx, {seq: False})
