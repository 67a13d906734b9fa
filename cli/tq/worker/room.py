"""How many more tasks the worker may take: the brake between claiming and running."""

import threading


class Room:
    """Counts the tasks in the worker's hands against its slots and prefetch.

    Args:
        slots: tasks run at once.
        prefetch: tasks that may wait in the worker beside them.
    """

    def __init__(self, *, slots: int, prefetch: int) -> None:
        self._most = slots + prefetch
        self._busy = 0
        self._held_up: set[str] = set()
        self._closed = False
        self._changed = threading.Condition()

    @property
    def busy(self) -> int:
        """Tasks in hand: their handlers have not returned."""
        return self._busy

    def take(self, count: int) -> None:
        """``count`` tasks came in."""
        with self._changed:
            self._busy += count

    def leave(self, count: int = 1) -> None:
        """``count`` tasks are out of hand."""
        with self._changed:
            self._busy -= count
            self._changed.notify_all()

    def hold_up(self, reason: str) -> None:
        """No room until every reason given is withdrawn: what is running goes on."""
        with self._changed:
            self._held_up.add(reason)
            self._changed.notify_all()

    def go_on(self, reason: str) -> None:
        """Withdraws a reason."""
        with self._changed:
            self._held_up.discard(reason)
            self._changed.notify_all()

    def close(self) -> None:
        """No more room, ever."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait_for_some(self) -> int:
        """Blocks until there is room, and says how much; 0 once closed."""
        with self._changed:
            while not self._closed:
                free = self._most - self._busy
                if free > 0 and not self._held_up:
                    return free
                self._changed.wait()
            return 0

    def wait_until_empty(self, timeout_s: float) -> bool:
        """Waits up to ``timeout_s`` seconds for all tasks to be out of hand; says whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: self._busy == 0, timeout_s)
