"""What the API serves at this moment: the queue, or why this node has none to serve."""

from collections.abc import Callable

from tqnode.errors import Draining, TqnodeError
from tqnode.queue import Queue


def _starting() -> TqnodeError:
    return Draining("the node is starting")


class Service:
    """The queue of a node that serves it; the one place where it is given and taken away."""

    def __init__(self) -> None:
        self._queue: Queue | None = None
        self._refusal: Callable[[], TqnodeError] = _starting

    @classmethod
    def of(cls, queue: Queue) -> "Service":
        """Serves ``queue`` for good."""
        service = cls()
        service.open(queue)
        return service

    @property
    def queue(self) -> Queue:
        """The queue.

        Raises:
            TqnodeError: this node serves none, and what to tell who asks for it.
        """
        if self._queue is None:
            raise self._refusal()
        return self._queue

    @property
    def here(self) -> Queue | None:
        """The queue; None if this node serves none."""
        return self._queue

    def open(self, queue: Queue) -> None:
        """Serves ``queue`` from now on."""
        self._queue = queue

    def close(self, refusal: Callable[[], TqnodeError]) -> None:
        """Serves none from now on; ``refusal`` makes what each request is told instead."""
        self._queue = None
        self._refusal = refusal
