"""Every call of the API as a value: what to send, how to read the answer, when it may be repeated.

Nothing here touches the network; the two clients carry these out in the same way.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Generic, TypedDict, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from tq import wire
from tq.new_tasks import TaskOptions as TaskOptions
from tq.new_tasks import new_task as new_task
from tq.values import encode_unless_unset

T = TypeVar("T")

ERROR_TRACE_CHARS_MAX = 20_000
IDEMPOTENCY_KEY_CHARS_MAX = 200
RESTORE_S = 300.0
"""How long a node may take to restore a past state, in seconds."""

Moment = datetime | str
"""With a time zone; a text in RFC 3339."""


class Repeat(Enum):
    """When a call may be sent again."""

    READ = "it changes nothing"
    SAFE = "the second one has no further effect"
    ONCE = "only if the first was certainly not carried out"


class Call(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One logical call.

    Attributes:
        read: makes the result from the body of a 2xx answer.
        wait_s: how long the node may hold the answer back, in seconds.
        idempotency_key: sent with every attempt, so that the node makes the write once.
        gone_is_done: a 404 after an attempt without an answer means that attempt did it.
        divisible: its tasks can go singly, so a full queue, which need not be that of all, is not waited for.
    """

    method: str
    path: str
    read: Callable[[bytes], T]
    repeat: Repeat
    body: bytes | None = None
    wait_s: float = 0.0
    idempotency_key: str | None = None
    gone_is_done: bool = False
    divisible: bool = False


class Criteria(TypedDict, total=False):
    """Which tasks; several queues, states or kinds mean any of them."""

    queue: str | Sequence[str] | None
    state: wire.State | Sequence[wire.State] | None
    kind: str | Sequence[str] | None
    tag: str | None
    worker: str | None
    limit_key: str | None
    batch: str | None
    min_priority: int | None
    max_priority: int | None
    created_after: datetime | str | None
    created_before: datetime | str | None
    finished_after: datetime | str | None
    finished_before: datetime | str | None
    text: str | None
    """In the kind or in a tag, whatever the case of ASCII letters."""
    error_type: str | None
    """Of the last error."""
    payload_has: Mapping[str, wire.Scalar] | None
    """What must stand in the payload, by path: ``{"user.id": 42, "items[0].kind": "a"}``."""
    meta_has: Mapping[str, wire.Scalar] | None


class Filters(Criteria, total=False):
    """Which tasks to list, and how."""

    payload: bool
    at: datetime | str | None
    """A moment: the list is as it was then. The node restores that state from its archive."""


def enqueue(task: wire.NewTask, *, key: str) -> Call[wire.Task]:
    return _write("/v1/tasks", task, wire.Task, idempotency_key=_checked_key(key))


def enqueue_rows(rows: Sequence[bytes], *, partial: bool, key: str) -> Call[list[wire.Enqueued]]:
    """Enqueues tasks that are JSON already."""
    many = _reader(wire.EnqueuedMany)
    return Call(
        method="POST",
        path="/v1/tasks?partial=true" if partial else "/v1/tasks",
        read=lambda body: many(body).results,
        repeat=Repeat.SAFE,
        body=b"[" + b",".join(rows) + b"]",
        idempotency_key=_checked_key(key),
    )


def get(task_id: str, *, at: Moment | None = None, wait_s: float = 0.0) -> Call[wire.Task]:
    """The task; with ``wait_s`` when it has ended, or as it stands after so many seconds."""
    query = _query({"at": at, "wait_s": seconds(wait_s)})
    path = f"/v1/tasks/{_segment(task_id)}{query}"
    past_s = 0.0 if at is None else RESTORE_S
    return Call(
        method="GET", path=path, read=_reader(wire.Task), repeat=Repeat.READ, wait_s=max(wait_s, past_s)
    )


def graph(task_id: str, *, limit: int | None = None, at: Moment | None = None) -> Call[wire.Graph]:
    path = f"/v1/tasks/{_segment(task_id)}/graph{_query({'limit': limit, 'at': at})}"
    return _read(path, wire.Graph, past=at is not None)


def page(
    filters: Mapping[str, Any], *, limit: int | None = None, cursor: str | None = None
) -> Call[wire.TaskPage]:
    query = {**flat(filters), "limit": limit, "cursor": cursor}
    return _read(f"/v1/tasks{_query(query)}", wire.TaskPage, past=filters.get("at") is not None)


def cancel(task_id: str) -> Call[wire.Task]:
    return _write(f"/v1/tasks/{_segment(task_id)}/cancel", None, wire.Task)


