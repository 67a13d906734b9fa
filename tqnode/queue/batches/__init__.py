"""The batches: made, looked at, added to, closed, cancelled.

``membership`` counts their members, ``callbacks`` acts on what they come to.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from tqnode import ids
from tqnode.clock import Rng
from tqnode.errors import BatchCancelled, BatchFinished, NotFound
from tqnode.queue import cursors, membership
from tqnode.queue.enqueue import Enqueuer, known_answer, remember
from tqnode.queue.membership import BatchEvent
from tqnode.queue.moves import Held, Movement
from tqnode.queue.rows import Reads, listed
from tqnode.queue.schedules import Template
from tqnode.sql import statement
from tqnode.store.readers import Reader
from tqnode.store.tx import Row, Tx
from tqnode.task import FINAL, Enqueued, Idempotency, Reason, TaskSpec, TaskState, Webhook

_INSERT = statement("insert_batch")
_INSERT_CALLBACK = statement("insert_batch_callback")
_READ = statement("read_batch")
_LIST = statement("list_batches")
_READ_CALLBACKS = statement("read_batch_callbacks")
_BEGIN_CANCEL = statement("begin_batch_cancel")
_ADVANCE_CANCEL = statement("advance_batch_cancel")
_FIND_TO_CANCEL = statement("find_batch_to_cancel")
_FIND_MEMBERS = statement("find_members")
_REQUEST_CANCEL = statement("request_cancel")
_FIND_IDLE = statement("find_idle_batches")
_DELETE = statement("delete_batches")
_DELETE_CALLBACKS = statement("delete_batch_callbacks")

CANCELLED_AT_ONCE = 256
"""Members that are cancelled with the request; the sweeper goes on with the others."""


class BatchState(StrEnum):
    OPEN = "open"
    """More tasks are to come: it can't finish before it is closed."""
    RUNNING = "running"
    """It finishes once its members have ended."""
    FINISHED = "finished"
    """Its members have all ended, once at least: a person may have had some retried since."""


class BatchHook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whom to tell of a batch's events."""

    to: Webhook
    """Its ``on`` says nothing here: it is about ends of tasks."""
    on: tuple[BatchEvent, ...] = tuple(BatchEvent)


class BatchSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A batch to make.

    Args:
        name: for people.
        open: whether more tasks are to come before it may finish.
        callbacks: the task to enqueue at each event.
        webhook: whom to tell of the events.
    """

    name: str | None = None
    open: bool = False
    callbacks: Mapping[BatchEvent, Template] = {}
    webhook: BatchHook | None = None


class Made(msgspec.Struct, frozen=True):
    """A batch that tasks were enqueued in, and what became of each."""

    id: str
    tasks: list[Enqueued]


class Callback(msgspec.Struct, frozen=True):
    """What an event is answered with: a task of this kind and queue; its id once it was made."""

    event: BatchEvent
    kind: str
    queue: str
    task: str | None


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as it stands. The counts of ended members include those that were deleted since."""

    id: str
    name: str | None
    state: BatchState
    total: int
    pending: int
    """Members that have not ended."""
    succeeded: int
    dead: int
    cancelled: int
    """Those deleted before they had ended included."""
    created_at_ms: int
    failed_at_ms: int | None
    """When a member was dead first,"""
    finished_at_ms: int | None
    """when all had ended,"""
    succeeded_at_ms: int | None
    """and when all had succeeded, each the first time."""
    cancelled_at_ms: int | None
    callbacks: tuple[Callback, ...] = ()
    webhook: BatchHook | None = None

    @property
    def ended(self) -> bool:
        """Whether it has finished and none of its members was retried since, or all of those have ended."""
        return self.state is BatchState.FINISHED and not self.pending


class BatchPage(msgspec.Struct, frozen=True):
    """``next_cursor`` is None on the last page."""

    batches: list[Batch]
    next_cursor: str | None


_encode = msgspec.json.Encoder().encode
_template = msgspec.json.Decoder(Template).decode
_made = msgspec.json.Decoder(Made).decode
_hook = msgspec.json.Decoder(BatchHook).decode


