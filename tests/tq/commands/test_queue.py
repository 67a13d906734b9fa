"""``tq queue``, ``tq pause`` and ``tq resume``, against a server that answers as a node does."""

import json
from typing import Any

import pytest

from tests.tq.commands.test_main import run
from tests.tq.scripted_server import Say, Server, serving
from tq.commands.base import ExitCode

UNTIL = "2100-02-01T01:30:00.000Z"
PAUSE = {"since": "2026-01-31T12:00:00.000Z", "until": UNTIL, "reason": "deploy"}


def info(queue: str = "images", **fields: Any) -> dict[str, Any]:
    return {"queue": queue, "paused": False, "counts": {"ready": 2}, **fields}


def sent(server: Server) -> list[tuple[str, Any]]:
    return [(f"{got.method} {got.path}", json.loads(got.body) if got.body else None) for got in server.got]


def test_pause_sends_when_it_ends_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Say(200, info(paused=True, pause=PAUSE))) as server:
        code, out, _ = run(
            capsys, "queue", "pause", "images", "--for", "10m", "--reason", "deploy", "--url", server.url
        )
    assert code == ExitCode.OK
    assert "paused for " in out
    assert "deploy" in out
    assert sent(server) == [("POST /v1/queues/images/pause", {"for_s": 600.0, "reason": "deploy"})]


def test_pause_has_one_end(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["queue", "pause", "images"], ["pause"]):
        code, _, err = run(capsys, *argv, "--for", "10m", "--until", UNTIL)
        assert (code, "either --for or --until" in err) == (ExitCode.USAGE, True)


def test_drain_and_resume_show_how_the_queue_stands(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Say(200, info(draining=True)), Say(200, info())) as server:
        _, drained, _ = run(capsys, "queue", "drain", "images", "--url", server.url)
        _, resumed, _ = run(capsys, "queue", "resume", "images", "--url", server.url)
    assert "draining" in drained
    assert "draining" not in resumed
    assert [path for path, _ in sent(server)] == [
        "POST /v1/queues/images/drain",
        "POST /v1/queues/images/resume",
    ]


def test_set_sends_what_is_said_and_default_gives_it_back(capsys: pytest.CaptureFixture[str]) -> None:
    answer = info(settings={"lease_s": 60.0, "keep_dead_s": -1, "depth_max": 1000}, bytes=2048)
    argv = ["queue", "set", "images", "--lease", "60s", "--depth-max", "1000", "--keep-dead", "ever"]
    argv += [
        "--keep-succeeded",
        "1h",
        "--age-per-minute",
        "0.5",
        "--retry",
        "fixed:5",
        "--timeout",
        "default",
        "--priority",
        "default",
    ]
    with serving(Say(200, answer)) as server:
        code, out, _ = run(capsys, *argv, "--url", server.url)
    assert code == ExitCode.OK
    assert "lease       1m" in out
    assert "for ever" in out
    ((path, body),) = sent(server)
    assert path == "PATCH /v1/queues/images"
    assert body == {
        "lease_s": 60.0,
        "depth_max": 1000,
        "keep_dead_s": -1,
        "keep_succeeded_s": 3600,
        "age_per_minute": 0.5,
        "retry": {"type": "fixed", "delay_s": 5.0},
        "timeout_s": None,
        "priority": None,
    }


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "say what to set"),
        (["--lease", "long"], "is not a duration"),
        (["--depth-max", "0"], "0 is not in the range"),
        (["--age-per-minute", "256"], "256.0 is not in the range"),
        (["--retry", "fixed:-1"], "is not a"),
        (["--retry", "exponential:0"], "base_s"),
    ],
)
def test_wrong_settings_are_told_before_anything_is_sent(
    argv: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, "queue", "set", "images", *argv, "--url", "http://127.0.0.1:9")
    assert code == ExitCode.USAGE
    assert says in err


def test_show_tells_all_that_a_queue_has_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    own = {
        "priority": 7,
        "max_attempts": 3,
        "lease_s": 60.0,
        "timeout_s": 5.0,
        "retry": {"type": "fixed", "delay_s": 5.0},
        "keep_succeeded_s": 3600,
        "depth_max": 5,
        "bytes_max": 4096,
        "age_per_minute": 2.0,
    }
    with serving(Say(200, info(settings=own, bytes=2048, paused=True, pause=PAUSE))) as server:
        _, out, _ = run(capsys, "queue", "show", "images", "--url", server.url)
    for words in (
        "2 ready",
        "paused for",
        "priority",
        "attempts",
        "1h",
        "depth max",
        "bytes max",
        "retry",
        "+2 pri",
    ):
        assert words in out
    with serving(Say(200, info(counts={}))) as server:
        _, out, _ = run(capsys, "queue", "show", "images", "--url", server.url)
    assert "the node's" in out
    with serving(Say(200, info())) as server:
        _, out, _ = run(capsys, "queue", "show", "images", "--json", "--url", server.url)
    assert json.loads(out) == info()


def test_all_queues_are_paused_and_resumed(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Say(200, {"paused": True, "pause": PAUSE}), Say(200, {"paused": False})) as server:
        _, paused, _ = run(capsys, "pause", "--until", UNTIL, "--url", server.url)
        _, resumed, _ = run(capsys, "resume", "--json", "--url", server.url)
    assert "all queues  paused for " in paused
    assert json.loads(resumed) == {"paused": False}
    assert [path for path, _ in sent(server)] == ["POST /v1/pause", "POST /v1/resume"]


def test_queues_say_that_the_whole_node_is_paused(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Say(200, {"queues": [info()]}), Say(200, {"paused": True, "pause": PAUSE})) as server:
        code, out, err = run(capsys, "queues", "--url", server.url)
    assert code == ExitCode.OK
    assert "images" in out
    assert "the whole node is paused for " in err
