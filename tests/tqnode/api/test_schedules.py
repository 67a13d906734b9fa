"""Schedules over HTTP."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.tqnode.api.conftest import Served, problem, serve

DAILY = {"cron": "30 2 * * *", "time_zone": "Europe/Berlin"}
FULL_TASK = {
    "kind": "report",
    "queue": "reports",
    "payload": {"a": 1},
    "priority": 7,
    "max_attempts": 3,
    "retry": {"type": "fixed", "delay_s": 5.0},
    "lease_s": 60.0,
    "timeout_s": 30.0,
    "expires_s": 3600.0,
    "tags": ["a", "b"],
    "meta": {"m": 1},
    "unique": {"key": "k", "on_conflict": "reject", "states": ["blocked", "scheduled", "ready"]},
}


async def put(served: Served, name: str = "nightly", **fields: Any) -> httpx.Response:
    body = {"task": {"kind": "report"}, **fields}
    return await served.http.put(f"/v1/schedules/{name}", json=body)


async def test_a_schedule_is_made_changed_and_read_with_all_it_was_given(served: Served) -> None:
    answer = await put(served, **DAILY, task=FULL_TASK, missed="all", overlap="replace", dst_gap="skip")
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["task"] == FULL_TASK
    told = {key: made[key] for key in ("cron", "time_zone", "dst_gap", "dst_overlap", "missed", "overlap")}
    expected = DAILY | {"dst_gap": "skip", "dst_overlap": "once", "missed": "all", "overlap": "replace"}
    assert told == expected
    assert (made["paused"], made["fires"], made["skips"], len(made["next_runs"])) == (False, 0, 0, 5)
    again = await put(served, **DAILY, task=FULL_TASK, missed="all", overlap="replace", dst_gap="skip")
    assert (again.status_code, again.json()) == (200, made)
    assert (await served.http.get("/v1/schedules/nightly")).json() == made
    changed = await put(served, every_s=1.5)
    assert changed.status_code == 200
    body = changed.json()
    assert body["every_s"] == 1.5
    assert not {"cron", "time_zone", "dst_gap", "dst_overlap"} & body.keys()
    assert body["task"] == {
        "kind": "report",
        "queue": "default",
        "priority": 128,
        "max_attempts": 10,
        "lease_s": 30.0,
        "payload": None,
    }


async def test_a_payload_comes_back_with_the_digits_that_went_in(served: Served) -> None:
    body = b'{"every_s": 60, "task": {"kind": "k", "payload": {"big": 123456789.12345678901234567890}}}'
    headers = {"content-type": "application/json"}
    answer = await served.http.put("/v1/schedules/exact", content=body, headers=headers)
    assert b'"payload":{"big": 123456789.12345678901234567890}' in answer.content


async def test_as_many_next_runs_are_told_as_are_asked_for(served: Served) -> None:
    await put(served, every_s=60)
    for count in (0, 1, 100):
        found = (await served.http.get(f"/v1/schedules/nightly?next_runs={count}")).json()["next_runs"]
        assert len(found) == count
        assert found == sorted(set(found))
    too_many = await served.http.get("/v1/schedules/nightly?next_runs=101")
    assert problem(too_many) == (422, "invalid_field", "next_runs")


async def test_a_paused_schedule_has_no_next_runs_until_it_is_resumed(served: Served) -> None:
    await put(served, **DAILY)
    paused = (await served.http.post("/v1/schedules/nightly/pause")).json()
    assert (paused["paused"], paused["next_runs"]) == (True, [])
    resumed = (await served.http.post("/v1/schedules/nightly/resume")).json()
    assert (resumed["paused"], len(resumed["next_runs"])) == (False, 5)


async def test_pages_list_all_schedules_by_name_without_payloads(served: Served) -> None:
    for name in ("c", "a", "b"):
        await put(served, name, every_s=60, task={"kind": "k", "payload": "large"})
    first = (await served.http.get("/v1/schedules?limit=2")).json()
    assert [one["name"] for one in first["schedules"]] == ["a", "b"]
    assert all("payload" not in one["task"] and len(one["next_runs"]) == 1 for one in first["schedules"])
    rest = (await served.http.get("/v1/schedules", params={"cursor": first["next_cursor"]})).json()
    assert [one["name"] for one in rest["schedules"]] == ["c"]
    assert "next_cursor" not in rest


@pytest.mark.parametrize("cursor", ["", "!", "x" * 401])
async def test_a_cursor_of_another_list_is_refused(served: Served, cursor: str) -> None:
    answer = await served.http.get("/v1/schedules", params={"cursor": cursor})
    assert problem(answer) == (400, "invalid_cursor", "cursor")


async def test_a_deleted_schedule_is_gone(served: Served) -> None:
    await put(served, every_s=60)
    assert (await served.http.delete("/v1/schedules/nightly")).status_code == 204
    calls = [("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume")]
    for method, path in calls:
        answer = await served.http.request(method, f"/v1/schedules/nightly{path}")
        assert problem(answer) == (404, "schedule_not_found", None)


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({}, "missing_field", "cron"),
        ({"cron": "* * * * *", "every_s": 5}, "invalid_field", "every_s"),
        ({"cron": "61 * * * *"}, "invalid_cron", "cron"),
        ({"cron": "0 0 31 2 *"}, "invalid_cron", "cron"),
        ({"cron": ""}, "invalid_field", "cron"),
        ({"cron": "1," * 600 + "1 * * * *"}, "invalid_field", "cron"),
        ({"cron": "* * * * *", "time_zone": "Mars/Olympus"}, "unknown_time_zone", "time_zone"),
        ({"cron": "* * * * *", "dst_gap": "sometimes"}, "invalid_field", "dst_gap"),
        ({"every_s": 5, "time_zone": "UTC"}, "invalid_field", "time_zone"),
        ({"every_s": 5, "dst_gap": "run"}, "invalid_field", "dst_gap"),
        ({"every_s": 5, "dst_overlap": "once"}, "invalid_field", "dst_overlap"),
        ({"every_s": 0.999}, "invalid_field", "every_s"),
        ({"every_s": 315_360_001}, "invalid_field", "every_s"),
        ({"every_s": 5, "missed": "some"}, "invalid_field", "missed"),
        ({"every_s": 5, "overlap": "some"}, "invalid_field", "overlap"),
        ({"every_s": 5, "paused": "yes"}, "invalid_field", "paused"),
        ({"every_s": 5, "task": {}}, "missing_field", "task.kind"),
        ({"every_s": 5, "task": {"kind": "a b"}}, "invalid_field", "task.kind"),
        ({"every_s": 5, "task": {"kind": "k" * 201}}, "invalid_field", "task.kind"),
        (
            {"every_s": 5, "task": {"kind": "k", "run_at": "2026-01-01T00:00:00Z"}},
            "unknown_field",
            "task.run_at",
        ),
        ({"every_s": 5, "task": {"kind": "k", "expires_s": 0}}, "invalid_field", "task.expires_s"),
        ({"every_s": 5, "task": {"kind": "k", "meta": []}}, "invalid_field", "task.meta"),
        (
            {"every_s": 5, "task": {"kind": "k", "meta": {"schedule": 1}}},
            "invalid_field",
            "task.meta.schedule",
        ),
        (
            {"every_s": 5, "task": {"kind": "k", "unique": {"key": "k", "states": ["ready"]}}},
            "invalid_field",
            "task.unique.states",
        ),
        ({"every_s": 5, "cronn": 1}, "unknown_field", "cronn"),
    ],
)
async def test_what_is_wrong_is_named_by_its_field(
    served: Served, fields: dict[str, Any], code: str, field: str
) -> None:
    assert problem(await put(served, **fields)) == (422, code, field)
    assert (await served.http.get("/v1/schedules")).json() == {"schedules": []}


@pytest.mark.parametrize("name", ["a%20b", "-a", "n" * 201])
async def test_a_name_that_no_schedule_can_have_is_refused(served: Served, name: str) -> None:
    assert problem(await put(served, name, every_s=60)) == (422, "invalid_field", "name")


async def test_more_schedules_than_allowed_are_refused(tmp_path: Path) -> None:
    async with serve(tmp_path, schedules_max=1) as served:
        await put(served, "a", every_s=60)
        answer = await put(served, "b", every_s=60)
        assert problem(answer) == (422, "too_many_schedules", None)
        assert json.loads(answer.content)["limit"] == 1


async def test_the_number_of_schedules_is_a_metric_by_state(served: Served) -> None:
    await put(served, "a", every_s=60)
    await put(served, "b", every_s=60)
    await put(served, "c", every_s=60, paused=True)
    text = (await served.http.get("/metrics")).text
    assert 'tq_schedules{state="active"} 2.0' in text
    assert 'tq_schedules{state="paused"} 1.0' in text
    assert "tq_schedule_fires_total 0.0" in text
