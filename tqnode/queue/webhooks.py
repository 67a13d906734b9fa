"""Tells of the ends of tasks for which somebody asked: each is a task of its own, that delivers the event.

Called by whatever ends a task, in the transaction of the end: neither a crash nor a new leader can find the
one without the other. The tasks are of a queue that nobody but the node's deliverer claims from.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from tqnode import ids
from tqnode.queue.rows import errors_of, listed, texts_of
from tqnode.sql import statement
from tqnode.store.effects import TaskEvent
from tqnode.store.tx import Row, Tx
from tqnode.task import TaskState, Webhook
from tqnode.timing import stamp

_INSERT_WEBHOOK = "insert_webhook"
_INSERT_TASK = "insert_task"
_INSERT_BODY = "insert_body"
_MARK = statement("mark_notified")
_DELETE = statement("delete_webhooks")
_READ_ENDED = statement("read_ended")
_FIND_QUEUE = statement("find_queue")
_ADD_QUEUE = statement("add_queue")
_READ_DEPTH = statement("read_depth")

QUEUE = "tqnode.webhooks"
"""Reserved: clients neither enqueue into it nor claim from it."""
KIND = "tqnode.webhook"
META_KEY = "webhook"
PRIORITY = 128
LEASE_MS = 60_000
RESULT_BYTES_MAX = 64 * 1024
"""A larger result does not come with the event: receivers take small bodies."""
RETRY = msgspec.json.encode(
    # From seconds to a day, in all three days: the schedule that Standard Webhooks recommends.
    {
        "type": "list",
        "delays_s": [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400],
        "jitter": 0.1,
    }
)

BITS: Mapping[TaskState, int] = {TaskState.SUCCEEDED: 1, TaskState.DEAD: 2, TaskState.CANCELLED: 4}
"""In the task's ``notify``."""

_encode = msgspec.json.Encoder().encode
_hook = msgspec.json.Decoder(Webhook)


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What is told. ``data`` is JSON; ``source`` is the id of what it is about, such as a task's."""

    type: str
    data: bytes
    source: bytes


class Failure(msgspec.Struct, frozen=True):
    """The last error of a task, as an event tells it."""

    type: str
    message: str
    attempt: int
    at: str


