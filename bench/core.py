"""The core in this process: a real store and queue, called as the API calls them."""

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

import uvloop

from bench.bare import KIND, LEASE_MS, MAX_ATTEMPTS, PAYLOAD, QUEUE, WORKER
from tqnode.clock import SystemClock, SystemRng
from tqnode.config import Config
from tqnode.garbage import collect_seldom
from tqnode.metrics import Metrics
from tqnode.queue import Filters, Queue
from tqnode.queue.bulks import Action, BulkSpec
from tqnode.store import Store
from tqnode.task import Ask, ClaimedTask, Complete, TaskSpec

BACKLOG_MAX: Final = 20_000


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

    def enqueue(self, *, callers: int, calls: int, size: int) -> None:
        """Each of ``callers`` enqueues ``calls`` times ``size`` tasks, one call after the other."""

        async def caller() -> None:
            for _ in range(calls):
                await self._queue.enqueue([_spec() for _ in range(size)])

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

    def complete(self, held: list[list[ClaimedTask]], *, callers: int) -> None:
        """Completes what was claimed, with a call for each claim."""

        async def caller(claims: list[list[ClaimedTask]]) -> None:
            for tasks in claims:
                await self._queue.finish([Complete(id=task.id, token=task.token) for task in tasks])

        self._run_all([caller(held[start::callers]) for start in range(callers)])

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


def _spec() -> TaskSpec:
    # Made anew for each task, as a request's decoding does.
    return TaskSpec(
        kind=KIND,
        queue=QUEUE,
        payload=PAYLOAD,
        priority=128,
        run_at_ms=None,
        max_attempts=MAX_ATTEMPTS,
        lease_ms=LEASE_MS,
    )
