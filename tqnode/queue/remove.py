"""Deletes tasks with all that hangs on them."""

from collections.abc import Sequence

from tqnode.queue import membership
from tqnode.queue.dependencies import followers
from tqnode.queue.moves import counts
from tqnode.queue.rows import listed, texts_of
from tqnode.sql import statement
from tqnode.store.tx import Row, Tx
from tqnode.task import FINAL, TaskState

_READ_TAGS = statement("read_tags")
_INSERT_TAG = statement("insert_tag")
_DELETE_TAG = statement("delete_tag")
_FIND_TIED = statement("find_tied")
_DELETE_TAGS = statement("delete_tags")
_DELETE_TASKS = statement("delete_tasks")
_DELETE_BODIES = statement("delete_bodies")
_DELETE_NOTES = statement("delete_notes")
_FORGET_PARENTS = statement("forget_parents")
_DELETE_WEBHOOKS = statement("delete_webhooks")
_FIND_EXTRAS = statement("find_extras")
_NOTE_REMAINS = statement("note_remains")
_FORGET_RESULT_TIMES = statement("forget_result_times")


def replace_tags(tx: Tx, seq: int, tags: Sequence[str]) -> None:
    """Takes a task's tags out of the tag table and puts ``tags`` in."""
    row = tx.one(_READ_TAGS, {"seq": seq})
    if row is not None and row[0] is not None:
        tx.many(_DELETE_TAG, [(tag, seq) for tag in texts_of(row[0])])
    if tags:
        tx.many(_INSERT_TAG, [(tag, seq) for tag in tags])


def remove(tx: Tx, tasks: Sequence[Row]) -> None:
    """Deletes tasks. One that had not ended has ended without success to those who wait for it, and to its
    batch as if it was cancelled.

    Args:
        tasks: their rows, each begins with: seq, id, queue, kind, state, attempt.
    """
    if not tasks:
        return
    # A statement for all: each end of one is a turn in the queue for the interpreter, which a busy event loop
    # makes a long one.
    seqs, packed, queues, kinds, states, attempts = zip(*(row[:6] for row in tasks), strict=True)
    which = {"seqs": listed(seqs)}
    tied = tx.all(_FIND_TIED, which)
    has_lines, has_times = tx.all(_FIND_EXTRAS, {"low": min(seqs), "high": max(seqs)})[0]
    tx.run(_DELETE_TAGS, which)
    tx.run(_DELETE_TASKS, which)
    tx.run(_DELETE_BODIES, which)
    tx.run(_DELETE_NOTES, which)
    for (queue, state), count in counts(list(zip(queues, states, strict=True))).items():
        tx.moved(queue, TaskState(state), None, count)
    tx.effects.events.tell(packed, queues, kinds, (None,) * len(packed), tx.now_ms, attempts)
    if has_times:
        tx.run(_FORGET_RESULT_TIMES, which)
    if has_lines and tx.run(_NOTE_REMAINS, which):
        # Logs may be long: their lines go bit by bit.
        tx.effects.due_ms.append(tx.now_ms)
    if tied:
        of_tied = {"seqs": listed([seq for seq, *_ in tied])}
        tx.run(_FORGET_PARENTS, of_tied)
        tx.run(_DELETE_WEBHOOKS, of_tied)
        unfinished = [row for row in tied if TaskState(row[1]) not in FINAL]
        followers.ended(tx, dict.fromkeys([row[0] for row in unfinished if row[2]], False))
        membership.ended(tx, [row[4] for row in unfinished], TaskState.CANCELLED)