def template_of(stored: bytes, payload: bytes) -> Template:
    """A callback's task as it was given."""
    bare = _template(stored)
    return msgspec.structs.replace(bare, spec=msgspec.structs.replace(bare.spec, payload=payload))


def create(
    tx: Tx,
    spec: BatchSpec,
    tasks: Sequence[TaskSpec],
    *,
    enqueuer: Enqueuer,
    rng: Rng,
    idempotency: Idempotency | None,
) -> Made:
    """Makes a batch with its first tasks, all or nothing; a repeated key gets the first answer again.

    A task that is found instead of made, by its unique key, does not become a member.

    Raises:
        IdempotencyMismatch, UniqueConflict, QueueFull, InvalidField: as for an enqueue.
    """
    known = known_answer(tx, idempotency)
    if known is not None:
        return _made(known)
    (seq,) = tx.take_seqs(1)
    packed = ids.pack(at_ms=tx.id_ms, seq=seq, nonce=rng.bits(ids.NONCE_BITS))
    hook = None if spec.webhook is None else _encode(spec.webhook)
    fields = {"seq": seq, "id": packed, "name": spec.name, "now_ms": tx.now_ms, "webhook": hook}
    tx.run(_INSERT, fields)
    rows = []
    for event, template in spec.callbacks.items():
        bare = msgspec.structs.replace(template, spec=msgspec.structs.replace(template.spec, payload=b""))
        rows.append((seq, event.value, _encode(bare), template.spec.payload))
    tx.many(_INSERT_CALLBACK, rows)
    made = Made(ids.text(packed), enqueuer.enqueue(tx, tasks, batch=seq) if tasks else [])
    if not spec.open:
        membership.close(tx, seq)
    remember(tx, idempotency, made)
    return made


def add(
    tx: Tx,
    batch_id: str,
    tasks: Sequence[TaskSpec],
    *,
    enqueuer: Enqueuer,
    idempotency: Idempotency | None,
) -> Made:
    """Adds tasks to a batch that has not finished, all or nothing; with a repeated key as :func:`create`.

    Raises:
        NotFound: there is no such batch.
        BatchFinished: its members have all ended.
        BatchCancelled: it was cancelled.
        IdempotencyMismatch, UniqueConflict, QueueFull, InvalidField: as for an enqueue.
    """
    known = known_answer(tx, idempotency)
    if known is not None:
        return _made(known)
    row = _find(tx, batch_id)
    batch = _batch_of(row)
    if batch.cancelled_at_ms is not None:
        raise BatchCancelled(f"batch {batch.id} was cancelled: it takes no more tasks")
    if batch.finished_at_ms is not None:
        raise BatchFinished(f"batch {batch.id} has finished: it takes no more tasks")
    made = Made(batch.id, enqueuer.enqueue(tx, tasks, batch=row[0]))
    remember(tx, idempotency, made)
    return made


def read(reader: Reads, batch_id: str) -> Batch:
    """One batch.

    Raises:
        NotFound: there is none.
    """
    return _with_callbacks(reader, [_find(reader, batch_id)])[0]


def page(reader: Reader, *, limit: int, cursor: str | None) -> BatchPage:
    """Batches, newest first, below the cursor.

    Raises:
        InvalidCursor: no page ended with this cursor.
    """
    before = cursors.seq_of(cursor)
    rows = reader.all(_LIST, {"before": before, "limit": limit + 1})
    shown = rows[:limit]
    more = cursors.of_seq(shown[-1][0]) if len(rows) > limit else None
    return BatchPage(_with_callbacks(reader, shown), more)


def close(tx: Tx, batch_id: str) -> Batch:
    """Lets a batch finish; one that is closed already stays as it is.

    Raises:
        NotFound: there is none.
    """
    row = _find(tx, batch_id)
    if row[3]:
        membership.close(tx, row[0])
    return read(tx, batch_id)


def cancel(tx: Tx, batch_id: str, *, movement: Movement) -> Batch:
    """Closes a batch and cancels its members as a person would each: the first at once, the others soon.

    One that has finished, or was cancelled before, stays as it is.

    Raises:
        NotFound: there is none.
    """
    row = _find(tx, batch_id)
    batch = _batch_of(row)
    if batch.finished_at_ms is None and batch.cancelled_at_ms is None:
        tx.run(_BEGIN_CANCEL, {"batch": row[0], "now_ms": tx.now_ms})
        _cancel_slice(tx, row[0], row[0], CANCELLED_AT_ONCE, movement=movement)
        # One without members has no end to count.
        membership.close(tx, row[0])
    return read(tx, batch_id)


