"""How a worker goes: softly first, then hard, and in any case without losing a result."""

import queue
import threading
from collections.abc import Mapping

from tq.clock import Clock
from tq.worker.attempt import Stop
from tq.worker.claimer import Claimer
from tq.worker.desk import Desk
from tq.worker.held import Held
from tq.worker.log import facts, logger
from tq.worker.options import Options
from tq.worker.orders import Broken, Order, Signalled
from tq.worker.reporter import Reporter
from tq.worker.room import Room

_log = logger()

_LOOK_EVERY_S = 0.05
_CLAIMER_S = 2.0
_COOPERATE_S = 1.0
_REPORT_S = 5.0
_LAST_TRY_S = 15.0


class Departure:
    """Stops claiming, gives back what has not begun, waits for what has, and sees all of it reported.

    Args:
        options: grace and such.
        clock: monotonic time.
        claimer: stopped first.
        desk: where handlers are told to stop.
        held: what is still in the worker's hands.
        room: says when no handler runs any more.
        reporter: ended last.
        orders: a further signal means at once.
        threads: the worker's threads by name.
    """

    def __init__(
        self,
        options: Options,
        clock: Clock,
        *,
        claimer: Claimer,
        desk: Desk,
        held: Held,
        room: Room,
        reporter: Reporter,
        orders: "queue.SimpleQueue[Order]",
        threads: Mapping[str, threading.Thread],
    ) -> None:
        self._options = options
        self._clock = clock
        self._claimer = claimer
        self._desk = desk
        self._held = held
        self._room = room
        self._reporter = reporter
        self._orders = orders
        self._threads = threads
        self._at_once = False

    def leave(self, reason: Order) -> None:
        """Returns when all is reported that can be, and handlers have ended or are abandoned."""
        grace_until = self._clock.monotonic() + self._options.grace_s
        _log.info(
            "stopping: no more claims, running tasks go on",
            extra=facts(why=_why(reason), running=self._room.busy, grace_s=self._options.grace_s),
        )
        self._claimer.close()
        self._threads["claimer"].join(_CLAIMER_S)
        if self._threads["claimer"].is_alive():
            self._claimer.cut_off()
            self._threads["claimer"].join(_CLAIMER_S)
        given_back = self._desk.give_back_unstarted()
        if given_back:
            _log.info("gave back tasks that had not begun", extra=facts(count=given_back))
        if not self._wait_for_handlers(grace_until):
            self._stop_handlers()
        self._finish_reports(grace_until)

    def _wait_for_handlers(self, until: float) -> bool:
        while not self._hurried() and self._clock.monotonic() < until:
            if self._room.wait_until_empty(_LOOK_EVERY_S):
                return True
        return self._room.busy == 0

    def _stop_handlers(self) -> None:
        running = [attempt for attempt in self._held.all() if not attempt.settled]
        _log.warning("stopping running tasks and giving them back", extra=facts(count=len(running)))
        for attempt in running:
            self._desk.stop(attempt, Stop.SHUTDOWN)
        # Those that can end soon get to: what they still finish counts, and what they hold is let go.
        if self._room.wait_until_empty(_COOPERATE_S):
            return
        certain = [attempt for attempt in running if self._desk.ends_for_certain(attempt)]
        for attempt in running:
            if attempt not in certain:
                self._desk.give_up(attempt)
        # No other worker is given the task while its process lives.
        until = self._clock.monotonic() + self._options.kill_after_s + _COOPERATE_S
        while self._clock.monotonic() < until and not all(attempt.settled for attempt in certain):
            self._room.wait_until_empty(_LOOK_EVERY_S)
        for attempt in certain:
            self._desk.give_up(attempt)

    def _finish_reports(self, grace_until: float) -> None:
        now = self._clock.monotonic()
        # A node that is away may come back while the leases stand, and so does the rest of the grace.
        leases_until = max((attempt.gone_at for attempt in self._held.all()), default=now)
        until = max(now + _REPORT_S, min(grace_until, leases_until))
        self._reporter.close(until=until)
        hurried = False
        while self._threads["reporter"].is_alive() and self._clock.monotonic() < until + _LAST_TRY_S:
            if self._hurried() and not hurried:
                hurried = True
                until = min(until, self._clock.monotonic() + _COOPERATE_S)
                self._reporter.close(until=until)
            self._threads["reporter"].join(_LOOK_EVERY_S)

    def _hurried(self) -> bool:
        """Whether a signal has come since the one that began it, or a thread is gone."""
        while True:
            try:
                order = self._orders.get_nowait()
            except queue.Empty:
                return self._at_once
            if isinstance(order, Signalled):
                _log.warning("asked again: stopping at once", extra=facts(signal=order.name))
                self._at_once = True
            elif isinstance(order, Broken):
                self._at_once = True


def _why(reason: Order) -> str:
    return reason.name if isinstance(reason, Signalled) else type(reason).__name__.lower()
