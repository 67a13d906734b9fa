"""Slots that are threads: each runs one attempt at a time, to its end."""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from tq.wire import Outcome
from tq.worker.attempt import Attempt
from tq.worker.shared import SharedSlots


class Executor(Protocol):
    """Runs one attempt in the calling thread; several threads call at once."""

    @property
    def patience_s(self) -> float | None:
        """As :attr:`tq.worker.desk.Lane.patience_s`."""
        ...

    def run(self, attempt: Attempt) -> Outcome:
        """Runs the handler and says how it ended. Never raises for what the handler does."""
        ...

    def stop(self, attempt: Attempt) -> None:
        """Makes a running handler end if it can; another thread's :meth:`run` returns then."""
        ...

    def close(self) -> None:
        """Ends what it keeps between runs."""
        ...


class Supervised(Protocol):
    """Starts threads whose unexpected end is noticed."""

    def __call__(self, name: str, work: Callable[[], None]) -> threading.Thread: ...


class ThreadLane:
    """Up to ``slots`` threads that take attempts in order and run them with ``executor``.

    Args:
        executor: what runs them.
        slots: threads at most; they are started as they are needed.
        spawn: starts a thread.
        begin: called before a handler runs; it does not when this says False.
        ended: called when it has, with None for one that was not begun.
        busy: tasks in the worker's hands.
        shared: slots shared with another lane, or None when this lane has all of them.
    """

    def __init__(
        self,
        executor: Executor,
        *,
        slots: int,
        spawn: Supervised,
        begin: "Callable[[Attempt, ThreadLane], bool]",
        ended: Callable[[Attempt, Outcome | None], None],
        busy: Callable[[], int],
        shared: SharedSlots | None = None,
    ) -> None:
        self._executor = executor
        self._slots = slots
        self._spawn = spawn
        self._begin = begin
        self._ended = ended
        self._inbox: queue.SimpleQueue[Attempt | None] = queue.SimpleQueue()
        self._busy = busy
        self._shared = shared
        self._threads: list[threading.Thread] = []

    @property
    def patience_s(self) -> float | None:
        return self._executor.patience_s

    def start(self, attempts: Sequence[Attempt]) -> None:
        """Queues attempts; the claiming thread alone calls this."""
        for attempt in attempts:
            self._inbox.put(attempt)
        while len(self._threads) < min(self._slots, self._busy()):
            self._threads.append(self._spawn(f"slot-{len(self._threads)}", self._work))

    def stop(self, attempt: Attempt) -> None:
        self._executor.stop(attempt)

    def close(self) -> None:
        for _ in self._threads:
            self._inbox.put(None)
        self._executor.close()

    def _work(self) -> None:
        while (attempt := self._inbox.get()) is not None:
            if self._shared is None:
                self._run(attempt)
                continue
            self._shared.acquire()
            try:
                self._run(attempt)
            finally:
                self._shared.release()

    def _run(self, attempt: Attempt) -> None:
        self._ended(attempt, self._executor.run(attempt) if self._begin(attempt, self) else None)
