"""The calls by which people look at and steer all but tasks; the async client has them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar, Unpack

from tq import calls, wire
from tq.asynchronous.queue_steering import AsyncQueueSteering
from tq.calls import schedule_calls

T = TypeVar("T")


class AsyncSteering(AsyncQueueSteering, ABC):
    """The part of :class:`tq.AsyncClient` that is about everything but tasks."""

    @abstractmethod
    async def _call(self, call: calls.Call[T]) -> T:
        """Makes a call."""

    async def workers(self) -> list[wire.Worker]:
        """The registered workers."""
        return await self._call(calls.workers())

    async def steer_worker(self, worker_id: str, state: wire.WorkerState) -> wire.Worker:
        """Tells a worker, at its next heartbeat, to ``run``, to claim nothing more, or to stop."""
        return await self._call(calls.steer_worker(worker_id, state))

    async def remove_worker(self, worker_id: str) -> None:
        """Takes a worker off the registry: its clean good-bye."""
        await self._call(calls.remove_worker(worker_id))

    async def queues(self) -> list[wire.QueueInfo]:
        """All queues with their counts by state."""
        return await self._call(calls.queues())

    async def queue(self, name: str) -> wire.QueueInfo:
        """One queue with its counts by state."""
        return await self._call(calls.queue(name))

    async def purge(self, name: str, states: Sequence[str] | None = None) -> int:
        """Deletes a queue's tasks in ``states`` (default: the waiting ones); answers how many."""
        return await self._call(calls.purge(name, states))

    async def put_schedule(
        self, name: str, task: wire.NewTask, **options: Unpack[schedule_calls.ScheduleOptions]
    ) -> wire.Schedule:
        """Makes a schedule, or changes the one of that name; said again as it is, it stays as it is.

        Args:
            name: its name, in letters, digits and ``_ . : @ + -``.
            task: what each tick enqueues, from :func:`tq.new_task` or a task function's ``new_task``;
                without ``delay_s``, ``run_at`` and ``expires_at``.
            options: see :class:`tq.calls.schedule_calls.ScheduleOptions`; ``cron`` or ``every_s`` is needed.

        Raises:
            InvalidCron, UnknownTimeZone, TooManySchedules: what they say.
            InvalidField: something else is wrong with a field.
        """
        return await self._call(schedule_calls.put_schedule(name, task, options))

    async def schedule(self, name: str, *, next_runs: int | None = None) -> wire.Schedule:
        """A schedule with its task and the times at which it is due next.

        Args:
            name: its name.
            next_runs: how many of these, up to 100; default: 5.

        Raises:
            ScheduleNotFound: there is none of that name.
        """
        return await self._call(schedule_calls.schedule(name, next_runs=next_runs))

    async def schedules(self) -> list[wire.Schedule]:
        """All schedules in the order of their names, without the payloads; each with its next time."""
        found: list[wire.Schedule] = []
        cursor: str | None = None
        while True:
            page = await self._call(schedule_calls.schedule_page(limit=None, cursor=cursor))
            found += page.schedules
            cursor = page.next_cursor
            if cursor is None:
                return found

    async def pause_schedule(self, name: str) -> wire.Schedule:
        """Has a schedule make no tasks until it is resumed.

        Raises:
            ScheduleNotFound: there is none of that name.
        """
        return await self._call(schedule_calls.pause_schedule(name))

    async def resume_schedule(self, name: str) -> wire.Schedule:
        """Has a schedule make tasks again, from its next tick on.

        Raises:
            ScheduleNotFound: there is none of that name.
        """
        return await self._call(schedule_calls.resume_schedule(name))

    async def delete_schedule(self, name: str) -> None:
        """Deletes a schedule; the tasks it has made stay.

        Raises:
            ScheduleNotFound: there is none of that name.
        """
        await self._call(schedule_calls.delete_schedule(name))

    async def stats(self, *, at: calls.Moment | None = None) -> wire.Stats:
        """Counts of the whole node.

        Args:
            at: a moment: the counts of then, from the node's archive.
        """
        return await self._call(calls.stats(at=at))

    async def cluster(self) -> wire.Cluster:
        """Every configured node, as the one that is asked sees it, and who leads."""
        return await self._call(calls.cluster())

    async def handover(self, to: str | None = None) -> wire.HandedOver:
        """Has another node lead; returns once it serves.

        Args:
            to: its name; ``None`` leaves the choice to the leader.

        Raises:
            NodeNotFound: the cluster has no such node, or no other at all.
            HandoverFailed: that node could not take over; the leader goes on.
            OutcomeUnknown: no answer came; :meth:`cluster` says who leads.
        """
        return await self._call(calls.handover(to))
