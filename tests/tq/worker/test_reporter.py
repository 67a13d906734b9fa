import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from tests.tq.scripted_server import Say, Server, free_port, serving
from tests.tq.worker.claims import attempt, task_id
from tests.waiting import eventually
from tq.clock import SystemClock
from tq.errors import TqError
from tq.targets import Targets
from tq.worker.held import Held
from tq.worker.lines import line_of
from tq.worker.link import Link
from tq.worker.outcome import completed, given_back
from tq.worker.reporter import BACKLOG_MAX, Reporter
from tq.worker.room import Room

CLOCK = SystemClock()
AWAY = Say(status=503, value={"not": "a problem"})


def problem(status: int, code: str) -> dict[str, Any]:
    return {"type": "t", "title": "t", "status": status, "code": code, "detail": code}


def taken(*numbers: int, **others: dict[str, Any]) -> Say:
    rows: list[dict[str, Any]] = [{"id": task_id(number), "state": "succeeded"} for number in numbers]
    rows += [{"id": name, "error": error} for name, error in others.items()]
    return Say(value={"results": rows})


class At:
    """A reporter at work."""

    def __init__(self, url: str) -> None:
        self.held = Held()
        self.room = Room(slots=1, prefetch=0)
        self.refusals: list[TqError] = []
        self.reporter = Reporter(
            Link(Targets((url,)), token=None, timeout_s=2.0),
            CLOCK,
            held=self.held,
            room=self.room,
            refused=self.refusals.append,
        )
        self.thread = threading.Thread(target=self.reporter.run)

    def put(self, *numbers: int, size: int = 1) -> None:
        for number in numbers:
            one = attempt(number)
            self.held.add([one])
            self.reporter.put(one, completed(one, Raw(b'"%s"' % (b"x" * size))))


@contextlib.contextmanager
def reporting(url: str, *, within_s: float = 5.0) -> Iterator[At]:
    """Runs a reporter, and ends it when the block does."""
    at = At(url)
    at.thread.start()
    try:
        yield at
    finally:
        at.reporter.close(until=CLOCK.monotonic() + within_s)
        at.thread.join(20)
        assert not at.thread.is_alive()


def rows(server: Server, request: int) -> list[dict[str, Any]]:
    outcomes: list[dict[str, Any]] = msgspec.json.decode(server.got[request].body)["outcomes"]
    return outcomes


def ids(server: Server) -> list[list[str]]:
    return [[row["id"] for row in rows(server, number)] for number in range(len(server.got))]


def test_outcomes_that_wait_go_together_and_are_let_go_when_taken() -> None:
    with serving(taken(1, 2, 3)) as server:
        at = At(server.url)
        at.put(1, 2, 3)
        at.thread.start()
        eventually(lambda: len(at.held) == 0)
        at.reporter.close(until=CLOCK.monotonic() + 5)
        at.thread.join(5)
    assert ids(server) == [[task_id(1), task_id(2), task_id(3)]]
    assert (at.reporter.taken, at.reporter.backlog) == (3, 0)


def test_outcome_is_tried_again_until_the_node_takes_it() -> None:
    with serving(AWAY, Say(cut_after=0), AWAY, taken(1)) as server:
        with reporting(server.url) as at:
            at.put(1)
            eventually(lambda: len(server.got) >= 2)
            assert len(at.held) == 1, "its lease has to be kept alive meanwhile"
            eventually(lambda: len(at.held) == 0)
        bodies = {got.body for got in server.got}
    assert len(server.got) == 4
    assert len(bodies) == 1


def test_batch_the_node_refuses_is_halved_until_the_one_at_fault_stands_alone() -> None:
    refused = Say(status=400, value=problem(400, "duplicate_key"))
    answers = (refused, taken(1, 2), refused, refused, taken(4), taken(3))
    with serving(*answers) as server, reporting(server.url) as at:
        at = At(server.url)
        at.put(1, 2, 3, 4)
        at.thread.start()
        eventually(lambda: len(at.held) == 0)
        at.reporter.close(until=CLOCK.monotonic() + 5)
        at.thread.join(5)
    assert ids(server) == [
        [task_id(number) for number in numbers]
        for numbers in ((1, 2, 3, 4), (1, 2), (3, 4), (3,), (4,), (3,))
    ]
    (replacement,) = rows(server, 5)
    assert (replacement["outcome"], replacement["retry"]) == ("fail", False)
    assert replacement["error"]["type"] == "OutcomeRefused"
    assert "duplicate_key" in replacement["error"]["message"]


def test_outcome_refused_on_its_own_is_replaced_by_a_failure_and_then_given_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    too_large = taken(**{task_id(1): problem(422, "invalid_field")})
    with serving(too_large) as server, reporting(server.url) as at:
        at.put(1)
        eventually(lambda: len(at.held) == 0)
    assert [rows(server, number)[0]["outcome"] for number in range(len(server.got))] == ["complete", "fail"]
    assert "takes no outcome" in caplog.text


