"""The core in this process: a real store and queue, called as the API calls them."""

import asyncio
import itertools
import os
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Final

import uvloop
from msgspec.structs import replace

from bench.bare import KIND, LEASE_MS, MAX_ATTEMPTS, PAYLOAD, QUEUE, WORKER
from tqnode.clock import SystemClock, SystemRng
from tqnode.config import Config
from tqnode.garbage import collect_seldom
from tqnode.metrics import Metrics
from tqnode.queue import Filters, Queue
from tqnode.queue.batches import BatchSpec
from tqnode.queue.bulks import Action, BulkSpec
from tqnode.queue.limits import LimitSpec
from tqnode.store import Store
from tqnode.task import Ask, ClaimedTask, Complete, TaskSpec, Webhook

BACKLOG_MAX: Final = 20_000
KEYLESS: Final = itertools.repeat(None)


class Core:
    """The queue's operations for code without an event loop.

    Args:
        folder: where the database file goes.
    """

    def __init__(self, folder: Path) -> None:
        collect_seldom()
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._runner.run(self._open(folder / "core.db"))

    async def _open(self, path: Path) -> None:
        clock, metrics = SystemClock(), Metrics()
        self._store = Store(
            path,
            clock=clock,
            metrics=metrics,
            backlog_max=BACKLOG_MAX,
            on_fatal=lambda _error: os._exit(1),
        )
        self._queue = Queue(self._store, clock=clock, rng=SystemRng(), config=Config(), metrics=metrics)

    def close(self) -> None:
        self._runner.run(self._store.close())
        self._runner.close()

    def configure(self, **changes: Any) -> None:
        """Gives the queue settings of its own."""
        self._runner.run(self._configure(changes))

    async def _configure(self, changes: dict[str, Any]) -> None:
        await self._queue.catalogue.configure(QUEUE, changes)

    def enqueue(
        self,
        *,
        callers: int,
        calls: int,
        size: int,
        webhook: Webhook | None = None,
        keys: Iterator[str | None] = KEYLESS,
    ) -> None:
        """Each of ``callers`` enqueues ``calls`` times ``size`` tasks, one call after the other.

        Args:
            webhook: to whom their ends are told.
            keys: their unique keys, None for one without.
        """

        async def caller() -> None:
            for _ in range(calls):
                await self._queue.enqueue([_spec(webhook, next(keys)) for _ in range(size)])

        self._run_all([caller() for _ in range(callers)])

    def claim(self, *, callers: int, calls: int, size: int) -> list[list[ClaimedTask]]:
        """As :meth:`enqueue`, claiming; each call's tasks."""
        held: list[list[ClaimedTask]] = []
        ask = Ask(queues=(QUEUE,), worker=WORKER, max=size)

        async def caller() -> None:
            for _ in range(calls):
                held.append(await self._queue.claim(ask, wait_s=0))

        self._run_all([caller() for _ in range(callers)])
        return held

    def hold_back(self, tasks: int, *, keys: int) -> None:
        """Enqueues ``tasks`` of ``keys`` limit keys, none of which may run."""
        stopped = LimitSpec(name="stopped", key="*", running=0)

        async def fill() -> None:
            await self._queue.limits.put(stopped)
            for start in range(0, tasks, 1000):
                numbers = range(start, min(tasks, start + 1000))
                keyed = [replace(_spec(), limit_key=f"k{number % keys}") for number in numbers]
                await self._queue.enqueue(keyed)

        self._runner.run(fill())

    def complete(self, held: list[list[ClaimedTask]], *, callers: int) -> None:
        """Completes what was claimed, with a call for each claim."""

        async def caller(claims: list[list[ClaimedTask]]) -> None:
            for tasks in claims:
                await self._queue.finish([Complete(id=task.id, token=task.token) for task in tasks])

        self._run_all([caller(held[start::callers]) for start in range(callers)])

    def batched_lifecycle(self, *, calls: int, size: int) -> None:
        """As :meth:`lifecycle` of one caller, with all the tasks as members of one batch."""
        ask = Ask(queues=(QUEUE,), worker=WORKER, max=size)

        async def caller() -> None:
            batch = (await self._queue.batcher.create(BatchSpec(open=True), [])).id
            for _ in range(calls):
                await self._queue.batcher.add(batch, [_spec() for _ in range(size)])
                tasks = await self._queue.claim(ask, wait_s=0)
                await self._queue.finish([Complete(id=task.id, token=task.token) for task in tasks])
            await self._queue.batcher.close(batch)

        self._run_all([caller()])

    def lifecycle(self, *, callers: int, calls: int, size: int) -> None:
        """Each of ``callers`` does ``calls`` times: enqueue ``size`` tasks, claim as many, complete them."""
        ask = Ask(queues=(QUEUE,), worker=WORKER, max=size)

        async def caller() -> None:
            for _ in range(calls):
                await self._queue.enqueue([_spec() for _ in range(size)])
                tasks = await self._queue.claim(ask, wait_s=0)
                await self._queue.finish([Complete(id=task.id, token=task.token) for task in tasks])

        self._run_all([caller() for _ in range(callers)])

    def bulk_cancel(self, filters: Filters) -> None:
        """Cancels all that match, slice by slice, as the sweeper does."""

        async def cancel() -> None:
            bulker = self._queue.bulker
            await bulker.begin(BulkSpec(action=Action.CANCEL, filters=filters))
            while await self._store.write(lambda tx: bulker.go_on(tx, 1), background=True):
                pass

        self._run_all([cancel()])

    def _run_all(self, callers: list[Coroutine[Any, Any, None]]) -> None:
        async def gather() -> None:
            await asyncio.gather(*callers)

        self._runner.run(gather())


def _spec(webhook: Webhook | None = None, key: str | None = None) -> TaskSpec:
    # Made anew for each task, as a request's decoding does.
    return TaskSpec(
        kind=KIND,
        queue=QUEUE,
        payload=PAYLOAD,
        priority=128,
        run_at_ms=None,
        max_attempts=MAX_ATTEMPTS,
        lease_ms=LEASE_MS,
        webhook=webhook,
        unique_key=key,
    )
