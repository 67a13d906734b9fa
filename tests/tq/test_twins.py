"""The blocking and the async client are one in two forms: same methods, same words, same requests."""

import asyncio
import inspect
import re
from datetime import UTC, datetime
from typing import Any

import pytest

import tq
from tests.tq.driving import task_row
from tests.tq.scripted_server import Got, Say, serving
from tests.tq.test_sse import TASK
from tq import wire

ID = "018f0000-0000-7000-8000-000000000001"
STAMP = "2026-01-01T00:00:00.000Z"
FINISHED = {"id": ID, "state": "succeeded"}
WORKER = {
    "id": ID,
    "name": "w",
    "state": "run",
    "started_at": STAMP,
    "last_heartbeat_at": STAMP,
    "concurrency": 1,
}
QUEUE = {"queue": "q", "paused": False, "counts": {}}
STATS = {
    "version": "1",
    "uptime_s": 1.0,
    "totals": {},
    "queues": [],
    "workers": 0,
    "since_start": {},
    "database": {},
}
SCHEDULE = {
    "name": "n",
    "every_s": 5.0,
    "task": {"kind": "k", "queue": "q", "priority": 1, "max_attempts": 1, "lease_s": 1.0},
    "missed": "one",
    "overlap": "allow",
    "paused": False,
    "created_at": STAMP,
    "updated_at": STAMP,
    "next_runs": [STAMP],
    "fires": 0,
    "skips": 0,
}
LIMIT = {"name": "n", "key": "k:*", "running": 1, "created_at": STAMP, "updated_at": STAMP}
BULK = {
    "id": ID,
    "action": "move",
    "filter": {"queue": ["a"]},
    "queue": "b",
    "state": "done",
    "progress": 1.0,
    "matched": 3,
    "done": 2,
    "skipped": 1,
    "skips": {"running": 1},
    "created_at": STAMP,
}
CLUSTER = {
    "cluster_id": ID,
    "term": 1,
    "leader": "a",
    "asked": "a",
    "nodes": [{"name": "a", "role": "leader", "last": {"term": 1, "txid": 5}}],
}
BATCH = {
    "id": ID,
    "state": "finished",
    "total": 1,
    "pending": 0,
    "succeeded": 1,
    "dead": 0,
    "cancelled": 0,
    "created_at": STAMP,
}
STREAMS = ("list", "events", "log")
LOG = {
    "lines": [{"number": 4, "attempt": 1, "at": STAMP, "level": "info", "text": "so"}],
    "next_cursor": "4",
    "ended": True,
}
ENQUEUED = {"results": [{"id": ID, "state": "ready"}]}