def test_lost_lease_drops_one_outcome_and_takes_the_others(caplog: pytest.LogCaptureFixture) -> None:
    mixed = Say(
        value={
            "results": [
                {"id": task_id(1), "error": problem(409, "lease_lost")},
                {"id": task_id(2), "state": "succeeded"},
                {"id": task_id(3), "error": problem(503, "overloaded")},
            ]
        }
    )
    with serving(mixed, taken(3)) as server:
        at = At(server.url)
        at.put(1, 2, 3)
        at.thread.start()
        eventually(lambda: len(at.held) == 0)
        at.reporter.close(until=CLOCK.monotonic() + 5)
        at.thread.join(5)
    assert ids(server)[1:] == [[task_id(3)]]
    lost = [record for record in caplog.records if record.message.startswith("lease lost")]
    assert len(lost) == 1


def test_large_outcomes_go_in_several_requests() -> None:
    with serving(taken(1, 2), taken(3)) as server:
        at = At(server.url)
        at.put(1, 2, 3, size=1_500_000)
        at.thread.start()
        eventually(lambda: len(at.held) == 0)
        at.reporter.close(until=CLOCK.monotonic() + 5)
        at.thread.join(5)
    assert ids(server) == [[task_id(1), task_id(2)], [task_id(3)]]


def test_closing_reports_what_is_there_first() -> None:
    with serving(taken(1)) as server, reporting(server.url) as at:
        at.put(1)
    assert at.reporter.taken == 1
    assert len(server.got) == 1


def test_closing_gives_up_at_its_time_and_says_what_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    with reporting(f"http://127.0.0.1:{free_port()}", within_s=0.2) as at:
        at.put(*range(1, 131))
    lost = [record for record in caplog.records if "not reported" in record.message]
    assert len(lost) == 130
    assert all(record.levelno == logging.ERROR for record in lost)


def test_node_that_is_back_is_not_waited_for_any_longer() -> None:
    with reporting(f"http://127.0.0.1:{free_port()}", within_s=0.0) as at:
        at.put(1)
        # After some tries the waits are seconds long.
        eventually(lambda: at.reporter._backoff.tries >= 6, within_s=30)
        tries = at.reporter._backoff.tries
        began = CLOCK.monotonic()
        for _ in range(5):
            eventually(lambda: at.reporter._not_reached)
            at.reporter.node_is_back()
            eventually(lambda: not at.reporter._wake.is_set())
        eventually(lambda: at.reporter._backoff.tries >= tries + 5)
        assert CLOCK.monotonic() - began < 2


def test_refused_worker_is_told_and_outcomes_are_kept() -> None:
    not_let_in = Say(status=401, value=problem(401, "unauthorized"))
    with serving(not_let_in, taken(1)) as server, reporting(server.url) as at:
        at.put(1)
        eventually(lambda: len(at.held) == 0)
    assert [error.code for error in at.refusals] == ["unauthorized"]


def test_too_many_kept_outcomes_hold_up_claiming_until_they_are_taken() -> None:
    with serving(AWAY) as server, reporting(server.url, within_s=0.0) as at:
        at.put(*range(1, BACKLOG_MAX + 2))
        eventually(lambda: at.room._held_up)
        server.answers = [_Echo()]
        eventually(lambda: not at.room._held_up)
        assert at.room.wait_for_some() == 1


class _Echo(Say):
    """Takes whatever a full batch holds."""

    @property
    def body(self) -> bytes:
        return msgspec.json.encode({"results": [{"id": str(n), "state": "succeeded"} for n in range(100)]})


def test_task_given_back_says_so() -> None:
    with serving(Say(value={"results": [{"id": task_id(1), "state": "ready"}]})) as server:
        with reporting(server.url) as at:
            one = attempt(1)
            at.reporter.put(one, given_back(one))
        (row,) = rows(server, 0)
    assert (row["outcome"], row["id"], row["delay_s"]) == ("snooze", task_id(1), 0)


def test_the_last_lines_go_with_the_outcome_and_with_what_stands_in_for_it() -> None:
    one = attempt(1)
    one.lines.add(line_of("a", "info", 0.0))
    refusal = taken(**{task_id(1): problem(422, "invalid_field")})
    with serving(refusal, taken(1)) as server, reporting(server.url) as at:
        at.held.add([one])
        at.reporter.put(one, completed(one, Raw(b"1")))
        eventually(lambda: at.reporter.taken == 1)
    sent = [row for number in (0, 1) for row in rows(server, number)]
    assert [row["outcome"] for row in sent] == ["complete", "fail"]
    assert [row["log"]["lines"][0]["text"] for row in sent] == ["a", "a"]
    one.lines.add(line_of("late", "info", 0.0))
    assert len(one.lines) == 1