def retry(task_id: str) -> Call[wire.Task]:
    # A second one would run again what the first one started and finished meanwhile.
    return _write(f"/v1/tasks/{_segment(task_id)}/retry", None, wire.Task, repeat=Repeat.ONCE)


def delete(task_id: str) -> Call[None]:
    return _delete(f"/v1/tasks/{_segment(task_id)}")


def claim(ask: wire.Claim) -> Call[list[wire.ClaimedTask]]:
    claimed = _reader(wire.Claimed)
    return Call(
        method="POST",
        path="/v1/claims",
        read=lambda body: claimed(body).tasks,
        # A second one would claim further tasks while the first ones sit with nobody.
        repeat=Repeat.ONCE,
        body=msgspec.json.encode(ask),
        wait_s=ask.wait_s,
    )


def heartbeat(
    task_id: str, token: str, *, lease_s: float | None, progress: Any
) -> Call[wire.HeartbeatAnswer]:
    body = wire.Heartbeat(
        token=token, lease_s=lease_s, progress=encode_unless_unset(progress, name="progress")
    )
    return _write(f"/v1/tasks/{_segment(task_id)}/heartbeat", body, wire.HeartbeatAnswer)


def complete(task_id: str, token: str, *, result: Any, then: Iterable[wire.NewTask]) -> Call[wire.Finished]:
    body = wire.Complete(token=token, result=encode_unless_unset(result, name="result"), then=list(then))
    return _write(f"/v1/tasks/{_segment(task_id)}/complete", body, wire.Finished)


def fail(
    task_id: str,
    token: str,
    *,
    error: wire.Failure | BaseException | str | None,
    retry: bool,
    delay_s: float | None,
) -> Call[wire.Finished]:
    body = wire.Fail(token=token, error=failure(error), retry=retry, delay_s=delay_s)
    return _write(f"/v1/tasks/{_segment(task_id)}/fail", body, wire.Finished)


def snooze(task_id: str, token: str, *, delay_s: float) -> Call[wire.Finished]:
    body = wire.Snooze(token=token, delay_s=delay_s)
    return _write(f"/v1/tasks/{_segment(task_id)}/snooze", body, wire.Finished)


def outcome_rows(rows: Sequence[bytes]) -> Call[list[wire.OutcomeAnswer]]:
    """Finishes of several tasks that are JSON already."""
    answers = _reader(wire.OutcomesAnswer)
    return Call(
        method="POST",
        path="/v1/outcomes",
        read=lambda body: answers(body).results,
        repeat=Repeat.SAFE,
        body=b'{"outcomes":[' + b",".join(rows) + b"]}",
    )


def register_worker(worker: wire.NewWorker) -> Call[wire.Registered]:
    # A second one registers a worker that nobody is; the node drops it when it stays silent.
    return _write("/v1/workers", worker, wire.Registered, repeat=Repeat.ONCE)


def worker_heartbeat(worker_id: str, leases: Iterable[wire.HeldLease]) -> Call[wire.WorkerHeartbeatAnswer]:
    body = wire.WorkerHeartbeat(leases=list(leases))
    return _write(f"/v1/workers/{_segment(worker_id)}/heartbeat", body, wire.WorkerHeartbeatAnswer)


def workers() -> Call[list[wire.Worker]]:
    rows = _reader(wire.Workers)
    return Call(method="GET", path="/v1/workers", read=lambda body: rows(body).workers, repeat=Repeat.READ)


def steer_worker(worker_id: str, state: wire.WorkerState) -> Call[wire.Worker]:
    return _write(f"/v1/workers/{_segment(worker_id)}/{_segment(state)}", None, wire.Worker)


def remove_worker(worker_id: str) -> Call[None]:
    return _delete(f"/v1/workers/{_segment(worker_id)}")


def queues() -> Call[list[wire.QueueInfo]]:
    rows = _reader(wire.Queues)
    return Call(method="GET", path="/v1/queues", read=lambda body: rows(body).queues, repeat=Repeat.READ)


def queue(name: str) -> Call[wire.QueueInfo]:
    return _read(f"/v1/queues/{_segment(name)}", wire.QueueInfo)


def purge(name: str, states: Sequence[Any] | None) -> Call[int]:
    body = None if states is None else wire.Purge(states=list(states))
    purged = _reader(wire.Purged)
    return Call(
        method="POST",
        path=f"/v1/queues/{_segment(name)}/purge",
        read=lambda answer: purged(answer).deleted,
        # A second one would delete tasks that were enqueued after the first.
        repeat=Repeat.ONCE,
        body=None if body is None else msgspec.json.encode(body),
    )


