"""``tq schedule``, against a server that answers as a node does."""

import json
from typing import Any

import pytest

from tests.tq.commands.test_main import run
from tests.tq.scripted_server import Say, Server, serving

ID = "0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70"


def schedule(name: str = "nightly", **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "cron": "30 2 * * *",
        "time_zone": "Europe/Berlin",
        "dst_gap": "run",
        "dst_overlap": "once",
        "task": {"kind": "report", "queue": "q", "priority": 128, "max_attempts": 10, "lease_s": 30.0},
        "missed": "one",
        "overlap": "skip",
        "paused": False,
        "created_at": "2026-01-31T12:00:00.000Z",
        "updated_at": "2026-01-31T12:00:00.000Z",
        "next_runs": ["2100-02-01T01:30:00.000Z", "2100-02-02T01:30:00.000Z"],
        "fires": 3,
        "skips": 1,
        **fields,
    }


INTERVAL = schedule("poll", every_s=90.0, last_run="2026-01-31T12:00:00.000Z", last_task=ID, skips=0)
for _field in ("cron", "time_zone", "dst_gap", "dst_overlap"):
    del INTERVAL[_field]
MISSING = Say(
    404,
    {"type": "t", "title": "t", "status": 404, "code": "schedule_not_found", "detail": "no schedule nobody"},
)


def asked(server: Server) -> list[str]:
    return [f"{got.method} {got.path}" for got in server.got]


def facts_of(out: str) -> dict[str, list[str]]:
    facts: dict[str, list[str]] = {}
    label = ""
    for line in out.rstrip("\n").splitlines():
        label = line[:12].strip() or label
        facts.setdefault(label, []).append(line[12:])
    return facts


def test_put_sends_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    argv = [
        "schedule",
        "put",
        "nightly",
        "report",
        '{"a": 1.10}',
        "--cron",
        "30 2 * * *",
        "-z",
        "Europe/Berlin",
    ]
    argv += [
        "--dst-gap",
        "skip",
        "--dst-overlap",
        "twice",
        "--missed",
        "all",
        "--overlap",
        "replace",
        "--paused",
    ]
    argv += [
        "-q",
        "q",
        "-p",
        "7",
        "--max-attempts",
        "3",
        "--retry",
        "fixed:5",
        "--lease",
        "1m",
        "--timeout",
        "30",
    ]
    argv += ["--expires-in", "1h", "-t", "a", "-t", "b", "-m", "who=me", "--unique-key", "k"]
    argv += ["--on-conflict", "reject", "--unique-state", "dead"]
    with serving(Say(201, schedule())) as server:
        code, out, err = run(capsys, *argv, "--url", server.url)
    assert (code, err) == (0, "")
    assert facts_of(out)["name"] == ["nightly"]
    (got,) = server.got
    assert (got.method, got.path) == ("PUT", "/v1/schedules/nightly")
    assert b'"payload":{"a": 1.10}' in got.body
    body = json.loads(got.body)
    task = body.pop("task")
    assert body == {
        "cron": "30 2 * * *",
        "time_zone": "Europe/Berlin",
        "dst_gap": "skip",
        "dst_overlap": "twice",
        "missed": "all",
        "overlap": "replace",
        "paused": True,
    }
    assert task["unique"]["states"] == ["blocked", "scheduled", "ready", "dead"]
    assert (task["kind"], task["queue"], task["priority"], task["expires_s"]) == ("report", "q", 7, 3600.0)
    assert (task["tags"], task["meta"], task["lease_s"]) == (["a", "b"], {"who": "me"}, 60.0)


def test_put_of_an_interval_says_only_what_was_said(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Say(200, INTERVAL)) as server:
        code, out, _ = run(capsys, "schedule", "put", "poll", "k", "-e", "90s", "--json", "--url", server.url)
    assert code == 0
    assert json.loads(server.got[0].body) == {"every_s": 90.0, "task": {"kind": "k"}}
    assert json.loads(out)["every_s"] == 90.0


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["put", "n", "k"], "say either --cron or --every"),
        (["put", "n", "k", "--cron", "* * * * *", "--every", "5s"], "say either --cron or --every"),
        (["put", "n", "k", "--every", "often"], "is not a duration"),
        (["put", "n", "k", "{", "--every", "5s"], "is not JSON"),
        (["put", "n", "k", "--every", "5s", "--on-conflict", "skip"], "--on-conflict needs --unique-key"),
        (["put", "n", "k", "--every", "5s", "--retry", "exponential:0"], "base_s"),
        (["next", "n", "-n", "101"], "1<=x<=100"),
        (["get"], "Missing argument"),
    ],
)
def test_a_wrong_command_line_is_told_before_any_node_is_asked(
    capsys: pytest.CaptureFixture[str], argv: list[str], told: str
) -> None:
    code, _, err = run(capsys, "schedule", *argv, "--url", "http://127.0.0.1:1")
    assert code == 2
    assert told in err


