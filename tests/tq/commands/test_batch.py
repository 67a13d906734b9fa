"""``tq batch``, against a server that answers as a node does."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tq.commands.test_main import run
from tests.tq.commands.test_schedule import asked, facts_of
from tests.tq.scripted_server import Say, serving

ID = "0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70"
MISSING = Say(
    404, {"type": "t", "title": "t", "status": 404, "code": "batch_not_found", "detail": "no batch nobody"}
)


def batch(**fields: Any) -> dict[str, Any]:
    return {
        "id": ID,
        "name": "images",
        "state": "running",
        "total": 3,
        "pending": 2,
        "succeeded": 1,
        "dead": 0,
        "cancelled": 0,
        "created_at": "2026-01-31T12:00:00.000Z",
        "on_success": {"kind": "publish", "queue": "q"},
        **fields,
    }


def ended(**fields: Any) -> dict[str, Any]:
    counts = {"pending": 0, "succeeded": 3, "state": "finished", "finished_at": "2026-01-31T12:01:00.000Z"}
    return batch(**{**counts, **fields})


MADE = {"id": ID, "results": [{"id": ID, "state": "ready"}, {"id": ID, "state": "ready", "duplicate": True}]}


@pytest.fixture
def tasks(tmp_path: Path) -> str:
    path = tmp_path / "tasks.ndjson"
    path.write_text('{"kind": "a", "payload": 1.10}\n\n{"kind": "b"}\n')
    return str(path)


def test_create_sends_the_tasks_of_a_file_and_the_callbacks(
    capsys: pytest.CaptureFixture[str], tasks: str
) -> None:
    argv = ["batch", "create", tasks, "--name", "images", "--on-success", "publish", "--on-failure", "alarm"]
    argv += ["--on-finished", "report", "--callback-queue", "q", "--callback-payload", '{"a": 1.10}']
    with serving(Say(201, MADE)) as server:
        code, out, err = run(capsys, *argv, "--url", server.url)
    assert (code, out) == (0, f"{ID}\n")
    assert "1 of the tasks were there already" in err
    callback = {"queue": "q", "payload": {"a": 1.1}}
    assert json.loads(server.got[0].body) == {
        "tasks": [{"kind": "a", "payload": 1.1}, {"kind": "b"}],
        "name": "images",
        "on_success": {"kind": "publish", **callback},
        "on_failure": {"kind": "alarm", **callback},
        "on_finished": {"kind": "report", **callback},
    }
    assert b'"payload":1.10' in server.got[0].body


def test_create_names_the_line_that_is_no_task(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "tasks.ndjson"
    path.write_text('{"kind": "a"}\n{"kind": ""}\n')
    code, _, err = run(capsys, "batch", "create", str(path))
    assert code == 2
    assert "line 2: kind: " in err


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["create"], "name a file of tasks"),
        (["create", "--open", "--wait"], "exclude each other"),
        (["create", "-", "--wait-timeout", "5s"], "--wait-timeout needs --wait"),
        (["create", "-", "--callback-queue", "q"], "need --on-success"),
        (["create", "-", "--on-success", "k", "--callback-payload", "{"], "--callback-payload"),
        (["get", "."], "names nothing"),
    ],
)
def test_what_makes_no_sense_is_refused(
    capsys: pytest.CaptureFixture[str], argv: list[str], told: str
) -> None:
    code, _, err = run(capsys, "batch", *argv)
    assert code == 2
    assert told in err


def test_create_says_whom_to_tell_of_which_events(capsys: pytest.CaptureFixture[str], tasks: str) -> None:
    hook = "https://example.com/hook"
    flags = ("--webhook", hook, "--webhook-secret", "shop", "--webhook-on", "finished")
    with serving(Say(201, MADE), Say(201, MADE)) as server:
        for more in (flags, ("--webhook", "shop")):
            assert run(capsys, "batch", "create", tasks, *more, "--url", server.url)[0] == 0
    told = [json.loads(got.body)["webhook"] for got in server.got]
    assert told == [{"url": hook, "secret": "shop", "on": ["finished"]}, "shop"]


def test_get_shows_whom_it_tells(capsys: pytest.CaptureFixture[str]) -> None:
    webhook = {"url": "https://example.com/hook", "on": ["failure", "finished"], "max_attempts": 10}
    with serving(Say(200, batch(webhook=webhook))) as server:
        code, out, _ = run(capsys, "batch", "get", ID, "--url", server.url)
    assert (code, facts_of(out)["webhook"]) == (0, ["https://example.com/hook (failure, finished)"])


def test_an_open_batch_needs_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Say(201, {"id": ID, "results": []})) as server:
        code, out, _ = run(capsys, "batch", "create", "--open", "--json", "--url", server.url)
    assert (code, json.loads(out)) == (0, {"id": ID, "results": []})
    assert json.loads(server.got[0].body) == {"open": True, "tasks": []}


def test_add_tells_how_many_have_become_members(capsys: pytest.CaptureFixture[str], tasks: str) -> None:
    with serving(Say(201, MADE)) as server:
        code, out, _ = run(capsys, "batch", "add", ID, tasks, "--url", server.url)
    assert (code, out) == (0, "1\n")
    assert asked(server) == [f"POST /v1/batches/{ID}/tasks"]


def test_list_shows_a_row_for_each_batch(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Say(200, {"batches": [batch(), ended(name=None)]})) as server:
        code, out, _ = run(capsys, "batch", "list", "--url", server.url)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split()[:3] == ["ID", "NAME", "STATE"]
    assert lines[1].split()[:7] == [ID, "images", "running", "3", "2", "1", "·"]
    assert asked(server) == ["GET /v1/batches?limit=20"]


def test_list_without_batches_says_how_to_make_one(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Say(200, {"batches": []})) as server:
        code, out, err = run(capsys, "batch", "list", "--url", server.url)
    assert (code, out) == (0, "")
    assert "tq batch create" in err


def test_get_shows_all_and_goes_on_after_one_that_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    done = ended(on_success={"kind": "publish", "queue": "q", "task": ID}, dead=1, succeeded=2)
    with serving(MISSING, Say(200, done)) as server:
        code, out, err = run(capsys, "batch", "get", "nobody", ID, "--url", server.url)
    assert code == 6
    assert "no batch nobody" in err
    facts = facts_of(out)
    assert facts["on success"] == [f"publish in q: task {ID}"]
    assert (facts["tasks"], facts["dead"], facts["name"]) == (["3"], ["1"], ["images"])
    assert "pending" not in facts


@pytest.mark.parametrize("verb", ["close", "cancel"])
def test_steering_tells_how_the_batch_stands_then(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    with serving(Say(200, batch())) as server:
        code, out, _ = run(capsys, "batch", verb, ID, "--url", server.url)
    assert (code, out) == (0, f"{ID}  running  2 pending, 1 succeeded of 3\n")
    assert asked(server) == [f"POST /v1/batches/{ID}/{verb}"]


@pytest.mark.parametrize(
    ("last", "code"),
    [(ended(), 0), (ended(dead=1, cancelled=1), 1), (ended(cancelled=1), 3)],
)
def test_wait_tells_the_end_by_its_exit_code(
    capsys: pytest.CaptureFixture[str], last: dict[str, Any], code: int
) -> None:
    retried = ended(pending=1)
    with serving(Say(200, batch()), Say(200, retried), Say(200, last)) as server:
        found = run(capsys, "batch", "wait", ID, "--url", server.url)
    assert found[0] == code
    assert found[1].startswith(f"{ID}  finished  ")
    assert [got.path.partition("?")[2] for got in server.got] == ["", "wait_s=30", ""]


def test_wait_gives_up_in_time(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(*[Say(200, batch())] * 50) as server:
        code, out, err = run(capsys, "batch", "wait", ID, "--timeout", "0.2s", "--url", server.url)
    assert (code, out) == (4, "")
    assert "timed out; running 2 pending, 1 succeeded of 3" in err


def test_create_and_wait_ends_as_the_batch_does(capsys: pytest.CaptureFixture[str], tasks: str) -> None:
    with serving(Say(201, MADE), Say(200, ended(dead=1))) as server:
        code, out, err = run(capsys, "batch", "create", tasks, "--wait", "--json", "--url", server.url)
    assert (code, json.loads(out)["dead"]) == (1, 1)
    assert f"batch {ID}" in err
