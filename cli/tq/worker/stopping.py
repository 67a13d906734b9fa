"""Waking a slot that waits for a process, to have it end that process."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tq.worker.attempt import Attempt


class Wakes:
    """A descriptor for each running attempt, readable once it has to stop.

    The slot alone signals its process, so no signal can reach a process that has taken its number.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._open: dict[Attempt, int] = {}

    @contextmanager
    def opened(self, attempt: Attempt) -> Iterator[int]:
        """A descriptor for ``attempt``, readable at once if it already has to stop.

        Raises:
            OSError: there are no more descriptors.
        """
        wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        with self._mutex:
            self._open[attempt] = wake
        try:
            if attempt.stop is not None:
                self.wake(attempt)
            yield wake
        finally:
            with self._mutex:
                os.close(self._open.pop(attempt))

    def wake(self, attempt: Attempt) -> None:
        """Makes the descriptor readable; nothing happens when the attempt has none (any more)."""
        with self._mutex:
            wake = self._open.get(attempt)
            if wake is not None:
                os.eventfd_write(wake, 1)
