import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from tests.tq.scripted_server import Say, Server, serving
from tests.tq.worker.claims import attempt, task_id
from tests.waiting import eventually
from tq.clock import SystemClock
from tq.errors import TqError
from tq.targets import Targets
from tq.wire import NewWorker, Outcome
from tq.worker.attempt import Attempt
from tq.worker.desk import Desk
from tq.worker.heart import Heart
from tq.worker.held import Held
from tq.worker.identity import Identity
from tq.worker.lines import line_of
from tq.worker.link import Link
from tq.worker.reporter import Reporter
from tq.worker.room import Room

CLOCK = SystemClock()
HOUR_S = 3600.0


def worker_id(name: str) -> str:
    return name.ljust(36, "-")


def registered(name: str = "w", heartbeat_s: float = HOUR_S) -> Say:
    return Say(status=201, value={"id": worker_id(name), "state": "run", "heartbeat_s": heartbeat_s})


def beaten(*statuses: str, state: str = "run") -> Say:
    leases = [{"id": task_id(number + 1), "status": status} for number, status in enumerate(statuses)]
    return Say(value={"state": state, "leases": leases})


def refused(status: int, code: str) -> Say:
    return Say(
        status=status, value={"type": "t", "title": "t", "status": status, "code": code, "detail": code}
    )


class Recorder:
    """A lane that runs nothing and keeps what it is told to stop."""

    patience_s = None

    def __init__(self) -> None:
        self.stopped: list[Attempt] = []

    def start(self, attempts: Sequence[Attempt]) -> None:
        """Runs nothing."""

    def stop(self, one: Attempt) -> None:
        self.stopped.append(one)

    def close(self) -> None:
        """Has nothing to end."""


class At:
    """A heart that beats."""

    def __init__(self, url: str) -> None:
        def link() -> Link:
            return Link(Targets((url,)), token=None, timeout_s=2.0)

        self.held = Held()
        self.lane = Recorder()
        self.states: list[str] = []
        self.refusals: list[TqError] = []
        self.reports: list[Outcome] = []
        self.identity = Identity(NewWorker(name="me"), CLOCK)
        line = link()
        self.identity.register(line, threading.Event())
        line.close()
        room = Room(slots=9, prefetch=0)
        reporter = Reporter(link(), CLOCK, held=self.held, room=room, refused=self.refusals.append)
        self.desk = Desk(CLOCK, held=self.held, room=room, reporter=reporter, lane_of=lambda kind: self.lane)
        self.heart = Heart(
            link(),
            CLOCK,
            identity=self.identity,
            held=self.held,
            desk=self.desk,
            steered=self.states.append,
            refused=self.refusals.append,
        )
        self.thread = threading.Thread(target=self.heart.run)

    def hold(self, *attempts: Attempt) -> None:
        self.held.add(attempts)
        for one in attempts:
            one.begin(0.0)


@contextlib.contextmanager
def beating(server: Server, *attempts: Attempt) -> Iterator[At]:
    at = At(server.url)
    at.hold(*attempts)
    at.thread.start()
    try:
        yield at
    finally:
        at.heart.close()
        at.thread.join(20)
        assert not at.thread.is_alive()


def beats(server: Server) -> list[list[dict[str, Any]]]:
    return [msgspec.json.decode(got.body).get("leases", []) for got in server.got if "heartbeat" in got.path]


def test_all_leases_are_renewed_in_one_request_three_times_in_the_shortest() -> None:
    one, two = attempt(1, lease_s=HOUR_S), attempt(2, lease_s=0.3)
    with serving(registered(), beaten("ok", "ok")) as server, beating(server, one, two):
        eventually(lambda: len(beats(server)) >= 4, within_s=3)
        assert two.gone_at > CLOCK.monotonic()
    assert beats(server)[0] == [
        {"id": task_id(1), "token": "token-1"},
        {"id": task_id(2), "token": "token-2"},
    ]


def test_short_lease_that_comes_in_brings_the_next_beat_forward() -> None:
    with serving(registered(), beaten(), beaten("ok")) as server, beating(server) as at:
        eventually(lambda: len(beats(server)) == 1)
        at.hold(attempt(1, lease_s=0.3))
        at.heart.hurry(0.3)
        eventually(lambda: len(beats(server)) >= 2, within_s=2)


def test_cancelled_task_is_told_to_stop_and_its_lease_kept() -> None:
    one, two = attempt(1), attempt(2)
    with serving(registered(), beaten("ok", "cancel")) as server, beating(server, one, two) as at:
        eventually(lambda: at.lane.stopped == [two])
    assert two.stop is not None
    assert two.stop.value == "cancel"
    assert one.stop is None
    assert len(at.held) == 2


def test_lost_lease_is_told_to_stop_and_renewed_no_more() -> None:
    one, two = attempt(1), attempt(2, lease_s=0.3)
    answers = (registered(), beaten("lost", "ok"))
    with serving(*answers) as server, beating(server, one, two) as at:
        eventually(lambda: at.lane.stopped == [one])
        eventually(lambda: len(beats(server)) >= 2)
    assert one.stop is not None
    assert one.stop.value == "lost"
    assert [[row["id"] for row in beat] for beat in beats(server)][1] == [task_id(2)]


def test_lost_lease_of_a_settled_attempt_is_its_reports_affair() -> None:
    one = attempt(1)
    assert one.settle()
    with serving(registered(), beaten("lost")) as server, beating(server, one) as at:
        eventually(lambda: at.states == ["run"])
    assert (one.stop, len(at.held)) == (None, 1)


