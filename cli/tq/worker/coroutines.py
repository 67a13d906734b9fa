"""Runs async handlers on one event loop, in a thread of its own."""

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from tq.context import TaskContext, enter
from tq.wire import Outcome
from tq.worker.attempt import Attempt
from tq.worker.handlers import Handlers, context_of
from tq.worker.outcome import raised, returned
from tq.worker.shared import SharedSlots
from tq.worker.threads import Supervised

_PATIENCE_S = 5.0


class CoroutineLane:
    """Up to ``slots`` coroutines at a time.

    A handler told to stop is cancelled as asyncio tasks are: ``CancelledError`` at its next await. One
    that blocks the loop holds up the others of this lane, though not the leases.

    Args:
        handlers: what runs each kind.
        slots: coroutines at a time.
        spawn: starts the loop's thread.
        begin: called before a handler runs; it does not when this says False.
        ended: called when it has, with None for one that was not begun.
        shared: slots shared with another lane, or None when this lane has all of them.
    """

    patience_s = _PATIENCE_S

    def __init__(
        self,
        handlers: Handlers,
        *,
        slots: int,
        spawn: Supervised,
        begin: "Callable[[Attempt, CoroutineLane], bool]",
        ended: Callable[[Attempt, Outcome | None], None],
        shared: SharedSlots | None = None,
    ) -> None:
        self._handlers = handlers
        self._begin = begin
        self._ended = ended
        self._slots = shared or SharedSlots(slots)
        self._waiting: deque[Attempt] = deque()
        self._running: dict[Attempt, asyncio.Task[None]] = {}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._slots.call_when_freed(self._pump_soon)
        self._thread = spawn("loop", self._work)
        self._ready.wait()

    def start(self, attempts: Sequence[Attempt]) -> None:
        self._loop.call_soon_threadsafe(self._add, attempts)

    def stop(self, attempt: Attempt) -> None:
        self._loop.call_soon_threadsafe(self._cancel, attempt)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _work(self) -> None:
        self._loop.call_soon(self._ready.set)
        try:
            self._loop.run_forever()
            # What ignored its cancellation until now gets it once more, with the chance to clean up.
            leftover = list(self._running.values())
            for task in leftover:
                task.cancel()
            if leftover:
                self._loop.run_until_complete(asyncio.wait(leftover, timeout=1.0))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    def _pump_soon(self) -> None:
        if self._waiting:
            self._loop.call_soon_threadsafe(self._pump)

    def _add(self, attempts: Sequence[Attempt]) -> None:
        self._waiting.extend(attempts)
        self._pump()

    def _pump(self) -> None:
        while self._waiting and self._slots.try_acquire():
            attempt = self._waiting.popleft()
            if not self._begin(attempt, self):
                self._ended(attempt, None)
                self._slots.release()
                continue
            variables = contextvars.Context()
            context = context_of(attempt)
            variables.run(enter, context)
            self._running[attempt] = self._loop.create_task(self._run(attempt, context), context=variables)

    async def _run(self, attempt: Attempt, context: TaskContext) -> None:
        try:
            outcome = await self._outcome(attempt, context)
        finally:
            del self._running[attempt]
        self._ended(attempt, outcome)
        self._slots.release()

    async def _outcome(self, attempt: Attempt, context: TaskContext) -> Outcome:
        try:
            call: Coroutine[Any, Any, Any] = self._handlers.call(attempt.task)
            return returned(attempt, await call, context)
        except BaseException as error:  # whatever a handler raises ends its task, not the worker
            return raised(attempt, error)

    def _cancel(self, attempt: Attempt) -> None:
        task = self._running.get(attempt)
        if task is not None:
            task.cancel()
