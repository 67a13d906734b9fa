"""What a caller waits at until another one opens it: for threads, and for the tasks of an event loop."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio


class Gate(Protocol):
    """Shut at first and after each wait; to open one that is open changes nothing."""

    @staticmethod
    def owner() -> int | None:
        """Whoever can wait at one gate at a time only; ``None`` where waiting keeps nobody from anything."""

    def open(self) -> None:
        """Lets through whoever waits, or is the next to wait."""


class ThreadGate:
    """Blocks its thread."""

    def __init__(self) -> None:
        self._shut = threading.Lock()
        self._shut.acquire()

    @staticmethod
    def owner() -> int | None:
        return threading.get_ident()

    def open(self) -> None:
        with contextlib.suppress(RuntimeError):  # it is open
            self._shut.release()

    def wait(self, seconds: float) -> None:
        """Returns when it was opened, or ``seconds`` are over."""
        self._shut.acquire(timeout=seconds)


class LoopGate:
    """Awaited; opened from the same event loop."""

    def __init__(self) -> None:
        self._opened = False
        self._waiting: asyncio.Future[None] | None = None

    @staticmethod
    def owner() -> int | None:
        return None

    def open(self) -> None:
        self._opened = True
        waiting = self._waiting
        # A loop that was closed over its callers has nobody left to tell.
        if waiting is not None and not waiting.done() and not waiting.get_loop().is_closed():
            waiting.set_result(None)

    async def wait(self, seconds: float) -> None:
        """As of :class:`ThreadGate`."""
        import asyncio  # who awaits has it already; the blocking client need not load it

        if not self._opened:
            loop = asyncio.get_running_loop()
            self._waiting = loop.create_future()
            timer = loop.call_later(seconds, self.open)
            try:
                await self._waiting
            finally:
                timer.cancel()
                self._waiting = None
        self._opened = False
