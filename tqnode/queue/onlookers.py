"""Clients that wait for news: for the end of a task or a batch, or for the next lines of a task's log.

They join before they read it, and the committed events wake them: what happens between is never missed,
and nobody asks the database again and again.
"""

import asyncio

from tqnode.errors import Overloaded
from tqnode.store.effects import Effects
from tqnode.task import FINAL


class Onlooker:
    """One waiting client.

    Args:
        awaited: the id of its task, or the row number of its batch.
        lines: whether new log lines are news to it, and not the task's end alone.
    """

    __slots__ = ("awaited", "lines", "woken")

    def __init__(self, awaited: bytes | int, *, lines: bool) -> None:
        self.awaited = awaited
        self.lines = lines
        self.woken = asyncio.Event()


class Onlookers:
    """The waiting clients, by what they wait for.

    Args:
        limit: how many may wait.
    """

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._by_awaited: dict[bytes | int, dict[Onlooker, None]] = {}
        self._count = 0
        self.draining = False
        """Whether nobody is to wait any more."""

    def __len__(self) -> int:
        return self._count

    def join(self, awaited: bytes | int, *, lines: bool = False) -> Onlooker:
        """Adds a client that is about to read its task, or its batch.

        Raises:
            Overloaded: too many wait already.
        """
        if self._count >= self._limit:
            raise Overloaded(f"{self._limit} clients wait for tasks or batches already", retry_after_s=5.0)
        onlooker = Onlooker(awaited, lines=lines)
        self._count += 1
        self._by_awaited.setdefault(awaited, {})[onlooker] = None
        return onlooker

    def leave(self, onlooker: Onlooker) -> None:
        """Takes a client out."""
        those = self._by_awaited[onlooker.awaited]
        del those[onlooker]
        if not those:
            del self._by_awaited[onlooker.awaited]
        self._count -= 1

    async def news(self, onlooker: Onlooker, *, within_s: float) -> bool:
        """Waits until there is something to read; False when ``within_s`` seconds have passed without."""
        if self.draining:
            return False
        try:
            # Not wait_for(): Python 3.11's swallows a cancel that comes with the wake.
            async with asyncio.timeout(within_s):
                await onlooker.woken.wait()
        except TimeoutError:
            return False
        onlooker.woken.clear()
        return not self.draining

    def wake(self, effects: Effects) -> None:
        """Wakes those for whom a committed group brought news."""
        if not self._by_awaited:
            return
        for event in effects.events:
            # Deleted is an end as well.
            if event.id in self._by_awaited and (event.state is None or event.state in FINAL):
                self._wake(event.id, lines=False)
        for news in effects.news:
            if news.progress is None and news.id in self._by_awaited:
                self._wake(news.id, lines=True)
        for batch in effects.batches:
            if batch in self._by_awaited:
                self._wake(batch, lines=False)

    def wake_all(self) -> None:
        """Has every client read again: what there is to read was not announced."""
        for those in self._by_awaited.values():
            for onlooker in those:
                onlooker.woken.set()

    def drain(self) -> None:
        """Ends all waits, and those to come: the node is stopping."""
        self.draining = True
        self.wake_all()

    def _wake(self, awaited: bytes | int, *, lines: bool) -> None:
        for onlooker in self._by_awaited[awaited]:
            if onlooker.lines or not lines:
                onlooker.woken.set()
