import threading
from collections.abc import Iterator, Sequence

import pytest

from tests.tq.worker.claims import attempt
from tests.waiting import eventually
from tq.clock import SystemClock
from tq.errors import TqError
from tq.targets import Targets
from tq.worker.attempt import Attempt, Stop
from tq.worker.desk import Desk
from tq.worker.held import Held
from tq.worker.link import Link
from tq.worker.reporter import Reporter
from tq.worker.room import Room
from tq.worker.watch import Watch

CLOCK = SystemClock()


class Deaf:
    """A lane whose handlers go on whatever they are told."""

    def __init__(self, patience_s: float | None) -> None:
        self.patience_s = patience_s
        self.stopped: list[Attempt] = []

    def start(self, attempts: Sequence[Attempt]) -> None:
        """Runs nothing."""

    def stop(self, one: Attempt) -> None:
        self.stopped.append(one)

    def close(self) -> None:
        """Has nothing to end."""


class At:
    """A watch at work; its reports pile up, since no reporter runs."""

    def __init__(self) -> None:
        held, room, refusals = Held(), Room(slots=9, prefetch=0), list[TqError]()
        link = Link(Targets(("http://127.0.0.1:9",)), token=None)
        self.reporter = Reporter(link, CLOCK, held=held, room=room, refused=refusals.append)
        self.lane = Deaf(0.0)
        desk = Desk(CLOCK, held=held, room=room, reporter=self.reporter, lane_of=lambda kind: self.lane)
        self.watch = Watch(CLOCK, desk)
        self.thread = threading.Thread(target=self.watch.run)

    def begin(self, one: Attempt) -> None:
        one.begin(CLOCK.monotonic())
        self.watch.begin(one, self.lane)


@pytest.fixture
def at() -> Iterator[At]:
    made = At()
    made.thread.start()
    yield made
    made.watch.close()
    made.thread.join(5)
    assert not made.thread.is_alive()


def test_attempt_past_its_time_is_told_and_then_reported_without_its_handler(at: At) -> None:
    one, patient = attempt(1, timeout_s=0.05), attempt(2, timeout_s=60.0)
    at.begin(patient)
    at.begin(one)
    eventually(lambda: one.settled)
    assert one.stop is Stop.TIMEOUT
    assert at.lane.stopped == [one]
    assert at.reporter.backlog == 1
    assert (patient.stop, patient.settled) == (None, False)


def test_lane_that_ends_its_handlers_for_certain_is_waited_for(at: At) -> None:
    at.lane.patience_s = None
    one = attempt(1, timeout_s=0.05)
    at.begin(one)
    eventually(lambda: at.lane.stopped == [one])
    assert not one.settled


def test_attempt_that_ended_in_time_is_left_alone(at: At) -> None:
    one, later = attempt(1, timeout_s=0.05), attempt(2, timeout_s=0.15)
    at.begin(one)
    at.watch.end(one)
    at.begin(later)
    eventually(lambda: later.settled)
    assert (one.stop, one.settled) == (None, False)


def test_cancelled_handler_that_goes_on_is_not_waited_for_past_its_time(at: At) -> None:
    one = attempt(1, timeout_s=0.05)
    at.begin(one)
    one.ask_to_stop(Stop.CANCEL)
    eventually(lambda: one.settled)
    assert one.stop is Stop.CANCEL
    assert at.reporter.backlog == 1


def test_attempt_without_a_limit_is_not_watched(at: At) -> None:
    one, limited = attempt(1), attempt(2, timeout_s=0.05)
    at.begin(one)
    at.begin(limited)
    eventually(lambda: limited.settled)
    assert one.stop is None
