"""Calls as values: what goes over the wire."""

import datetime
from typing import Any

import msgspec
import pytest

import tq
from tq import calls, wire
from tq.calls import queue_calls

ID = "018f0000-0000-7000-8000-000000000001"
NOW = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)


def sent(call: calls.Call[Any]) -> Any:
    assert call.body is not None
    return msgspec.json.decode(call.body)


def test_a_task_is_sent_with_nothing_but_what_was_said() -> None:
    assert sent(calls.enqueue(calls.new_task("k"), key="x")) == {"kind": "k"}
    assert sent(calls.enqueue(calls.new_task("k", None), key="x")) == {"kind": "k", "payload": None}


def test_every_option_of_a_task_is_sent() -> None:
    task = calls.new_task(
        "k",
        {"a": 1},
        queue="q",
        priority=255,
        run_at=NOW,
        max_attempts=3,
        retry=tq.Listed(delays_s=[1.0, 2.0]),
        lease_s=10.0,
        timeout_s=5.0,
        expires_at=NOW,
        tags=("a", "b"),
        meta={"m": 1},
        unique="key",
    )
    assert sent(calls.enqueue(task, key="x")) == {
        "kind": "k",
        "payload": {"a": 1},
        "queue": "q",
        "priority": 255,
        "run_at": "2026-01-31T12:00:00Z",
        "max_attempts": 3,
        "retry": {"type": "list", "delays_s": [1.0, 2.0]},
        "lease_s": 10.0,
        "timeout_s": 5.0,
        "expires_at": "2026-01-31T12:00:00Z",
        "tags": ["a", "b"],
        "meta": {"m": 1},
        "unique": {"key": "key"},
    }
    assert sent(calls.enqueue(calls.new_task("k", delay_s=1.5, queue=None), key="x"))["delay_s"] == 1.5


def test_the_options_of_a_task_are_the_fields_of_a_new_task() -> None:
    fields = set(wire.NewTask.__struct_fields__) - {"kind", "payload"}
    parts_of_unique = {"unique_key", "unique_fields", "unique_period_s", "on_conflict"}
    assert set(calls.TaskOptions.__annotations__) == fields | parts_of_unique


def test_a_moment_without_a_time_zone_is_refused() -> None:
    naive = datetime.datetime(2026, 1, 31)  # noqa: DTZ001  # the mistake itself
    with pytest.raises(ValueError, match="run_at has no time zone"):
        calls.new_task("k", run_at=naive)
    with pytest.raises(ValueError, match="created_after has no time zone"):
        calls.page({"created_after": naive})


def test_an_option_that_does_not_exist_is_refused() -> None:
    with pytest.raises(TypeError, match="prority"):
        calls.new_task("k", prority=5)


@pytest.mark.parametrize("key", ["", " k", "k ", "k\n", "ü", "k" * 201])
def test_a_key_that_fits_no_header_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="idempotency_key"):
        calls.enqueue(calls.new_task("k"), key=key)
    with pytest.raises(ValueError, match="idempotency_key"):
        calls.enqueue_rows([b"{}"], partial=False, key=key)


def test_filters_become_the_query() -> None:
    filters = {
        "queue": ["a", "b&c"],
        "state": "dead",
        "payload": True,
        "worker": None,
        "created_after": NOW,
        "finished_before": "2026-01-01T00:00:00Z",
    }
    assert calls.page(filters, limit=7, cursor="c/=").path == (
        "/v1/tasks?queue=a&queue=b%26c&state=dead&payload=true&created_after=2026-01-31T12%3A00%3A00%2B00%3A00"
        "&finished_before=2026-01-01T00%3A00%3A00Z&limit=7&cursor=c%2F%3D"
    )
    assert calls.page({}).path == "/v1/tasks"


def test_a_name_stays_one_segment_of_the_path() -> None:
    assert calls.queue("a/../b c?").path == "/v1/queues/a%2F..%2Fb%20c%3F"


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_would_name_something_else_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="names nothing"):
        calls.delete(name)


def test_an_exception_is_sent_with_its_type_message_and_the_end_of_its_trace() -> None:
    def fall(depth: int) -> None:
        if depth == 0:
            raise KeyError("missing")
        fall(depth - 1)

    with pytest.raises(KeyError) as caught:
        fall(900)
    failure = calls.failure(caught.value)
    assert failure is not None
    assert (failure.type, failure.message) == ("KeyError", "'missing'")
    assert failure.trace.endswith("KeyError: 'missing'\n")
    assert len(failure.trace) <= calls.ERROR_TRACE_CHARS_MAX
    assert calls.failure("plain") == wire.Failure(message="plain")
    assert calls.failure(None) is None


def test_outcomes_are_sent_with_their_tags() -> None:
    rows = [
        msgspec.json.encode(outcome)
        for outcome in (
            wire.CompleteOutcome(id=ID, token="t", result=msgspec.Raw(b"1.10")),
            wire.FailOutcome(id=ID, token="t", retry=False),
            wire.SnoozeOutcome(id=ID, token="t", delay_s=5.0),
        )
    ]
    call = calls.outcome_rows(rows)
    assert b'"result":1.10' in (call.body or b"")
    assert sent(call) == {
        "outcomes": [
            {"outcome": "complete", "id": ID, "token": "t", "result": 1.1},
            {"outcome": "fail", "id": ID, "token": "t", "retry": False},
            {"outcome": "snooze", "id": ID, "token": "t", "delay_s": 5.0},
        ]
    }


def test_only_what_has_no_second_effect_may_be_repeated() -> None:
    once: list[calls.Call[Any]] = [
        calls.claim(wire.Claim(worker="w")),
        calls.retry(ID),
        calls.register_worker(wire.NewWorker(name="w")),
        calls.purge("q", ["dead"]),
    ]
    assert {call.repeat for call in once} == {calls.Repeat.ONCE}
    reads: list[calls.Call[Any]] = [
        calls.get(ID),
        calls.page({}),
        calls.workers(),
        calls.queues(),
        calls.queue("q"),
        calls.stats(),
    ]
    assert {(call.repeat, call.method) for call in reads} == {(calls.Repeat.READ, "GET")}
    safe: list[calls.Call[Any]] = [
        calls.enqueue(calls.new_task("k"), key="x"),
        calls.enqueue_rows([], partial=True, key="x"),
        calls.cancel(ID),
        calls.delete(ID),
        calls.heartbeat(ID, "t", lease_s=None, progress=tq.UNSET),
        calls.complete(ID, "t", result=None, then=[calls.new_task("next")]),
        calls.fail(ID, "t", error=None, retry=True, delay_s=None),
        calls.snooze(ID, "t", delay_s=0),
        calls.outcome_rows([]),
        calls.worker_heartbeat(ID, [wire.HeldLease(id=ID, token="t")]),
        calls.steer_worker(ID, "quiet"),
        calls.remove_worker(ID),
        queue_calls.pause("q", for_s=None, until=None, reason=None),
        queue_calls.resume("q"),
    ]
    assert {call.repeat for call in safe} == {calls.Repeat.SAFE}
