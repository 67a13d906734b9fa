"""The leases this worker holds: what the heart keeps alive."""

import threading
from collections.abc import Iterable

from tq.worker.attempt import Attempt


class Held:
    """Attempts by task id, from their claim until the node has answered how they ended."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._attempts: dict[str, Attempt] = {}

    def __len__(self) -> int:
        return len(self._attempts)

    def add(self, attempts: Iterable[Attempt]) -> list[Attempt]:
        """Takes new attempts in, and returns older ones of the same tasks: their leases are lost.

        A node hands a task out again only when the lease before is over, so a worker that was
        slow to hear of it learns it from the new claim.
        """
        replaced = []
        with self._mutex:
            for attempt in attempts:
                older = self._attempts.get(attempt.task.id)
                if older is not None:
                    replaced.append(older)
                self._attempts[attempt.task.id] = attempt
        return replaced

    def remove(self, attempts: Iterable[Attempt]) -> None:
        """Lets go of attempts that are over; one that was replaced meanwhile leaves its successor in."""
        with self._mutex:
            for attempt in attempts:
                if self._attempts.get(attempt.task.id) is attempt:
                    del self._attempts[attempt.task.id]

    def all(self) -> list[Attempt]:
        """The attempts held at this moment."""
        with self._mutex:
            return list(self._attempts.values())

    def get(self, task_id: str) -> Attempt | None:
        """The attempt held on a task, if any."""
        return self._attempts.get(task_id)
