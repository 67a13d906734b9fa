"""Reads a queue as it was: from a database that was restored, at the moment it was restored to."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from tqnode.queue import listing
from tqnode.queue.dependencies.graph import Graph, graph_of
from tqnode.queue.listing import Page
from tqnode.queue.rows import read_task
from tqnode.queue.search import Filters
from tqnode.queue.stats import Stats, stats
from tqnode.store import Reader
from tqnode.task import Task

T = TypeVar("T")


class Readable(Protocol):
    """What can be asked of a queue, whether it is the present one or a past one."""

    async def get(self, task_id: str) -> Task:
        """The whole task."""
        ...

    async def graph(self, task_id: str, *, nodes_max: int) -> Graph:
        """The task with those it waits for and those that wait for it."""
        ...

    async def page(self, filters: Filters, *, limit: int, cursor: str | None, bodies: bool) -> Page:
        """The newest matching tasks below the cursor."""
        ...

    async def stats(self) -> Stats:
        """The figures, all of one moment."""
        ...


class _Standing:
    """A clock that stands at one moment: ages are those of then.

    Args:
        at_ms: the moment.
    """

    def __init__(self, at_ms: int) -> None:
        self._at_ms = at_ms

    def now_ms(self) -> int:
        return self._at_ms

    def monotonic(self) -> float:
        return self._at_ms / 1000

    async def sleep(self, seconds: float) -> None:
        raise RuntimeError(f"time stands still: {seconds} s would never pass")


class PastQueue:
    """The reading half of a queue.

    Args:
        read: runs an operation on a snapshot of the restored database.
        at_ms: the moment, wall time.
    """

    def __init__(self, read: Callable[[Callable[[Reader], Any]], Awaitable[Any]], *, at_ms: int) -> None:
        self._read = read
        self._clock = _Standing(at_ms)

    async def get(self, task_id: str) -> Task:
        """The whole task.

        Raises:
            NotFound: there was none.
        """
        task: Task = await self._read(lambda reader: read_task(reader, task_id))
        return task

    async def graph(self, task_id: str, *, nodes_max: int) -> Graph:
        """The task with those it waited for and those that waited for it, ``nodes_max`` at most.

        Raises:
            NotFound: there was none.
        """
        graph: Graph = await self._read(lambda reader: graph_of(reader, task_id, nodes_max=nodes_max))
        return graph

    async def page(self, filters: Filters, *, limit: int, cursor: str | None, bodies: bool) -> Page:
        """The newest matching tasks below the cursor.

        Raises:
            InvalidCursor: no page ended with this cursor.
        """
        page: Page = await self._read(
            lambda reader: listing.page(reader, filters, limit=limit, cursor=cursor, bodies=bodies)
        )
        return page

    async def stats(self) -> Stats:
        """The figures, without what was done since the node's start: that is kept nowhere."""
        figures: Stats = await self._read(lambda reader: stats(reader, self._clock, {}))
        return figures
