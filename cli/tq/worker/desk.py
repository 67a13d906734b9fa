"""Where attempts begin, are told to stop, and end: the one place that decides what is reported."""

from collections.abc import Callable, Sequence
from typing import Protocol

from tq.clock import Clock
from tq.wire import ClaimedTask, Outcome
from tq.worker.attempt import Attempt, Stop
from tq.worker.held import Held
from tq.worker.log import facts, logger
from tq.worker.outcome import given_back, stopped, verdict
from tq.worker.reporter import Reporter
from tq.worker.room import Room

_log = logger()


class Lane(Protocol):
    """A way to run handlers: in threads, in processes, on an event loop, as programs."""

    @property
    def patience_s(self) -> float | None:
        """Seconds after a timeout at which a handler that goes on is no longer waited for.

        None: this lane ends its handlers for certain.
        """
        ...

    def start(self, attempts: Sequence[Attempt]) -> None:
        """Runs the attempts' handlers, now or as slots come free, each ending in :meth:`Desk.ended`."""
        ...

    def stop(self, attempt: Attempt) -> None:
        """Makes a handler end whose ``attempt.stop`` has been set. Any thread may call this."""
        ...

    def close(self) -> None:
        """Ends the lane's own threads and processes; handlers have ended or are abandoned."""
        ...


class Desk:
    """Takes claimed tasks in and sees each one to its report.

    Args:
        clock: monotonic time.
        held: the leases to keep alive.
        room: what to free when a handler has returned.
        reporter: where outcomes go.
        lane_of: the lane for a kind.
        news: called when a handler has told something that the node should hear of.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        held: Held,
        room: Room,
        reporter: Reporter,
        lane_of: Callable[[str], Lane],
        news: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._held = held
        self._room = room
        self._reporter = reporter
        self._lane_of = lane_of
        self._news = news

    def take(self, tasks: Sequence[ClaimedTask], *, received_at: float) -> list[Attempt]:
        """Takes claimed tasks into the worker's hands; they are not started yet."""
        attempts = [Attempt(task, received_at=received_at, news=self._news) for task in tasks]
        self._room.take(len(attempts))
        for older in self._held.add(attempts):
            self.lost(older)
        return attempts

    def start(self, attempts: Sequence[Attempt]) -> None:
        """Hands attempts to their lanes."""
        lanes: dict[int, tuple[Lane, list[Attempt]]] = {}
        for attempt in attempts:
            lane = self._lane_of(attempt.task.kind)
            lanes.setdefault(id(lane), (lane, []))[1].append(attempt)
        for lane, of_lane in lanes.values():
            lane.start(of_lane)

    def ended(self, attempt: Attempt, outcome: Outcome | None) -> None:
        """A handler has returned with ``outcome``, or never began (None): its slot is free."""
        self._room.leave()
        if not attempt.settle():
            if outcome is not None:
                _log.info(
                    "handler ended after it was given up",
                    extra=facts(task=attempt.task.id, kind=attempt.task.kind, attempt=attempt.task.attempt),
                )
            return
        if outcome is None:
            outcome = given_back(attempt) if attempt.stop is None else stopped(attempt)
        report = verdict(attempt, outcome)
        if report is None:
            self._drop(attempt)
        else:
            self._reporter.put(attempt, report)

    def stop(self, attempt: Attempt, why: Stop) -> None:
        """Tells a handler to stop; how it then ends is reported accordingly."""
        if attempt.settled or not attempt.ask_to_stop(why):
            return
        _log.info(
            "stopping a task",
            extra=facts(
                task=attempt.task.id, kind=attempt.task.kind, attempt=attempt.task.attempt, why=why.value
            ),
        )
        if not attempt.settle_unstarted():
            self._lane_of(attempt.task.kind).stop(attempt)
        elif why is Stop.LOST:
            self._drop(attempt)
        else:
            self._reporter.put(attempt, stopped(attempt))

    def lost(self, attempt: Attempt) -> None:
        """The node says the lease is over: the handler is told, its outcome will be dropped."""
        if attempt.settled:
            # Its report is on the way or with the node, which may well be why the lease is over.
            return
        self._held.remove((attempt,))
        self.stop(attempt, Stop.LOST)

    def give_up(self, attempt: Attempt) -> None:
        """Reports a stopped attempt now, without waiting for a handler that goes on."""
        if not attempt.settle():
            return
        if attempt.stop is Stop.LOST:
            self._drop(attempt)
            return
        _log.warning(
            "handler goes on and keeps its slot; its task is reported without it",
            extra=facts(task=attempt.task.id, kind=attempt.task.kind, attempt=attempt.task.attempt),
        )
        self._reporter.put(attempt, stopped(attempt))

    def ends_for_certain(self, attempt: Attempt) -> bool:
        """Whether the attempt's lane can end any handler."""
        return self._lane_of(attempt.task.kind).patience_s is None

    def give_back_unstarted(self) -> int:
        """Gives back every task whose handler has not begun; says how many."""
        count = 0
        for attempt in self._held.all():
            if attempt.settle_unstarted():
                self._reporter.put(attempt, given_back(attempt))
                count += 1
        return count

    def _drop(self, attempt: Attempt) -> None:
        self._held.remove((attempt,))
        _log.warning(
            "lease lost: the outcome is dropped",
            extra=facts(task=attempt.task.id, kind=attempt.task.kind, attempt=attempt.task.attempt),
        )