def cancel_rest(tx: Tx, limit: int, *, movement: Movement) -> int:
    """Goes on with what :func:`cancel` has begun; how many members were looked at."""
    done = 0
    while done < limit:
        row = tx.one(_FIND_TO_CANCEL)
        if row is None:
            break
        # A batch counts too, were there very many small ones.
        done += 1 + _cancel_slice(tx, row[0], row[1], limit - done, movement=movement)
    return done


def _cancel_slice(tx: Tx, batch: int, after: int, limit: int, *, movement: Movement) -> int:
    """Cancels the next members; how many were looked at."""
    rows = tx.all(_FIND_MEMBERS, {"batch": batch, "after": after, "limit": limit})
    for row in rows:
        _cancel_member(tx, row, movement)
    through = rows[-1][0] if len(rows) == limit else None
    tx.run(_ADVANCE_CANCEL, {"batch": batch, "through": through})
    if through is not None:
        tx.effects.due_ms.append(tx.now_ms)
    return len(rows)


def _cancel_member(tx: Tx, row: Row, movement: Movement) -> None:
    state = TaskState(row[4])
    if state is TaskState.RUNNING:
        if row[9] is None:
            tx.run(_REQUEST_CANCEL, {"seq": row[0], "now_ms": tx.now_ms})
        return
    if state in FINAL:
        return
    held = Held(
        seq=row[0],
        packed=row[1],
        queue=row[2],
        kind=row[3],
        state=state,
        priority=row[5],
        run_at_ms=row[6],
        attempt=row[7],
        crashes=0,
        worker=None,
    )
    movement.cancel_found(tx, held, Reason.REQUESTED, receipt=row[8])


def remove_idle(tx: Tx, limit: int, *, age_ms: int) -> int:
    """Batches with nothing to come to an end in which nothing has changed for ``age_ms``: deleted."""
    seqs = [row[0] for row in tx.all(_FIND_IDLE, {"before_ms": tx.now_ms - age_ms, "limit": limit})]
    if seqs:
        tx.run(_DELETE, {"seqs": listed(seqs)})
        tx.run(_DELETE_CALLBACKS, {"seqs": listed(seqs)})
        tx.effects.batches += seqs
    return len(seqs)


def _find(reader: Reads, batch_id: str) -> Row:
    try:
        packed = ids.parse(batch_id)
    except ValueError:
        raise NotFound("batch", batch_id) from None
    row = reader.one(_READ, {"seq": ids.seq_of(packed), "id": packed})
    if row is None:
        raise NotFound("batch", batch_id)
    return row


def _with_callbacks(reader: Reads, rows: Sequence[Row]) -> list[Batch]:
    callbacks: dict[int, list[Callback]] = {}
    for seq, event, stored, task in reader.all(_READ_CALLBACKS, {"seqs": listed([row[0] for row in rows])}):
        spec = _template(stored).spec
        made = None if task is None else ids.text(task)
        callbacks.setdefault(seq, []).append(Callback(BatchEvent(event), spec.kind, spec.queue, made))
    return [
        msgspec.structs.replace(_batch_of(row), callbacks=tuple(callbacks.get(row[0], ()))) for row in rows
    ]


def _batch_of(row: Row) -> Batch:
    state = BatchState.OPEN if row[3] else BatchState.RUNNING
    if row[12] is not None:
        state = BatchState.FINISHED
    return Batch(
        id=ids.text(row[1]),
        name=row[2],
        state=state,
        total=row[4],
        pending=row[5],
        succeeded=row[6],
        dead=row[7],
        cancelled=row[8],
        created_at_ms=row[9],
        failed_at_ms=row[11],
        finished_at_ms=row[12],
        succeeded_at_ms=row[13],
        cancelled_at_ms=row[14],
        webhook=None if row[16] is None else _hook(row[16]),
    )
