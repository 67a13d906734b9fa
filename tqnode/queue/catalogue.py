"""The operations on queues as a whole, each one transaction or one snapshot; the API calls them."""

from collections.abc import Sequence

from tqnode.clock import Clock
from tqnode.errors import NotFound
from tqnode.queue import queues
from tqnode.queue.queues import QueueInfo
from tqnode.queue.sliced import Sliced
from tqnode.store import Store, Tx
from tqnode.task import TaskState


class Catalogue:
    """The queues of a node. Every write may also raise Overloaded, Draining, DiskFull or OutcomeUnknown.

    Args:
        store: where they are.
        clock: the node's clock.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def all(self) -> list[QueueInfo]:
        """All queues."""
        return await self._store.read(lambda reader: queues.infos(reader, self._clock))

    async def one(self, name: str) -> QueueInfo:
        """One queue.

        Raises:
            NotFound: there is none of that name.
        """
        found = await self._store.read(lambda reader: queues.infos(reader, self._clock, name))
        if not found:
            raise NotFound("queue", name)
        return found[0]

    async def pause(self, name: str) -> QueueInfo:
        """Has a queue give out no more tasks; it still takes them in.

        Raises:
            NotFound: there is none of that name.
        """
        await self._store.write(lambda tx: queues.set_paused(tx, name, paused=True))
        return await self.one(name)

    async def resume(self, name: str) -> QueueInfo:
        """Has a queue give out tasks again.

        Raises:
            NotFound: there is none of that name.
        """
        await self._store.write(lambda tx: queues.set_paused(tx, name, paused=False))
        return await self.one(name)

    async def purge(self, name: str, states: Sequence[TaskState]) -> int:
        """Deletes a queue's tasks in ``states`` that are there now, slice by slice; how many.

        Raises:
            NotFound: there is none of that name.
        """
        last = await self._store.write(lambda tx: queues.last_seq(tx, name))
        deleted = after = reached = 0

        def work(tx: Tx, limit: int) -> int:
            nonlocal reached
            count, reached = queues.purge_slice(tx, name, states, after=after, last=last, limit=limit)
            return count

        sliced = Sliced(work)
        while after < last:
            deleted += await sliced.run_one(self._store, self._clock)
            after = reached
        return deleted
