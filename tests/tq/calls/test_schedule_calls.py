"""Calls on schedules as values: what goes over the wire."""

import datetime
from typing import Any

import msgspec
import pytest

import tq
from tq.calls import Call, Repeat, schedule_calls

NOW = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)


def sent(call: Call[Any]) -> Any:
    assert call.body is not None
    return msgspec.json.decode(call.body)


def test_a_schedule_is_sent_with_nothing_but_what_was_said() -> None:
    call = schedule_calls.put_schedule("a b", tq.new_task("k"), {"every_s": 5.0, "cron": None})
    assert (call.method, call.path, call.repeat) == ("PUT", "/v1/schedules/a%20b", Repeat.SAFE)
    assert sent(call) == {"every_s": 5.0, "task": {"kind": "k"}}


def test_every_option_of_a_schedule_is_sent() -> None:
    task = tq.new_task(
        "k", [1], queue="q", priority=1, max_attempts=2, lease_s=3.0, tags=["t"], meta={"m": 1}
    )
    options: schedule_calls.ScheduleOptions = {
        "cron": "0 0 * * *",
        "time_zone": "Europe/Berlin",
        "dst_gap": "skip",
        "dst_overlap": "twice",
        "missed": "all",
        "overlap": "replace",
        "paused": False,
        "expires_s": 60.0,
    }
    body = sent(schedule_calls.put_schedule("n", task, options))
    expected: dict[str, Any] = {**options}
    del expected["expires_s"]
    expected["task"] = {
        "kind": "k",
        "queue": "q",
        "payload": [1],
        "priority": 1,
        "max_attempts": 2,
        "lease_s": 3.0,
        "tags": ["t"],
        "meta": {"m": 1},
        "expires_s": 60.0,
    }
    assert body == expected


@pytest.mark.parametrize(
    "option",
    [
        {"delay_s": 1.0},
        {"delay_s": 0.0},
        {"run_at": NOW},
        {"expires_at": NOW},
        {"ref": "a"},
        {"after": ["x"]},
    ],
)
def test_a_task_with_a_time_of_its_own_or_others_to_wait_for_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"a schedule's task has no {next(iter(option))}"):
        schedule_calls.put_schedule("n", tq.new_task("k", **option), {"every_s": 5.0})


def test_an_option_that_does_not_exist_is_refused() -> None:
    wrong: Any = {"evry_s": 5}
    with pytest.raises(TypeError, match="evry_s"):
        schedule_calls.put_schedule("n", tq.new_task("k"), wrong)


def test_each_call_says_when_it_may_be_repeated() -> None:
    reads: list[Call[Any]] = [
        schedule_calls.schedule("n", next_runs=3),
        schedule_calls.schedule_page(limit=5, cursor="c"),
    ]
    assert [(call.path, call.repeat) for call in reads] == [
        ("/v1/schedules/n?next_runs=3", Repeat.READ),
        ("/v1/schedules?limit=5&cursor=c", Repeat.READ),
    ]
    writes: list[Call[Any]] = [
        schedule_calls.pause_schedule("n"),
        schedule_calls.resume_schedule("n"),
        schedule_calls.delete_schedule("n"),
    ]
    assert [(call.method, call.path, call.repeat) for call in writes] == [
        ("POST", "/v1/schedules/n/pause", Repeat.SAFE),
        ("POST", "/v1/schedules/n/resume", Repeat.SAFE),
        ("DELETE", "/v1/schedules/n", Repeat.SAFE),
    ]
    assert writes[2].gone_is_done
