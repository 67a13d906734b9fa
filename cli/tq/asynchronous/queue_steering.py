"""The calls by which people steer queues, and the node as a whole; the async client has them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime
from typing import TypeVar, Unpack

from tq import calls, wire
from tq.calls import queue_calls

T = TypeVar("T")


class AsyncQueueSteering(ABC):
    """The part of :class:`tq.AsyncClient` that is about pauses, drains and settings."""

    @abstractmethod
    async def _call(self, call: calls.Call[T]) -> T:
        """Makes a call."""

    async def pause(
        self,
        name: str,
        *,
        for_s: float | None = None,
        until: datetime | None = None,
        reason: str | None = None,
    ) -> wire.QueueInfo:
        """Stops claims from a queue; running tasks go on, and new ones may be enqueued.

        Args:
            name: the queue's.
            for_s: seconds after which it ends by itself; without it and ``until``: :meth:`resume` ends it.
            until: when it ends by itself.
            reason: told to whoever looks at the queue.

        Raises:
            QueueNotFound: there is none of that name.
        """
        return await self._call(queue_calls.pause(name, for_s=for_s, until=until, reason=reason))

    async def resume(self, name: str) -> wire.QueueInfo:
        """Ends a queue's pause, and its drain.

        Raises:
            QueueNotFound: there is none of that name.
        """
        return await self._call(queue_calls.resume(name))

    async def drain(self, name: str) -> wire.QueueInfo:
        """Has a queue take no new tasks until it is resumed; it hands out those that it has.

        Raises:
            QueueNotFound: there is none of that name.
        """
        return await self._call(queue_calls.drain(name))

    async def settings(self, name: str) -> wire.QueueSettings:
        """What a queue has of its own; what is ``None`` is the node's.

        Raises:
            QueueNotFound: there is none of that name.
        """
        return await self._call(queue_calls.settings(name))

    async def set_queue(self, name: str, **options: Unpack[queue_calls.QueueOptions]) -> wire.QueueInfo:
        """Changes some of a queue's own settings; a queue that is not there is made.

        Args:
            name: the queue's.
            options: see :class:`tq.calls.queue_calls.QueueOptions`; ``None`` gives back to the node's.

        Raises:
            QueueFull: there are too many queues already.
        """
        return await self._call(queue_calls.set_queue(name, options))

    async def node_pause(self) -> wire.NodePause:
        """Whether the whole node is paused."""
        return await self._call(queue_calls.node_pause())

    async def pause_all(
        self, *, for_s: float | None = None, until: datetime | None = None, reason: str | None = None
    ) -> wire.NodePause:
        """Stops claims from all queues; all else goes on.

        Args:
            for_s: seconds after which it ends by itself; else ``until``, or :meth:`resume_all`.
            until: when it ends by itself.
            reason: told to whoever looks.
        """
        return await self._call(queue_calls.pause_all(for_s=for_s, until=until, reason=reason))

    async def resume_all(self) -> wire.NodePause:
        """Ends the pause of the whole node; queues that are paused themselves stay so."""
        return await self._call(queue_calls.resume_all())
