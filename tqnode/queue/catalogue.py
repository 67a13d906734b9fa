"""The operations on queues as a whole, each one transaction or one snapshot; the API calls them."""

from collections.abc import Mapping, Sequence
from typing import Any

from tqnode.clock import Clock
from tqnode.errors import NotFound
from tqnode.queue import pauses, queues
from tqnode.queue.configuring import configure
from tqnode.queue.controls import node_pause
from tqnode.queue.pauses import NewPause
from tqnode.queue.queues import QueueInfo
from tqnode.queue.sliced import Sliced
from tqnode.settings import Pause
from tqnode.store import Store, Tx
from tqnode.task import TaskState

PAUSE = NewPause()
"""Until it is ended."""


class Catalogue:
    """The queues of a node. Every write may also raise Overloaded, Draining, DiskFull or OutcomeUnknown.

    Args:
        store: where they are.
        clock: the node's clock.
        queues_max: how many there may be.
    """

    def __init__(self, store: Store, clock: Clock, *, queues_max: int) -> None:
        self._store = store
        self._clock = clock
        self._queues_max = queues_max

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

    async def pause(self, name: str, new: NewPause = PAUSE) -> QueueInfo:
        """Has a queue give out no more tasks, for as long as ``new`` says; it still takes them in.

        Raises:
            InvalidField: the pause's end is over already.
            NotFound: there is none of that name.
        """
        await self._store.write(lambda tx: pauses.pause(tx, name, new))
        return await self.one(name)

    async def resume(self, name: str) -> QueueInfo:
        """Has a queue give out tasks and take them in again: ends its pause and its drain.

        Raises:
            NotFound: there is none of that name.
        """
        await self._store.write(lambda tx: pauses.resume(tx, name))
        return await self.one(name)

    async def drain(self, name: str) -> QueueInfo:
        """Has a queue take in no new tasks; it gives out those that it has.

        Raises:
            NotFound: there is none of that name.
        """
        await self._store.write(lambda tx: pauses.drain(tx, name))
        return await self.one(name)

    async def configure(self, name: str, changes: Mapping[str, Any]) -> QueueInfo:
        """Changes some of a queue's own settings; a queue that is not there is made.

        Args:
            name: the queue's.
            changes: new values by the names of :class:`~tqnode.settings.QueueSettings`; None gives back
                to the node's.

        Raises:
            QueueFull: there are too many queues already.
        """
        await self._store.write(lambda tx: configure(tx, name, changes, queues_max=self._queues_max))
        return await self.one(name)

    async def node_pause(self) -> Pause | None:
        """The whole node's pause, if there is one now."""
        pause = await self._store.read(node_pause)
        return None if pause is None or pause.over(self._clock.now_ms()) else pause

    async def pause_node(self, new: NewPause = PAUSE) -> Pause | None:
        """Has no queue give out tasks, for as long as ``new`` says.

        Raises:
            InvalidField: the pause's end is over already.
        """
        await self._store.write(lambda tx: pauses.pause_node(tx, new))
        return await self.node_pause()

    async def resume_node(self) -> Pause | None:
        """Ends the whole node's pause; queues that are paused themselves stay so."""
        await self._store.write(pauses.resume_node)
        return await self.node_pause()

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
