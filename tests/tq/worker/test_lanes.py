import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest
from msgspec import Raw

import tq
from tests.tq.worker.claims import attempt
from tests.waiting import eventually
from tq.clock import SystemClock
from tq.config import Settings
from tq.wire import CompleteOutcome, FailOutcome, Outcome
from tq.worker.attempt import Attempt, Stop
from tq.worker.desk import Lane
from tq.worker.lanes import Lanes
from tq.worker.options import Options
from tq.worker.room import Room


def of_kind(kind: str, number: int) -> Attempt:
    return attempt(number, kind=kind, payload=Raw(b"{}"))


class Handlers:
    """Two handlers that count how many run, and go on when they may."""

    def __init__(self) -> None:
        self.app = tq.App()
        self.go = threading.Event()
        self.running = 0
        self.most = 0
        self._mutex = threading.Lock()
        self.app.task(kind="in_thread")(self.in_thread)
        self.app.task(kind="on_loop")(self.on_loop)

    def _count(self, change: int) -> None:
        with self._mutex:
            self.running += change
            self.most = max(self.most, self.running)

    def in_thread(self) -> str:
        self._count(1)
        self.go.wait(10)
        self._count(-1)
        return tq.current_task().id

    async def on_loop(self) -> str:
        self._count(1)
        await asyncio.to_thread(self.go.wait, 10)
        self._count(-1)
        return tq.current_task().id


class At:
    """Lanes with two handlers, and what ended."""

    def __init__(self, *, slots: int, prefetch: int) -> None:
        self.handlers = Handlers()
        self.ended: list[tuple[Attempt, Outcome | None]] = []
        options = Options(
            settings=Settings(("http://127.0.0.1:9",), None),
            name="me",
            queues=["default"],
            slots=slots,
            prefetch=prefetch,
            environment={},
            target="unused",
        )
        self.room = Room(slots=slots, prefetch=prefetch)
        self.lanes = Lanes(options, self.handlers.app, SystemClock())
        self.threads: list[threading.Thread] = []
        self.lanes.build(spawn=self._spawn, begin=self._begin, ended=self._ended, busy=lambda: self.room.busy)

    def _spawn(self, name: str, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=work, name=name)
        self.threads.append(thread)
        thread.start()
        return thread

    def _begin(self, one: Attempt, lane: Lane) -> bool:
        return one.begin(0.0)

    def _ended(self, one: Attempt, outcome: Outcome | None) -> None:
        self.ended.append((one, outcome))

    def start(self, *attempts: Attempt) -> None:
        self.room.take(len(attempts))
        for one in attempts:
            self.lanes.of(one.task.kind).start([one])

    def end(self) -> None:
        self.handlers.go.set()
        self.lanes.close()
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def prefetching() -> Iterator[At]:
    at = At(slots=2, prefetch=10)
    yield at
    at.end()


def test_both_kinds_of_handlers_together_take_no_more_than_the_slots(prefetching: At) -> None:
    kinds = ["in_thread", "on_loop"] * 4
    attempts = [of_kind(kind, number) for number, kind in enumerate(kinds, start=1)]
    prefetching.start(*attempts)
    eventually(lambda: prefetching.handlers.running == 2)
    prefetching.handlers.go.set()
    eventually(lambda: len(prefetching.ended) == 8)
    assert prefetching.handlers.most == 2
    for one, outcome in prefetching.ended:
        assert isinstance(outcome, CompleteOutcome)
        assert isinstance(outcome.result, tq.Raw)
        assert bytes(outcome.result).decode() == f'"{one.task.id}"'


def test_task_that_must_not_begin_any_more_is_passed_over(prefetching: At) -> None:
    settled = [of_kind("in_thread", 1), of_kind("on_loop", 2)]
    for one in settled:
        one.settle()
    prefetching.start(*settled)
    eventually(lambda: len(prefetching.ended) == 2)
    assert {outcome for _, outcome in prefetching.ended} == {None}
    assert prefetching.handlers.most == 0


def test_stopping_a_coroutine_cancels_it_where_it_waits(prefetching: At) -> None:
    one = of_kind("on_loop", 1)
    prefetching.start(one)
    eventually(lambda: prefetching.handlers.running == 1)
    one.ask_to_stop(Stop.CANCEL)
    prefetching.lanes.of("on_loop").stop(one)
    eventually(lambda: prefetching.ended)
    (_, outcome) = prefetching.ended[0]
    assert isinstance(outcome, FailOutcome)
    assert outcome.error is not None
    assert outcome.error.type == "CancelledError"


def test_kinds_asked_for_are_those_of_the_app(prefetching: At) -> None:
    assert prefetching.lanes.kinds == ["in_thread", "on_loop"]
