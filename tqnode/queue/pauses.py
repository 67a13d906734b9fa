"""Pauses of a queue and of the whole node, and the drain of a queue.

A pause that has an end is over from that moment on, whoever looks: claims compare the time. The sweeper only
clears it away, which wakes the claims that wait.
"""

import msgspec

from tqnode.errors import InvalidField, NotFound
from tqnode.queue.controls import changed
from tqnode.sql import statement
from tqnode.store.tx import Tx

_PAUSE_QUEUE = statement("pause_queue")
_RESUME_QUEUE = statement("resume_queue")
_DRAIN_QUEUE = statement("drain_queue")
_PAUSE_NODE = statement("pause_node")
_RESUME_NODE = statement("resume_node")
_FIND_ENDED = statement("find_ended_pauses")
_END_QUEUE_PAUSE = statement("end_queue_pause")
_END_NODE_PAUSE = statement("end_node_pause")


class NewPause(msgspec.Struct, frozen=True, kw_only=True):
    """A pause to begin now; with neither ``for_ms`` nor ``until_ms`` it lasts until somebody ends it."""

    for_ms: int | None = None
    until_ms: int | None = None
    reason: str | None = None

    def end_ms(self, now_ms: int) -> int | None:
        """When it ends by itself.

        Raises:
            InvalidField: that is over already.
        """
        if self.for_ms is not None:
            return now_ms + self.for_ms
        if self.until_ms is not None and self.until_ms <= now_ms:
            raise InvalidField("must be later than now", field="until")
        return self.until_ms


def pause(tx: Tx, name: str, new: NewPause) -> None:
    """Has a queue give out no tasks; it still takes them in.

    A pause that is there already gets the new end and reason.

    Raises:
        InvalidField: its end is over already.
        NotFound: there is no such queue.
    """
    until_ms = new.end_ms(tx.now_ms)
    params = {"queue": name, "now_ms": tx.now_ms, "until_ms": until_ms, "reason": new.reason}
    if not tx.run(_PAUSE_QUEUE, params):
        raise NotFound("queue", name)
    _note_end(tx, until_ms)


def resume(tx: Tx, name: str) -> None:
    """Has a queue give out tasks and take them in again: ends its pause and its drain.

    Raises:
        NotFound: there is no such queue.
    """
    if not tx.run(_RESUME_QUEUE, {"queue": name}):
        raise NotFound("queue", name)
    changed(tx)
    tx.effects.resumed.append(name)


def drain(tx: Tx, name: str) -> None:
    """Has a queue take in no new tasks; it gives out those that it has.

    Raises:
        NotFound: there is no such queue.
    """
    if not tx.run(_DRAIN_QUEUE, {"queue": name}):
        raise NotFound("queue", name)
    changed(tx)


def pause_node(tx: Tx, new: NewPause) -> None:
    """Has no queue give out tasks.

    Raises:
        InvalidField: its end is over already.
    """
    until_ms = new.end_ms(tx.now_ms)
    tx.run(_PAUSE_NODE, {"now_ms": tx.now_ms, "until_ms": until_ms, "reason": new.reason})
    _note_end(tx, until_ms)


def resume_node(tx: Tx) -> None:
    """Ends the whole node's pause; queues that are paused themselves stay so."""
    if tx.run(_RESUME_NODE):
        changed(tx)
        tx.effects.resumed.append(None)


def end_pauses(tx: Tx, limit: int) -> int:
    """Clears away up to ``limit`` pauses that are over, and has the claims that wait look again."""
    names = [name for (name,) in tx.all(_FIND_ENDED, {"now_ms": tx.now_ms, "limit": limit})]
    for name in names:
        tx.run(_END_QUEUE_PAUSE, {"queue": name})
    tx.effects.resumed += names
    of_node = tx.run(_END_NODE_PAUSE, {"now_ms": tx.now_ms})
    if of_node:
        tx.effects.resumed.append(None)
    if names or of_node:
        changed(tx)
    return len(names)


def _note_end(tx: Tx, until_ms: int | None) -> None:
    changed(tx)
    if until_ms is not None:
        tx.effects.due_ms.append(until_ms)