class EndedTask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task that has ended, as its event tells it: under the names that ``GET /v1/tasks/{id}`` has."""

    id: str
    queue: str
    kind: str
    state: str
    reason: str | None = None
    priority: int
    created_at: str
    started_at: str | None = None
    finished_at: str
    attempt: int
    max_attempts: int
    worker: str | None = None
    unique_key: str | None = None
    tags: tuple[str, ...] = ()
    meta: Raw | None = None
    result: Raw | None = None
    result_left_out: bool = False
    error: Failure | None = None


def ask(tx: Tx, hooks: Mapping[int, Webhook | None]) -> None:
    """Notes for new tasks, by row number, whom to tell of their end."""
    rows = [(seq, hook) for seq, hook in hooks.items() if hook is not None]
    if rows:
        tx.insert(_INSERT_WEBHOOK, [(seq, _encode(hook)) for seq, hook in rows])
        tx.many(_MARK, [(sum(BITS[state] for state in {*hook.on}), seq) for seq, hook in rows])


def forget(tx: Tx, seqs: Sequence[int]) -> None:
    """Takes back what :func:`ask` noted."""
    tx.run(_DELETE, {"seqs": listed(seqs)})


def ended(tx: Tx, seqs: Sequence[int]) -> None:
    """Tells of tasks that have just ended, as they stand now, where their state is one that was asked for."""
    if not seqs:
        return
    rows = tx.all(_READ_ENDED, {"seqs": listed(seqs), "result_max": RESULT_BYTES_MAX})
    notify_all(tx, [(_hook.decode(row[19]), _event_of(row)) for row in rows if row[20] & BITS[row[4]]])


def notify(tx: Tx, hook: Webhook, event: Event) -> None:
    """Enqueues the delivery of an event; of whatever has ended in this transaction."""
    notify_all(tx, [(hook, event)])


def notify_all(tx: Tx, notices: Sequence[tuple[Webhook, Event]]) -> None:
    """Enqueues the deliveries of many events."""
    if not notices:
        return
    _need_queue(tx)
    tasks: list[Row] = []
    bodies: list[Row] = []
    seqs, made_ms = tx.take_seqs(len(notices)), tx.id_ms
    for seq, (hook, event) in zip(seqs, notices, strict=True):
        packed = ids.pack(at_ms=made_ms, seq=seq, nonce=_nonce(event.source, seq))
        fixed = (seq, packed, QUEUE, KIND, TaskState.READY, PRIORITY, made_ms, made_ms)
        tasks.append((*fixed, hook.max_attempts, LEASE_MS, None, None, None, None))
        bodies.append((seq, _body(packed, event, tx.now_ms), _meta(hook, event), None, hook.retry or RETRY))
        tx.effects.events.append(TaskEvent(packed, QUEUE, KIND, TaskState.READY, tx.now_ms, 0))
        tx.effects.entered(QUEUE, KIND, PRIORITY, TaskState.READY, made_ms)
    tx.insert(_INSERT_TASK, tasks)
    tx.insert(_INSERT_BODY, bodies)
    tx.moved(QUEUE, None, TaskState.READY, len(notices))


def _need_queue(tx: Tx) -> None:
    """Makes the queue, whatever the limits say: an end must not fail for want of room to tell of it."""
    if QUEUE in tx.depths:
        return
    if tx.one(_FIND_QUEUE, {"queue": QUEUE}) is None:
        tx.run(_ADD_QUEUE, {"queue": QUEUE, "now_ms": tx.now_ms})
    (tallied,) = tx.one(_READ_DEPTH, {"queue": QUEUE}) or (0,)
    tx.know_depth(QUEUE, tallied)


def _nonce(source: bytes, seq: int) -> int:
    """The random part of a delivery's id, as hard to guess as that of the id it is about."""
    digest = hashlib.blake2b(source + seq.to_bytes(8, "big"), digest_size=ids.NONCE_BITS // 8).digest()
    return int.from_bytes(digest, "big")


def _body(packed: bytes, event: Event, now_ms: int) -> bytes:
    """What is sent, at each attempt byte for byte the same."""
    told = {"type": event.type, "id": ids.text(packed), "timestamp": stamp(now_ms), "data": Raw(event.data)}
    return _encode(told)


def _meta(hook: Webhook, event: Event) -> bytes:
    """Where it is sent; not the secret, but its name."""
    about = {
        "of": ids.text(event.source),
        "type": event.type,
        "endpoint": hook.endpoint,
        "url": hook.url,
        "secret": hook.secret,
    }
    return _encode({META_KEY: {key: value for key, value in about.items() if value is not None}})


def _event_of(row: Row) -> Event:
    errors = errors_of(row[18])
    last = errors[-1] if errors and row[4] != TaskState.SUCCEEDED else None
    task = EndedTask(
        id=ids.text(row[1]),
        queue=row[2],
        kind=row[3],
        state=row[4],
        reason=row[5],
        priority=row[6],
        created_at=stamp(row[7]),
        started_at=_stamp_or_none(row[8]),
        finished_at=stamp(row[9]),
        attempt=row[10],
        max_attempts=row[11],
        worker=row[12],
        unique_key=row[13],
        meta=_raw(row[14]),
        tags=texts_of(row[15]),
        result=_raw(row[17]),
        result_left_out=row[16] is not None and row[17] is None,
        error=None if last is None else Failure(last.type, last.message, last.attempt, stamp(last.at_ms)),
    )
    return Event(type=f"task.{row[4]}", data=_encode(task), source=row[1])


def _stamp_or_none(at_ms: Any) -> str | None:
    return None if at_ms is None else stamp(at_ms)


def _raw(stored: bytes | None) -> Raw | None:
    return None if stored is None else Raw(stored)
