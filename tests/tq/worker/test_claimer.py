import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from tests.tq.scripted_server import Say, Server, serving
from tests.tq.worker.claims import claimed
from tests.waiting import eventually
from tq.clock import SystemClock
from tq.errors import TqError
from tq.targets import Targets
from tq.wire import ClaimedTask, NewWorker
from tq.worker.attempt import Attempt
from tq.worker.claimer import Claimer
from tq.worker.desk import Desk
from tq.worker.held import Held
from tq.worker.identity import Identity
from tq.worker.link import Link
from tq.worker.reporter import Reporter
from tq.worker.room import Room

CLOCK = SystemClock()
REGISTERED = Say(status=201, value={"id": "w" * 36, "state": "run", "heartbeat_s": 10.0})
WAITING = Say(cut_after=0, hang=True)
"""A long poll that no task comes for."""


def tasks(*numbers: int) -> Say:
    return Say(value={"tasks": [claimed(number) for number in numbers]})


def refused(status: int, code: str, **fields: Any) -> Say:
    problem = {"type": "t", "title": "t", "status": status, "code": code, "detail": code}
    return Say(status=status, value=problem | fields)


class Starter:
    """A lane that only notes what it is to run."""

    patience_s = None

    def __init__(self) -> None:
        self.started: list[Attempt] = []

    def start(self, attempts: Sequence[Attempt]) -> None:
        self.started += attempts

    def stop(self, one: Attempt) -> None:
        """Runs nothing that could be stopped."""

    def close(self) -> None:
        """Has nothing to end."""


class At:
    """A claimer at work."""

    def __init__(self, url: str, *, slots: int, prefetch: int = 0, **options: Any) -> None:
        def link() -> Link:
            return Link(Targets((url,)), token=None, timeout_s=2.0)

        self.room = Room(slots=slots, prefetch=prefetch)
        self.held = Held()
        self.lane = Starter()
        self.refusals: list[TqError] = []
        self.claimed: list[ClaimedTask] = []
        identity = Identity(NewWorker(name="me"), CLOCK)
        line = link()
        identity.register(line, threading.Event())
        line.close()
        self.reporter = Reporter(link(), CLOCK, held=self.held, room=self.room, refused=self.refusals.append)
        self.desk = Desk(
            CLOCK, held=self.held, room=self.room, reporter=self.reporter, lane_of=lambda kind: self.lane
        )
        asked = {"queues": ["a", "b"], "kinds": ["add"], "lease_s": None} | options
        self.claimer = Claimer(
            link(),
            CLOCK,
            identity=identity,
            room=self.room,
            desk=self.desk,
            claimed=self.claimed.extend,
            refused=self.refusals.append,
            **asked,
        )
        self.thread = threading.Thread(target=self.claimer.run)

    def end(self) -> None:
        self.claimer.close()
        # This server does not notice that a client is gone.
        self.thread.join(0.1)
        self.claimer.cut_off()
        self.thread.join(10)
        assert not self.thread.is_alive()


@contextlib.contextmanager
def claiming(server: Server, *, slots: int, prefetch: int = 0, **options: Any) -> Iterator[At]:
    at = At(server.url, slots=slots, prefetch=prefetch, **options)
    at.thread.start()
    try:
        yield at
    finally:
        at.end()


def asked(server: Server) -> list[dict[str, Any]]:
    return [msgspec.json.decode(got.body) for got in server.got if got.path == "/v1/claims"]


def test_claim_asks_for_no_more_than_there_is_room_for() -> None:
    answers = (REGISTERED, tasks(1, 2, 3), tasks(4), WAITING)
    with serving(*answers) as server, claiming(server, slots=3, prefetch=2) as at:
        eventually(lambda: len(at.lane.started) == 4)
        eventually(lambda: len(asked(server)) == 3)
        # One is what is asked for when nothing else is said.
        assert [claim.get("max", 1) for claim in asked(server)] == [5, 2, 1]
        assert [attempt.task for attempt in at.lane.started] == at.claimed
        assert set(at.held.all()) == set(at.lane.started)


def test_full_worker_claims_again_when_a_task_has_ended() -> None:
    with serving(REGISTERED, tasks(1), WAITING) as server, claiming(server, slots=1) as at:
        eventually(lambda: len(at.lane.started) == 1)
        assert len(asked(server)) == 1
        at.desk.ended(at.lane.started[0], None)
        eventually(lambda: len(asked(server)) == 2)


def test_claim_names_queues_kinds_lease_and_worker() -> None:
    with serving(REGISTERED, WAITING) as server, claiming(server, slots=2, lease_s=5.0):
        eventually(lambda: asked(server))
    (claim,) = asked(server)
    assert claim.pop("wait_s") > 1
    assert claim == {"queues": ["a", "b"], "kinds": ["add"], "max": 2, "lease_s": 5.0, "worker": "w" * 36}


def test_limits_of_the_node_are_kept_once_it_names_them() -> None:
    answers = (
        REGISTERED,
        refused(422, "invalid_field", field="max", limit=7),
        refused(422, "invalid_field", field="wait_s", limit=3.0),
        WAITING,
    )
    with serving(*answers) as server, claiming(server, slots=50):
        eventually(lambda: len(asked(server)) == 3)
    last = asked(server)[-1]
    assert (last["max"], last["wait_s"]) == (7, 3.0)


def test_node_that_is_away_is_asked_again(caplog: Any) -> None:
    answers = (REGISTERED, Say(cut_after=0), Say(status=503, raw=b""), tasks(1), WAITING)
    with serving(*answers) as server, claiming(server, slots=1) as at:
        eventually(lambda: len(at.lane.started) == 1)
    assert [record.message for record in caplog.records].count("claim failed; trying again") == 1


def test_empty_answer_that_did_not_wait_is_not_asked_for_again_at_once() -> None:
    with serving(REGISTERED, tasks()) as server, claiming(server, slots=1):
        eventually(lambda: len(asked(server)) >= 3)
        until = CLOCK.monotonic() + 1.0
        eventually(lambda: CLOCK.monotonic() >= until)
        assert len(asked(server)) < 30


def test_refusal_of_the_worker_itself_is_passed_on() -> None:
    with serving(REGISTERED, refused(401, "unauthorized")) as server, claiming(server, slots=1) as at:
        eventually(lambda: at.refusals)
    assert at.refusals[0].code == "unauthorized"


def test_closing_ends_a_long_poll_even_of_a_node_that_does_not_react() -> None:
    with serving(REGISTERED, WAITING) as server:
        at = At(server.url, slots=1)
        at.thread.start()
        eventually(lambda: asked(server))
        at.end()
        assert not server._released.is_set()
    assert at.lane.started == []


def test_tasks_that_come_in_while_closing_go_back_unstarted() -> None:
    with serving(REGISTERED, tasks(1, 2)) as server:
        at = At(server.url, slots=2)
        at.claimer._closing.set()
        at.thread.start()
        eventually(lambda: at.reporter.backlog == 2)
        at.end()
    assert (at.lane.started, at.room.busy) == ([], 0)
    assert at.claimed
    assert at.claimed[0].meta is UNSET