# What a method is called with, and what the node answers.
CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any], Any]] = {
    "enqueue": (("k", [1]), {"priority": 1, "idempotency_key": "i"}, task_row(ID)),
    "enqueue_task": ((tq.new_task("k"),), {"idempotency_key": "i"}, task_row(ID)),
    "enqueue_many": (([tq.new_task("k")],), {"partial": True}, ENQUEUED),
    "enqueue_rows": (([b'{"kind":"k"}'],), {"idempotency_key": "i"}, ENQUEUED),
    "enqueue_together": (([tq.new_task("k", ref="r")],), {"idempotency_key": "i"}, ENQUEUED),
    "graph": ((ID,), {"limit": 5}, {"task": ID, "nodes": [], "edges": []}),
    "explain": ((ID,), {}, {"id": ID, "state": "ready", "summary": "Ready.", "reasons": []}),
    "get": ((ID,), {"at": STAMP, "wait_s": 1.25}, task_row(ID)),
    "page": ((), {"limit": 5, "cursor": "c", "kind": "k"}, {"tasks": []}),
    "list": ((), {"limit": 5, "state": "dead"}, {"tasks": [task_row(ID)]}),
    "cancel": ((ID,), {}, task_row(ID)),
    "retry": ((ID,), {}, task_row(ID)),
    "delete": ((ID,), {}, None),
    "wait": (([ID],), {"timeout_s": 1}, task_row(ID, state="dead")),
    "result": ((ID,), {"timeout_s": 1, "type": int}, task_row(ID, state="succeeded") | {"result": 5}),
    "log": ((ID,), {"after": "3"}, LOG),
    "log_page": ((ID,), {"after": "3", "limit": 5, "wait_s": 1.5}, LOG),
    "append_lines": ((ID, "t", ["a", wire.NewLine(text="b", level="error")]), {"first": 0}, {"last": 2}),
    "claim": (
        ("w",),
        {"queues": ["q"], "kinds": ["k"], "max": 2, "wait_s": 1.0, "lease_s": 2.0, "min_priority": 3},
        {"tasks": []},
    ),
    "heartbeat": ((ID, "t"), {"lease_s": 5.0, "progress": 1}, {"lease_expires_at": STAMP}),
    "complete": ((ID, "t"), {"result": 1, "then": [tq.new_task("k")]}, FINISHED),
    "fail": ((ID, "t"), {"error": "so", "retry": False, "delay_s": 1.0}, FINISHED),
    "snooze": ((ID, "t"), {"delay_s": 1.0}, FINISHED),
    "outcomes": (([wire.SnoozeOutcome(id=ID, token="t")],), {}, {"results": [FINISHED]}),
    "register_worker": ((wire.NewWorker(name="w"),), {}, {"id": ID, "state": "run", "heartbeat_s": 10.0}),
    "worker_heartbeat": ((ID, [wire.HeldLease(id=ID, token="t")]), {}, {"state": "run", "leases": []}),
    "workers": ((), {}, {"workers": [WORKER]}),
    "steer_worker": ((ID, "quiet"), {}, WORKER),
    "remove_worker": ((ID,), {}, None),
    "queues": ((), {}, {"queues": [QUEUE]}),
    "queue": (("q",), {}, QUEUE),
    "pause": (("q",), {"for_s": 60, "reason": "so"}, QUEUE),
    "drain": (("q",), {}, QUEUE),
    "settings": (("q",), {}, QUEUE),
    "set_queue": (("q",), {"lease_s": 60.0, "retry": None}, QUEUE),
    "node_pause": ((), {}, {"paused": False}),
    "pause_all": ((), {"until": datetime(2026, 1, 31, tzinfo=UTC)}, {"paused": True}),
    "resume_all": ((), {}, {"paused": False}),
    "resume": (("q",), {}, QUEUE),
    "purge": (("q", ["dead"]), {}, {"deleted": 3}),
    "put_schedule": (
        ("n", tq.new_task("k", [1])),
        {"every_s": 5, "expires_s": 1, "overlap": "skip"},
        SCHEDULE,
    ),
    "schedule": (("n",), {"next_runs": 3}, SCHEDULE),
    "schedules": ((), {}, {"schedules": [SCHEDULE]}),
    "pause_schedule": (("n",), {}, SCHEDULE),
    "resume_schedule": (("n",), {}, SCHEDULE),
    "delete_schedule": (("n",), {}, None),
    "test_webhook": (
        ("https://example.com/hook",),
        {"secret": "s"},
        {"delivered": True, "webhook_id": "test_1", "took_s": 0.1, "status": 204},
    ),
    "put_limit": (("n",), {"key": "k:*", "running": 1, "rate": 2, "per_s": 3.0, "burst": 4}, LIMIT),
    "limit": (("n",), {}, LIMIT),
    "limits": ((), {}, {"limits": [LIMIT]}),
    "delete_limit": (("n",), {}, None),
    "enqueue_batch": (
        ([tq.new_task("k")],),
        {
            "name": "n",
            "on_success": tq.new_task("done"),
            "webhook": "https://x.example",
            "idempotency_key": "i",
        },
        {"id": ID, **ENQUEUED},
    ),
    "add_to_batch": ((ID, [tq.new_task("k")]), {"idempotency_key": "i"}, {"id": ID, **ENQUEUED}),
    "batch": ((ID,), {"wait_s": 1}, BATCH),
    "batches": ((), {"limit": 5}, {"batches": [BATCH]}),
    "close_batch": ((ID,), {}, BATCH),
    "cancel_batch": ((ID,), {}, BATCH),
    "wait_batch": ((ID,), {"timeout_s": 1}, BATCH),
    "count": ((), {"kind": "k", "meta_has": {"a": None}}, {"count": 1, "states": {}, "estimated": False}),
    "bulk": (
        ("move",),
        {"queue": "a", "to": "b", "wait_s": 1, "payload_has": {"n": 1}, "idempotency_key": "i"},
        BULK,
    ),
    "bulk_operation": ((ID,), {}, BULK),
    "bulk_operations": ((), {}, {"bulks": [BULK]}),
    "cancel_bulk": ((ID,), {}, BULK),
    "stats": ((), {"at": STAMP}, STATS),
    "cluster": ((), {}, CLUSTER),
    "handover": (("b",), {}, {"leader": "b", "term": 2, "took_s": 0.5}),
    "events": ((), {"queue": "q", "kind": "k", "ids": [ID], "last_event_id": "b-0"}, None),
}