def test_progress_goes_out_once_and_is_kept_until_the_node_has_it() -> None:
    one = attempt(1, lease_s=0.3)
    one.report_progress(Raw(b"40"))
    with serving(registered(), Say(cut_after=0), beaten("ok")) as server, beating(server, one):
        eventually(lambda: len(beats(server)) >= 3)
    sent = [beat[0].get("progress") for beat in beats(server)]
    assert sent[:3] == [40, 40, None]


def test_progress_the_node_refuses_does_not_cost_the_leases() -> None:
    one, two = attempt(1, lease_s=0.3), attempt(2)
    one.report_progress(Raw(b'"bad"'))
    answers = (registered(), refused(400, "invalid_text"), beaten("ok", "ok"))
    with serving(*answers) as server, beating(server, one, two):
        eventually(lambda: len(beats(server)) >= 3)
    assert [[row.get("progress") for row in beat] for beat in beats(server)][:3] == [
        ["bad", None],
        [None, None],
        [None, None],
    ]


def test_node_that_is_away_is_asked_again_soon() -> None:
    one = attempt(1)
    answers = (registered(), Say(status=503, raw=b""), Say(cut_after=0), beaten("ok"))
    with serving(*answers) as server, beating(server, one) as at:
        eventually(lambda: at.states == ["run"], within_s=3)
    assert len(beats(server)) == 3
    assert one.stop is None


def test_worker_the_node_forgot_registers_again_and_beats_under_its_new_id() -> None:
    answers = (registered("old"), refused(404, "worker_not_found"), registered("new"), beaten("ok"))
    with serving(*answers) as server, beating(server, attempt(1)) as at:
        eventually(lambda: len(at.states) >= 2)
    assert [got.path for got in server.got] == [
        "/v1/workers",
        f"/v1/workers/{worker_id('old')}/heartbeat",
        "/v1/workers",
        f"/v1/workers/{worker_id('new')}/heartbeat",
    ]
    assert at.identity.id == worker_id("new")


def test_state_the_node_answers_is_passed_on() -> None:
    with serving(registered(heartbeat_s=0.06), beaten(), beaten(state="quiet")) as server:
        with beating(server) as at:
            eventually(lambda: "quiet" in at.states)
        assert at.states[0] == "run"


@pytest.mark.parametrize(("status", "code"), [(401, "unauthorized"), (403, "forbidden")])
def test_refusal_of_the_worker_itself_is_passed_on(status: int, code: str) -> None:
    with serving(registered(), refused(status, code), beaten()) as server, beating(server) as at:
        eventually(lambda: at.refusals)
    assert at.refusals[0].code == code


def test_more_leases_than_fit_go_in_several_requests() -> None:
    attempts = [attempt(number) for number in range(1, 1502)]
    with serving(registered(), beaten()) as server, beating(server, *attempts):
        eventually(lambda: len(beats(server)) >= 2)
    assert [len(beat) for beat in beats(server)][:2] == [1000, 501]


def logs(server: Server) -> list[Any]:
    """What each beat brought of the first lease's log, without the lines' times."""
    brought = []
    for beat in beats(server):
        log = beat[0].get("log") if beat else None
        if log is not None:
            log = (log.get("first"), [line["text"] for line in log["lines"]])
        brought.append(log)
    return brought


def test_what_a_handler_tells_goes_out_soon_and_only_with_its_own_lease() -> None:
    with serving(registered(), beaten("ok", "ok"), beaten("ok")) as server, beating(server) as at:
        one, two = (Attempt(attempt(n).task, received_at=0.0, news=at.heart.tell) for n in (1, 2))
        at.hold(one, two)
        eventually(lambda: len(beats(server)) == 1)
        one.lines.add(line_of("a", "info", 0.0))
        one.lines.add(line_of("b", "info", 0.0))
        one.report_progress(Raw(b"40"))
        eventually(lambda: len(one.lines) == 0)
        assert one.unsent_progress() is None
    told = [row for beat in beats(server)[1:] for row in beat]
    assert {row["id"] for row in told} == {task_id(1)}
    assert told[0]["log"]["lines"][0]["text"] == "a"


def test_lines_are_kept_until_the_node_has_them_and_keep_their_place() -> None:
    one = attempt(1, lease_s=0.3)
    one.lines.add(line_of("a", "info", 0.0))
    with serving(registered(), Say(cut_after=0), beaten("ok")) as server, beating(server, one):
        eventually(lambda: len(one.lines) == 0)
        one.lines.add(line_of("b", "info", 0.0))
        eventually(lambda: len(one.lines) == 0)
    assert [log for log in logs(server) if log] == [(0, ["a"]), (0, ["a"]), (1, ["b"])]


def test_lines_the_node_refuses_do_not_cost_the_leases() -> None:
    one = attempt(1, lease_s=0.3)
    one.lines.add(line_of("a", "info", 0.0))
    with serving(registered(), refused(422, "unknown_field"), beaten("ok")) as server, beating(server, one):
        eventually(lambda: len(beats(server)) >= 3)
    assert [log is not None for log in logs(server)][:3] == [True, False, False]


def test_lines_of_an_attempt_that_has_ended_are_left_to_its_outcome() -> None:
    one = attempt(1, lease_s=0.3)
    one.lines.add(line_of("a", "info", 0.0))
    assert one.settle()
    with serving(registered(), beaten("ok")) as server, beating(server, one):
        eventually(lambda: len(beats(server)) >= 2)
    assert set(logs(server)) == {None}
    assert len(one.lines) == 1
