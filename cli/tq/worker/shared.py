"""Slots that two lanes share: an app with both kinds of handlers still runs no more than asked."""

import threading
from collections.abc import Callable


class SharedSlots:
    """Counts handlers that run, across lanes.

    Args:
        slots: how many may run at once.
    """

    def __init__(self, slots: int) -> None:
        self._free = threading.Semaphore(slots)
        self._waiters: list[Callable[[], None]] = []

    def call_when_freed(self, waiter: Callable[[], None]) -> None:
        """Calls ``waiter`` after each release, for a lane that cannot block in :meth:`acquire`."""
        self._waiters.append(waiter)

    def acquire(self) -> None:
        """Blocks until a slot is free, and takes it."""
        self._free.acquire()

    def try_acquire(self) -> bool:
        """Takes a slot if one is free."""
        return self._free.acquire(blocking=False)

    def release(self) -> None:
        """Frees a slot."""
        self._free.release()
        for waiter in self._waiters:
            waiter()
