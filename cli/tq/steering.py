"""The calls by which people look at and steer workers, queues and nodes; the blocking client has them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar

from tq import calls, wire

T = TypeVar("T")


class Steering(ABC):
    """The part of :class:`tq.Client` that is about everything but tasks."""

    @abstractmethod
    def _call(self, call: calls.Call[T]) -> T:
        """Makes a call."""

    def workers(self) -> list[wire.Worker]:
        """The registered workers."""
        return self._call(calls.workers())

    def steer_worker(self, worker_id: str, state: wire.WorkerState) -> wire.Worker:
        """Tells a worker, at its next heartbeat, to ``run``, to claim nothing more, or to stop."""
        return self._call(calls.steer_worker(worker_id, state))

    def remove_worker(self, worker_id: str) -> None:
        """Takes a worker off the registry: its clean good-bye."""
        self._call(calls.remove_worker(worker_id))

    def queues(self) -> list[wire.QueueInfo]:
        """All queues with their counts by state."""
        return self._call(calls.queues())

    def queue(self, name: str) -> wire.QueueInfo:
        """One queue with its counts by state."""
        return self._call(calls.queue(name))

    def pause(self, name: str) -> wire.QueueInfo:
        """Stops claims from a queue; running tasks go on."""
        return self._call(calls.pause(name))

    def resume(self, name: str) -> wire.QueueInfo:
        """Allows claims from a queue again."""
        return self._call(calls.resume(name))

    def purge(self, name: str, states: Sequence[str] | None = None) -> int:
        """Deletes a queue's tasks in ``states`` (default: the waiting ones); answers how many."""
        return self._call(calls.purge(name, states))

    def stats(self, *, at: calls.Moment | None = None) -> wire.Stats:
        """Counts of the whole node.

        Args:
            at: a moment: the counts of then, from the node's archive.
        """
        return self._call(calls.stats(at=at))

    def cluster(self) -> wire.Cluster:
        """Every configured node, as the one that is asked sees it, and who leads."""
        return self._call(calls.cluster())

    def handover(self, to: str | None = None) -> wire.HandedOver:
        """Has another node lead; returns once it serves.

        Args:
            to: its name; ``None`` leaves the choice to the leader.

        Raises:
            NodeNotFound: the cluster has no such node, or no other at all.
            HandoverFailed: that node could not take over; the leader goes on.
            OutcomeUnknown: no answer came; :meth:`cluster` says who leads.
        """
        return self._call(calls.handover(to))
