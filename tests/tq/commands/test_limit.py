"""``tq limit``, against a server that answers as a node does."""

import json
from typing import Any

import pytest

from tests.tq.commands.test_main import run
from tests.tq.commands.test_schedule import asked, facts_of
from tests.tq.scripted_server import Say, serving


def limit(name: str = "few", **fields: Any) -> dict[str, Any]:
    stamp = "2026-01-31T12:00:00.000Z"
    return {"name": name, "created_at": stamp, "updated_at": stamp, **fields}


RATE = limit("api", key="c:*", rate=100, per_s=60.0, burst=10)
MISSING = Say(
    404,
    {"type": "t", "title": "t", "status": 404, "code": "limit_not_found", "detail": "no limit nobody"},
)


def test_put_sends_every_option_and_shows_the_limit(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["limit", "put", "api", "-k", "c:*", "-q", "q", "-n", "0", "--rate", "100/m", "--burst", "10"]
    with serving(Say(201, RATE | {"queue": "q", "running": 0})) as server:
        code, out, _ = run(capsys, *argv, "--url", server.url)
    assert code == 0
    assert asked(server) == ["PUT /v1/limits/api"]
    expected = {"queue": "q", "key": "c:*", "running": 0, "rate": 100, "per_s": 60.0, "burst": 10}
    assert json.loads(server.got[0].body) == expected
    facts = facts_of(out)
    assert facts["rate"] == ["100/m, 10 at once"]
    assert facts["keys"] == ["c:*, each by itself"]
    assert facts["running"] == ["0 at a time"]


@pytest.mark.parametrize(
    ("rate", "expected"), [("1/s", (1, 1)), ("7/h", (7, 3600)), ("5/d", (5, 86400)), ("3/90s", (3, 90))]
)
def test_a_rate_is_a_number_in_a_time(
    capsys: pytest.CaptureFixture[str], rate: str, expected: tuple[int, float]
) -> None:
    with serving(Say(201, RATE)) as server:
        code, _, _ = run(capsys, "limit", "put", "api", "-k", "a", "-r", rate, "--url", server.url)
    assert code == 0
    sent = json.loads(server.got[0].body)
    assert (sent["rate"], sent.get("per_s", 1)) == expected


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["-n", "1"], "--queue"),
        (["-q", "q"], "--running"),
        (["-k", "a", "--fair"], "--fair"),
        (["-k", "a", "-n", "1", "--burst", "2"], "--burst needs --rate"),
        (["-k", "a", "-r", "0/s"], "no rate"),
        (["-k", "a", "-r", "10"], "no rate"),
        (["-k", "a", "-r", "x/s"], "no rate"),
    ],
)
def test_what_makes_no_limit_is_told_before_anything_is_sent(
    capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    with serving() as server:
        code, _, err = run(capsys, "limit", "put", "x", *argv, "--url", server.url)
    assert (code, server.got) == (2, [])
    assert said in err


def test_list_shows_what_each_limit_is_on_and_what_it_allows(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [RATE, limit("images", queue="images", running=8, fair=True)]
    with serving(Say(200, {"limits": rows})) as server:
        code, out, _ = run(capsys, "limit", "list", "--url", server.url)
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["NAME", "QUEUE", "KEY", "RUNNING", "RATE", "BURST"],
        ["api", "·", "c:*", "·", "100/m", "10"],
        ["images", "images", "·", "8", "·", "·", "fair"],
    ]


def test_no_limits_are_a_note_and_not_an_empty_table(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Say(200, {"limits": []})) as server:
        code, out, err = run(capsys, "limit", "list", "--url", server.url)
    assert (code, out) == (0, "")
    assert "tq limit put" in err


def test_several_are_deleted_and_one_that_is_missing_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Say(204, raw=b""), MISSING, Say(204, raw=b"")) as server:
        code, out, err = run(capsys, "limit", "delete", "a", "nobody", "b", "--url", server.url)
    assert code == 6
    assert out.split() == ["a", "deleted", "b", "deleted"]
    assert "limit delete: no limit nobody" in err
