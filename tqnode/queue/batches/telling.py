"""Tells of what batches come to, where somebody asked for that.

Called in the transaction that acts on an event: neither a crash nor a new leader can find the delivery
without the event having gone, or the other way about.
"""

import msgspec

from tqnode import ids
from tqnode.queue import webhooks
from tqnode.queue.batches import Batch
from tqnode.queue.membership import BatchEvent
from tqnode.store.tx import Tx
from tqnode.timing import stamp

_encode = msgspec.json.Encoder().encode


class MadeCallback(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A callback, as an event of its batch tells it."""

    kind: str
    queue: str
    task: str | None = None


class ToldBatch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A batch, as its event tells it: under the names that ``GET /v1/batches/{id}`` has."""

    id: str
    name: str | None = None
    state: str
    total: int
    pending: int
    succeeded: int
    dead: int
    cancelled: int
    created_at: str
    failed_at: str | None = None
    finished_at: str | None = None
    succeeded_at: str | None = None
    cancelled_at: str | None = None
    on_failure: MadeCallback | None = None
    on_finished: MadeCallback | None = None
    on_success: MadeCallback | None = None


def tell(tx: Tx, batch: Batch, event: BatchEvent) -> None:
    """Enqueues the delivery of a batch's event, if the batch asked for it."""
    hook = batch.webhook
    if hook is not None and event in hook.on:
        told = webhooks.Event(type=f"batch.{event}", data=body_of(batch), source=ids.parse(batch.id))
        webhooks.notify(tx, hook.to, told)


def body_of(batch: Batch) -> bytes:
    """The batch as JSON."""
    callbacks = {
        f"on_{one.event}": MadeCallback(kind=one.kind, queue=one.queue, task=one.task)
        for one in batch.callbacks
    }
    return _encode(
        ToldBatch(
            id=batch.id,
            name=batch.name,
            state=batch.state,
            total=batch.total,
            pending=batch.pending,
            succeeded=batch.succeeded,
            dead=batch.dead,
            cancelled=batch.cancelled,
            created_at=stamp(batch.created_at_ms),
            failed_at=_stamp_or_none(batch.failed_at_ms),
            finished_at=_stamp_or_none(batch.finished_at_ms),
            succeeded_at=_stamp_or_none(batch.succeeded_at_ms),
            cancelled_at=_stamp_or_none(batch.cancelled_at_ms),
            **callbacks,
        )
    )


def _stamp_or_none(at_ms: int | None) -> str | None:
    return None if at_ms is None else stamp(at_ms)