def public(kind: type) -> dict[str, Any]:
    members = (found for part in reversed(kind.__mro__) for found in vars(part).items())
    return {name: member for name, member in members if not name.startswith("_")}


def answer(name: str) -> Say:
    if name == "events":
        return Say(raw=TASK, headers={"content-type": "text/event-stream"}, cut_after=10_000, hang=True)
    value = CALLS[name][2]
    return Say(204, raw=b"") if value is None else Say(200, value)


def blocking(url: str, name: str) -> Any:
    args, kwargs, _ = CALLS[name]
    with tq.Client(url) as client:
        result = getattr(client, name)(*args, **kwargs)
        if name not in STREAMS:
            return result
        first = next(result)
        result.close()
        return first


async def awaited(url: str, name: str) -> Any:
    args, kwargs, _ = CALLS[name]
    async with tq.AsyncClient(url) as client:
        result = getattr(client, name)(*args, **kwargs)
        if name not in STREAMS:
            return await result
        first = await anext(result)
        await result.aclose()
        return first


def without_chance(got: Got) -> Got:
    """Without the port, and without the key that is made up for each call."""
    headers = {name: value for name, value in got.headers.items() if name != "host"}
    if headers.get("idempotency-key") != "i":
        headers.pop("idempotency-key", None)
    return got._replace(headers=headers)


@pytest.mark.parametrize("name", CALLS)
def test_both_clients_send_the_same_request_and_read_the_same_answer(name: str) -> None:
    with serving(answer(name)) as server:
        one = blocking(server.url, name)
        other = asyncio.run(awaited(server.url, name))
        first, second = server.got
    assert without_chance(first) == without_chance(second)
    # What is raw JSON has no equality of its own.
    assert repr(one) == repr(other)


def test_every_method_is_compared() -> None:
    assert set(CALLS) == set(public(tq.Client)) - {"url", "urls", "close"}


def test_both_clients_have_the_same_methods_with_the_same_signatures_and_words() -> None:
    one, other = public(tq.Client), public(tq.AsyncClient)
    assert list(one) == list(other)
    for name, method in one.items():
        twin = other[name]
        assert inspect.getdoc(method) == inspect.getdoc(twin), name
        if not callable(method):
            continue
        signature, of_twin = inspect.signature(method), inspect.signature(twin)
        assert signature.parameters == of_twin.parameters, name
        # A generator, since who stops early must be able to close it: asyncio does not do so at once.
        returns = re.sub(r"AsyncGenerator\[(.*), None\]", r"Iterator[\1]", str(of_twin.return_annotation))
        assert signature.return_annotation == returns, name
        assert inspect.iscoroutinefunction(twin) != (name in STREAMS), name
    assert inspect.signature(tq.Client).parameters == inspect.signature(tq.AsyncClient).parameters
