"""Acts on what batches have come to: enqueues their callbacks, and tells whoever asked or listens.

The sweeper has it done. An event is a row from the transaction that brought it about until the one that acts
on it: neither a crash nor a new leader can lose it, or find it acted upon and still there.
"""

import logging
from collections.abc import Callable
from functools import partial

import msgspec

from tqnode import ids
from tqnode.errors import QueueFull
from tqnode.queue.batches import Batch, read, template_of
from tqnode.queue.batches.telling import tell
from tqnode.queue.enqueue import Enqueuer
from tqnode.queue.membership import BatchEvent
from tqnode.queue.meta import with_note
from tqnode.queue.schedules import Template
from tqnode.sql import statement
from tqnode.store.tx import Tx
from tqnode.task import TaskSpec

_FIND_DUE = statement("find_due_batch_events")
_FIND_CALLBACK = statement("find_batch_callback")
_NOTE = statement("note_batch_callback")
_PUT_OFF = statement("put_batch_event_off")
_DELETE = statement("delete_batch_event")

PIECES_AN_EVENT = 4
"""Pieces of a slice that one event counts for: it is about so many times the work of others."""
PUT_OFF_MS_MAX = 60_000
"""Longest time for which a callback waits before it is tried again."""
META_KEY = "batch"

Listener = Callable[[Tx, Batch, BatchEvent], None]
"""Is told of an event in the transaction that acts on it: what it writes there comes once, too."""

logger = logging.getLogger(__name__)


class Callbacks:
    """Deals with the events of batches.

    Args:
        enqueuer: makes the callbacks' tasks.
    """

    def __init__(self, enqueuer: Enqueuer) -> None:
        self._enqueuer = enqueuer
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Has ``listener`` told of every event from now on, each once; it must not raise."""
        self._listeners.append(listener)

    def fire_due(self, tx: Tx, limit: int) -> int:
        """Does up to ``limit`` pieces of what is due; answers how many it did."""
        room = max(1, limit // PIECES_AN_EVENT)
        # What was put off for longer than anything is was put off by another clock.
        params = {"now_ms": tx.now_ms, "never_ms": tx.now_ms + PUT_OFF_MS_MAX, "limit": room}
        rows = tx.all(_FIND_DUE, params)
        for seq, event, packed in rows:
            self._act(tx, seq, BatchEvent(event), read(tx, ids.text(packed)))
        return max(limit, len(rows)) if len(rows) >= room else len(rows)

    def _act(self, tx: Tx, seq: int, event: BatchEvent, batch: Batch) -> None:
        where = {"batch": seq, "event": event.value}
        row = tx.one(_FIND_CALLBACK, where)
        if row is not None:
            spec = task_of(template_of(*row), batch, event, now_ms=tx.now_ms)
            try:
                (made,) = tx.atomically(partial(self._enqueuer.enqueue, tx, [spec], follows=True))
            except QueueFull as error:
                logger.warning("batch %s waits with its callback: %s", batch.id, error.detail)
                due_ms = tx.now_ms + min(PUT_OFF_MS_MAX, round(error.retry_after_s * 1000))
                tx.run(_PUT_OFF, where | {"due_ms": due_ms})
                tx.effects.due_ms.append(due_ms)
                return
            tx.run(_NOTE, where | {"task": ids.parse(made.id)})
            if batch.webhook is not None:
                # It tells which task the callback has become.
                batch = read(tx, batch.id)
        tell(tx, batch, event)
        for listener in self._listeners:
            listener(tx, batch, event)
        tx.run(_DELETE, where)


def task_of(template: Template, batch: Batch, event: BatchEvent, *, now_ms: int) -> TaskSpec:
    """The task of a callback; its meta says of which batch and event, and how the members stand."""
    about: dict[str, object] = {"id": batch.id, "event": event.value}
    if batch.name is not None:
        about["name"] = batch.name
    for count in ("total", "pending", "succeeded", "dead", "cancelled"):
        about[count] = getattr(batch, count)
    return msgspec.structs.replace(
        template.spec,
        meta=with_note(template.spec.meta, META_KEY, msgspec.json.encode(about)),
        expires_at_ms=None if template.expires_ms is None else now_ms + template.expires_ms,
    )