def stats(*, at: Moment | None = None) -> Call[wire.Stats]:
    return _read(f"/v1/stats{_query({'at': at})}", wire.Stats, past=at is not None)


def cluster() -> Call[wire.Cluster]:
    return _read("/v1/cluster", wire.Cluster)


def handover(to: str | None) -> Call[wire.HandedOver]:
    body = msgspec.json.encode(wire.Handover(to=to))
    return Call(
        method="POST",
        path="/v1/cluster/handover",
        read=_reader(wire.HandedOver),
        # A second one would have the next node lead, or the one before again.
        repeat=Repeat.ONCE,
        body=body,
    )


def events_headers(last_event_id: str | None) -> dict[str, str]:
    """The headers that ask for a stream, after ``last_event_id`` if given.

    Raises:
        ValueError: it is not an id that a node gave.
    """
    headers = {"accept": "text/event-stream", "cache-control": "no-store"}
    if last_event_id is not None:
        if not (last_event_id and last_event_id.isascii() and last_event_id.isprintable()):
            raise ValueError(f"last_event_id {last_event_id!r} is not one that a node gave")
        headers["last-event-id"] = last_event_id
    return headers


def events_path(*, queue: str | None, kind: str | None, ids: Iterable[str] | None) -> str:
    """The path of the event stream, narrowed to what is asked for."""
    return f"/v1/events{_query({'queue': queue, 'kind': kind, 'id': None if ids is None else list(ids)})}"


def failure(error: wire.Failure | BaseException | str | None) -> wire.Failure | None:
    """What the node stores of an error: its type, message and trace."""
    if error is None or isinstance(error, wire.Failure):
        return error
    if isinstance(error, str):
        return wire.Failure(message=error)
    trace = "".join(traceback.format_exception(error))
    # The end of a trace says where it broke; the node cuts from the end.
    return wire.Failure(type=type(error).__name__, message=str(error), trace=trace[-ERROR_TRACE_CHARS_MAX:])


def _reader(kind: type[T]) -> Callable[[bytes], T]:
    decoder: msgspec.json.Decoder[T] | None = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.json.Decoder(kind)
    return decoder.decode


_DECODERS: dict[Any, Any] = {}


def _read(path: str, kind: type[T], *, past: bool = False) -> Call[T]:
    """A call that changes nothing; ``past``: the node may have to restore what it is about."""
    return Call(
        method="GET",
        path=path,
        read=_reader(kind),
        repeat=Repeat.READ,
        wait_s=RESTORE_S if past else 0.0,
    )


def _write(
    path: str,
    body: msgspec.Struct | None,
    kind: type[T],
    *,
    repeat: Repeat = Repeat.SAFE,
    idempotency_key: str | None = None,
) -> Call[T]:
    return Call(
        method="POST",
        path=path,
        read=_reader(kind),
        repeat=repeat,
        body=None if body is None else msgspec.json.encode(body),
        idempotency_key=idempotency_key,
    )


def _delete(path: str) -> Call[None]:
    return Call(method="DELETE", path=path, read=lambda _: None, repeat=Repeat.SAFE, gone_is_done=True)


def _checked_key(key: str) -> str:
    fits = 1 <= len(key) <= IDEMPOTENCY_KEY_CHARS_MAX and key.isascii() and key.isprintable()
    if not fits or key != key.strip():
        raise ValueError("idempotency_key is to be 1 to 200 printable ASCII characters, no space at its ends")
    return key


def _segment(name: str) -> str:
    """One segment of a path. An empty one would name the collection."""
    if not name or name in (".", ".."):
        raise ValueError(f"{name!r} names nothing")
    return quote(name, safe="")


def flat(criteria: Mapping[str, Any]) -> dict[str, Any]:
    """Criteria as the parameters of a query string."""
    parameters = {name: value for name, value in criteria.items() if not name.endswith("_has")}
    for field in ("payload", "meta"):
        for path, value in (criteria.get(f"{field}_has") or {}).items():
            parameters[f"{field}.{path}"] = msgspec.json.encode(value).decode()
    return parameters


def _query(values: Mapping[str, Any]) -> str:
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        if value is None:
            continue
        several = value if isinstance(value, list | tuple | set | frozenset) else (value,)
        pairs.extend((name, _parameter(name, item)) for item in several)
    return f"?{urlencode(pairs)}" if pairs else ""


def seconds(wait_s: float) -> str | None:
    """A wait as a parameter; None, which sends none, for no wait."""
    return f"{wait_s:.3f}".rstrip("0").rstrip(".") if wait_s > 0 else None


def _parameter(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{name} has no time zone")
        return value.isoformat()
    return str(value)
