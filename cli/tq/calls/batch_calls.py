"""The calls on batches as values, as :mod:`tq.calls` has those on all else; both clients make them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import msgspec

from tq import wire
from tq.calls import Call, Repeat, _checked_key, _query, _read, _reader, _segment, _write, seconds
from tq.new_tasks import is_url

# A callback comes at its event, once, and waits for nothing else.
_NONE_OF = ("delay_s", "run_at", "expires_at", "ref", "after", "unique")
_SHARED = [name for name in wire.CallbackTask.__struct_fields__ if name in wire.NewTask.__struct_fields__]
_EVENTS = ("on_failure", "on_finished", "on_success")


class BatchOptions(TypedDict, total=False):
    """What a batch is, besides its tasks; what is absent or ``None`` is left out."""

    name: str | None
    """For people."""
    open: bool
    """Whether more tasks are to come: it can't finish before it is closed."""
    on_failure: wire.NewTask | wire.CallbackTask | None
    """The task to enqueue when the first member is dead,"""
    on_finished: wire.NewTask | wire.CallbackTask | None
    """when all have ended,"""
    on_success: wire.NewTask | wire.CallbackTask | None
    """and when all have succeeded; each comes once."""
    webhook: wire.NewBatchWebhook | str | None
    """Whom to tell of these events: a URL, or the name of a webhook of the node's configuration."""


def create_batch(rows: Sequence[bytes], options: BatchOptions, *, key: str) -> Call[wire.EnqueuedBatch]:
    """Makes a batch of tasks that are JSON already.

    Raises:
        TypeError: an option that does not exist.
        ValueError: a callback has what none can have.
    """
    fields: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    for event in _EVENTS:
        if event in fields:
            fields[event] = _callback(event, fields[event])
    if isinstance(fields.get("webhook"), str) and is_url(fields["webhook"]):
        fields["webhook"] = wire.NewBatchWebhook(url=fields["webhook"])
    head = msgspec.json.encode(wire.NewBatch(**fields))
    comma = b"" if head == b"{}" else b","
    return Call(
        method="POST",
        path="/v1/batches",
        read=_reader(wire.EnqueuedBatch),
        repeat=Repeat.SAFE,
        body=head[:-1] + comma + b'"tasks":[' + b",".join(rows) + b"]}",
        idempotency_key=_checked_key(key),
    )


def add_to_batch(batch_id: str, rows: Sequence[bytes], *, key: str) -> Call[wire.EnqueuedBatch]:
    """Adds tasks that are JSON already."""
    return Call(
        method="POST",
        path=f"{_path(batch_id)}/tasks",
        read=_reader(wire.EnqueuedBatch),
        repeat=Repeat.SAFE,
        body=b"[" + b",".join(rows) + b"]",
        idempotency_key=_checked_key(key),
    )


def batch(batch_id: str, *, wait_s: float = 0.0) -> Call[wire.Batch]:
    """The batch; with ``wait_s`` when it has ended, or as it stands after so many seconds."""
    return Call(
        method="GET",
        path=f"{_path(batch_id)}{_query({'wait_s': seconds(wait_s)})}",
        read=_reader(wire.Batch),
        repeat=Repeat.READ,
        wait_s=wait_s,
    )


def batch_page(*, limit: int | None, cursor: str | None) -> Call[wire.BatchPage]:
    return _read(f"/v1/batches{_query({'limit': limit, 'cursor': cursor})}", wire.BatchPage)


def close_batch(batch_id: str) -> Call[wire.Batch]:
    return _write(f"{_path(batch_id)}/close", None, wire.Batch)


def cancel_batch(batch_id: str) -> Call[wire.Batch]:
    return _write(f"{_path(batch_id)}/cancel", None, wire.Batch)


def _path(batch_id: str) -> str:
    return f"/v1/batches/{_segment(batch_id)}"


def _callback(event: str, task: wire.NewTask | wire.CallbackTask) -> wire.CallbackTask:
    if isinstance(task, wire.CallbackTask):
        return task
    if not isinstance(task, wire.NewTask):
        raise TypeError(f"{event}: tasks are made by tq.new_task(...); got {type(task).__name__}")
    for field in _NONE_OF:
        if getattr(task, field) not in (None, []):
            raise ValueError(f"{event}: a callback has no {field}: it comes at its event, once")
    return wire.CallbackTask(**{name: getattr(task, name) for name in _SHARED})
