"""How long a body may take to arrive: one timer for all requests, for most bodies are there at once."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from tqnode.clock import Clock

T = TypeVar("T")

TICKS = 4
"""The timer looks this often within the time allowed; a late body is noticed at most one tick late."""


class Patience:
    """The tasks that wait for a body.

    Args:
        clock: monotonic time.
        within_s: how long each may wait.
    """

    def __init__(self, clock: Clock, *, within_s: float) -> None:
        self._monotonic = clock.monotonic
        self._within_s = within_s
        self._since_s: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._ticking = False

    async def wait(self, arrival: Awaitable[T]) -> T:
        """Waits for ``arrival``.

        Raises:
            TimeoutError: it took too long.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can be given up")
        self._since_s[task] = self._monotonic()
        if not self._ticking:
            self._tick_later()
        try:
            return await arrival
        except asyncio.CancelledError:
            if task in self._late and task.uncancel() == 0:
                raise TimeoutError from None
            raise
        finally:
            self._late.discard(task)
            self._since_s.pop(task, None)

    def _tick_later(self) -> None:
        self._ticking = True
        asyncio.get_running_loop().call_later(self._within_s / TICKS, self._tick)

    def _tick(self) -> None:
        before_s = self._monotonic() - self._within_s
        for task in [task for task, since_s in self._since_s.items() if since_s <= before_s]:
            del self._since_s[task]
            self._late.add(task)
            task.cancel()
        self._ticking = False
        if self._since_s:
            self._tick_later()
