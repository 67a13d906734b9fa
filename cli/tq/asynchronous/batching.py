"""The calls on batches; the async client has them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar, Unpack

from tq import calls, wire
from tq.calls import batch_calls

if TYPE_CHECKING:
    from tq.effects import Program
    from tq.programs import Session

T = TypeVar("T")


class AsyncBatching(ABC):
    """The part of :class:`tq.AsyncClient` that is about batches."""

    _session: Session

    @abstractmethod
    async def _call(self, call: calls.Call[T]) -> T:
        """Makes a call."""

    @abstractmethod
    async def _run(self, program: Program[T]) -> T:
        """Carries out the effects a program asks for, until it returns."""

    async def enqueue_batch(
        self,
        tasks: Iterable[wire.NewTask] = (),
        *,
        idempotency_key: str | None = None,
        **options: Unpack[batch_calls.BatchOptions],
    ) -> wire.EnqueuedBatch:
        """Makes a batch with its first tasks and its callbacks.

        Up to 10,000 tasks of up to 16 MiB go in one request, all or nothing. More are added in further ones
        before the batch is closed; if one of these fails, what is there of the batch is cancelled.

        Args:
            tasks: from :func:`tq.new_task` or a task function's ``new_task``; those of one request may wait
                for each other.
            idempotency_key: by which the node knows the call again; made up when absent.
            options: see :class:`tq.calls.batch_calls.BatchOptions`.

        Returns:
            The batch's id, and a result for each task in order. A ``duplicate`` is no member.
        """
        return await self._run(self._session.batches.create(tasks, options, key=idempotency_key))

    async def add_to_batch(
        self, batch_id: str, tasks: Iterable[wire.NewTask], *, idempotency_key: str | None = None
    ) -> list[wire.Enqueued]:
        """Adds tasks to a batch that has not finished, in one request: all or none.

        A member may add to its own batch while it runs: the batch can't finish before.

        Args:
            batch_id: its id.
            tasks: as for :meth:`enqueue_batch`.
            idempotency_key: by which the node knows the call again; made up when absent.

        Raises:
            BatchFinished, BatchCancelled: it takes no more.
            BatchNotFound: there is none.
        """
        return await self._run(self._session.batches.add(batch_id, tasks, key=idempotency_key))

    async def batch(self, batch_id: str, *, wait_s: float = 0.0) -> wire.Batch:
        """How a batch stands: its counts, its times, and which callbacks have come.

        Args:
            batch_id: its id.
            wait_s: seconds for which the node is to hold its answer back until the batch has ended, a minute
                at most unless it was told otherwise.

        Raises:
            BatchNotFound: there is none.
        """
        return await self._call(batch_calls.batch(batch_id, wait_s=wait_s))

    async def batches(self, *, limit: int | None = 100) -> list[wire.Batch]:
        """The newest batches.

        Args:
            limit: how many at most; ``None`` for all.
        """
        return await self._run(self._session.batches.latest(limit=limit))

    async def close_batch(self, batch_id: str) -> wire.Batch:
        """Lets an open batch finish once its members have ended; a closed one stays as it is.

        Raises:
            BatchNotFound: there is none.
        """
        return await self._call(batch_calls.close_batch(batch_id))

    async def cancel_batch(self, batch_id: str) -> wire.Batch:
        """Closes a batch, cancels its waiting members and asks the workers of running ones to stop.

        Of a large batch the members are cancelled soon after; a finished one stays as it is.

        Raises:
            BatchNotFound: there is none.
        """
        return await self._call(batch_calls.cancel_batch(batch_id))

    async def wait_batch(self, batch_id: str, *, timeout_s: float | None = None) -> wire.Batch:
        """Waits until a batch has finished and no member is pending.

        The node answers when its last member ends; one that restarts meanwhile, or another one that takes
        over, is waited for (without a timeout, five minutes at most).

        Args:
            batch_id: its id.
            timeout_s: seconds to wait; ``None`` is without end.

        Raises:
            WaitTimeout: it had not by then.
            BatchNotFound: there is none.
        """
        return await self._run(self._session.wait_batch(batch_id, timeout_s=timeout_s))
