"""Ends attempts that take longer than their ``timeout_s``."""

import threading

from tq.clock import Clock
from tq.worker.attempt import Attempt, Stop
from tq.worker.desk import Desk, Lane


class Watch:
    """Looks after running attempts that have a time limit, from a thread of its own.

    Args:
        clock: monotonic time.
        desk: told which attempts to stop.
    """

    def __init__(self, clock: Clock, desk: Desk) -> None:
        self._clock = clock
        self._desk = desk
        self._changed = threading.Condition()
        self._due: dict[Attempt, tuple[float, Lane]] = {}
        self._closed = False

    def begin(self, attempt: Attempt, lane: Lane) -> None:
        """An attempt begins in ``lane``."""
        if attempt.task.timeout_s is None:
            return
        with self._changed:
            self._due[attempt] = (self._clock.monotonic() + attempt.task.timeout_s, lane)
            self._changed.notify()

    def end(self, attempt: Attempt) -> None:
        """Its handler has returned."""
        if attempt.task.timeout_s is not None:
            with self._changed:
                self._due.pop(attempt, None)

    def close(self) -> None:
        """Lets the thread end."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def run(self) -> None:
        """The thread's work, until :meth:`close`."""
        while True:
            with self._changed:
                if self._closed:
                    return
                now = self._clock.monotonic()
                late = [(attempt, lane) for attempt, (at, lane) in self._due.items() if at <= now]
                if not late:
                    next_at = min((at for at, _ in self._due.values()), default=None)
                    self._changed.wait(None if next_at is None else next_at - now)
                    continue
                for attempt, lane in late:
                    self._plan_what_follows(attempt, lane, now)
            for attempt, lane in late:
                self._act(attempt, lane)

    def _plan_what_follows(self, attempt: Attempt, lane: Lane, now: float) -> None:
        if attempt.stop is None and lane.patience_s is not None:
            self._due[attempt] = (now + lane.patience_s, lane)
        else:
            del self._due[attempt]

    def _act(self, attempt: Attempt, lane: Lane) -> None:
        if attempt.stop is None:
            self._desk.stop(attempt, Stop.TIMEOUT)
        elif lane.patience_s is not None:
            # It was told to stop, now or long ago, and goes on.
            self._desk.give_up(attempt)