def test_list_shows_when_each_is_due_page_by_page(capsys: pytest.CaptureFixture[str]) -> None:
    pages = [
        Say(value={"schedules": [schedule()], "next_cursor": "c"}),
        Say(value={"schedules": [INTERVAL, schedule("off", paused=True, next_runs=[])]}),
    ]
    with serving(*pages) as server:
        code, out, err = run(capsys, "schedule", "list", "--url", server.url)
    assert (code, err) == (0, "")
    assert asked(server) == ["GET /v1/schedules", "GET /v1/schedules?cursor=c"]
    lines = out.splitlines()
    assert lines[0].split() == ["NAME", "WHEN", "KIND", "QUEUE", "NEXT", "LAST", "TASKS", "LEFT", "OUT"]
    assert lines[1].startswith("nightly  30 2 * * * Europe/Berlin")
    assert "in " in lines[1]
    assert lines[2].startswith("poll     every 1m30s")
    assert lines[2].endswith("·")
    assert "paused" in lines[3]


def test_list_without_a_schedule_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Say(value={"schedules": []})) as server:
        code, out, err = run(capsys, "schedule", "list", "--url", server.url)
        assert (code, out) == (0, "")
        assert "no schedules yet" in err
        assert run(capsys, "schedule", "list", "--json", "--url", server.url) == (0, "", "")


def test_get_tells_all_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    task = {
        **schedule()["task"],
        "retry": {"type": "fixed", "delay_s": 5},
        "timeout_s": 30.0,
        "expires_s": 3600.0,
        "unique": {"key": "k", "on_conflict": "replace"},
        "tags": ["a", "b"],
        "payload": {"a": 1},
        "meta": {"m": 2},
    }
    full = schedule(task=task, paused=True, last_run="2026-01-31T12:00:00.000Z", last_task=ID)
    with serving(Say(value=full)) as server:
        code, out, _ = run(capsys, "schedule", "get", "nightly", "--url", server.url)
    assert code == 0
    facts = facts_of(out)
    assert facts["times"] == ["30 2 * * * Europe/Berlin"]
    assert facts["clocks"] == ["those passed over: run, those that come again: once"]
    assert facts["paused"] == ["yes"]
    assert len(facts["next"]) == 2
    assert facts["last task"] == [ID]
    assert facts["tasks"] == ["3 made, 1 times left out"]
    assert (facts["timeout"], facts["expires in"], facts["retry"]) == (["30s"], ["1h"], ["fixed: 5s"])
    assert (facts["unique key"], facts["tags"]) == (["k (replace)"], ["a, b"])
    assert facts["payload"] == ["{", '  "a": 1', "}"]


def test_next_lists_the_times_to_come(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Say(value=schedule())) as server:
        code, out, _ = run(capsys, "schedule", "next", "nightly", "-n", "2", "--url", server.url)
        assert code == 0
        assert asked(server) == ["GET /v1/schedules/nightly?next_runs=2"]
        assert [line.split()[0] for line in out.splitlines()] == schedule()["next_runs"]
        _, out, _ = run(capsys, "schedule", "next", "nightly", "--json", "--url", server.url)
        assert json.loads(out) == schedule()["next_runs"]


@pytest.mark.parametrize(("paused", "told"), [(True, "paused"), (False, "no time to come")])
def test_next_says_why_there_is_none(capsys: pytest.CaptureFixture[str], paused: bool, told: str) -> None:
    with serving(Say(value=schedule(paused=paused, next_runs=[]))) as server:
        code, out, err = run(capsys, "schedule", "next", "nightly", "--url", server.url)
    assert (code, out) == (0, "")
    assert told in err


def test_pause_and_resume_tell_how_the_schedule_stands(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Say(value=schedule(paused=True, next_runs=[])), Say(value=schedule())) as server:
        assert run(capsys, "schedule", "pause", "nightly", "--url", server.url) == (
            0,
            "nightly  paused\n",
            "",
        )
        code, out, _ = run(capsys, "schedule", "resume", "nightly", "--url", server.url)
    assert code == 0
    assert out.startswith("nightly  next in ")
    assert asked(server) == ["POST /v1/schedules/nightly/pause", "POST /v1/schedules/nightly/resume"]


def test_delete_tells_each_and_goes_on_after_one_that_is_not_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with serving(MISSING, Say(204, raw=b"")) as server:
        code, out, err = run(capsys, "schedule", "delete", "nobody", "nightly", "--url", server.url)
    assert (code, out) == (6, "nightly  deleted\n")
    assert err == "tq: schedule delete: no schedule nobody\n"
    with serving(Say(204, raw=b"")) as server:
        code, out, _ = run(capsys, "schedule", "delete", "nightly", "--json", "--url", server.url)
    assert json.loads(out) == {"name": "nightly", "state": "deleted"}


def test_a_name_that_names_nothing_is_a_mistake_on_the_command_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, _, err = run(capsys, "schedule", "get", "..", "--url", "http://127.0.0.1:1")
    assert code == 2
    assert "names nothing" in err


def test_get_json_prints_one_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Say(value=schedule()), Say(value=INTERVAL)) as server:
        code, out, _ = run(capsys, "schedule", "get", "nightly", "poll", "--json", "--url", server.url)
    assert code == 0
    assert [json.loads(line)["name"] for line in out.splitlines()] == ["nightly", "poll"]
    with serving(Say(value=schedule())) as server:
        _, out, _ = run(capsys, "schedule", "resume", "nightly", "--json", "--url", server.url)
    assert json.loads(out)["name"] == "nightly"
