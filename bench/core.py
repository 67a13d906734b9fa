"""The core in this process: a real store and queue, called as the API calls them."""

import asyncio
import itertools
import os
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

import uvloop
from msgspec.structs import replace

from bench.bare import KIND, LEASE_MS, MAX_ATTEMPTS, PAYLOAD, QUEUE, WORKER
from tqnode.clock import Clock, SystemClock, SystemRng
from tqnode.config import Config
from tqnode.garbage import collect_seldom
from tqnode.metrics import Metrics
from tqnode.queue import Filters, Page, Queue
from tqnode.queue.batches import BatchSpec
from tqnode.queue.bulks import Action, BulkSpec
from tqnode.queue.dependencies.followers import settle_rest
from tqnode.queue.limits import LimitSpec
from tqnode.queue.logs import NewLine, NewLines
from tqnode.queue.schedules import ScheduleSpec, Template
from tqnode.queue.sliced import Slice, Sliced
from tqnode.store import Store
from tqnode.task import Ask, ClaimedTask, Complete, Needs, TaskSpec
from tqnode.timing import Every

BACKLOG_MAX: Final = 20_000
HOUR_MS: Final = 3_600_000
LINE: Final = "what a handler says of a step that it has done, with a figure or two: 1234 of 5678"


class Core:
    """The queue's operations for code without an event loop.

    Args:
        folder: where the database file goes.
        clock: None is the machine's.
    """

    def __init__(self, folder: Path, *, clock: Clock | None = None) -> None:
        collect_seldom()
        self._clock = clock or SystemClock()
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._runner.run(self._open(folder / "core.db"))

    async def _open(self, path: Path) -> None:
        clock, metrics = self._clock, Metrics()
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
        make: Callable[[], TaskSpec] | None = None,
    ) -> None:
        """Each of ``callers`` enqueues ``calls`` times ``size`` tasks, one call after the other.

        Args:
            make: makes each of them; None: all are plain ones.
        """
        make = make or plain_task

        async def caller() -> None:
            for _ in range(calls):
                await self._queue.enqueue([make() for _ in range(size)])

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
                keyed = [replace(plain_task(), limit_key=f"k{number % keys}") for number in numbers]
                await self._queue.enqueue(keyed)

        self._runner.run(fill())

    def complete(self, held: list[list[ClaimedTask]], *, callers: int, lines: int = 0) -> None:
        """Completes what was claimed, with a call for each claim; ``lines`` of log come with each task."""

        async def caller(claims: list[list[ClaimedTask]]) -> None:
            for tasks in claims:
                told = [_lines(task, lines) for task in tasks] if lines else ()
                await self._queue.finish(
                    [Complete(id=task.id, token=task.token) for task in tasks], lines=told
                )

        self._run_all([caller(held[start::callers]) for start in range(callers)])

    def heartbeat(self, held: list[ClaimedTask], *, callers: int, lines: int = 0) -> None:
        """A heartbeat for each task; ``lines`` of log come with it."""

        async def caller(tasks: list[ClaimedTask]) -> None:
            for task in tasks:
                told = (_lines(task, lines),) if lines else ()
                await self._queue.heartbeat(task.id, task.token, lease_ms=None, progress=None, lines=told)

        self._run_all([caller(held[start::callers]) for start in range(callers)])

    def batched_lifecycle(self, *, calls: int, size: int) -> None:
        """As :meth:`lifecycle` of one caller, with all the tasks as members of one batch."""
        ask = Ask(queues=(QUEUE,), worker=WORKER, max=size)

        async def caller() -> None:
            batch = (await self._queue.batcher.create(BatchSpec(open=True), [])).id
            for _ in range(calls):
                await self._queue.batcher.add(batch, [plain_task() for _ in range(size)])
                tasks = await self._queue.claim(ask, wait_s=0)
                await self._queue.finish([Complete(id=task.id, token=task.token) for task in tasks])
            await self._queue.batcher.close(batch)

        self._run_all([caller()])

    def lifecycle(self, *, callers: int, calls: int, size: int) -> None:
        """Each of ``callers`` does ``calls`` times: enqueue ``size`` tasks, claim as many, complete them."""
        ask = Ask(queues=(QUEUE,), worker=WORKER, max=size)

        async def caller() -> None:
            for _ in range(calls):
                await self._queue.enqueue([plain_task() for _ in range(size)])
                tasks = await self._queue.claim(ask, wait_s=0)
                await self._queue.finish([Complete(id=task.id, token=task.token) for task in tasks])

        self._run_all([caller() for _ in range(callers)])

    def relay(self, *, calls: int, size: int) -> None:
        """As :meth:`lifecycle` of one caller, with each completion bringing the next task as its ``then``."""
        ask = Ask(queues=(QUEUE,), worker=WORKER, max=size)

        async def caller() -> None:
            await self._queue.enqueue([plain_task() for _ in range(size)])
            for left in reversed(range(calls)):
                tasks = await self._queue.claim(ask, wait_s=0)
                ends = [
                    Complete(id=task.id, token=task.token, then=(plain_task(),) if left else ())
                    for task in tasks
                ]
                await self._queue.finish(ends)

        self._run_all([caller()])

    def waves(self, widths: Sequence[int], *, requests: int, size: int, linked: bool) -> None:
        """Enqueues ``requests`` times some tasks with one call, and claims and completes them wave by wave.

        Args:
            widths: how many tasks each wave has.
            size: as many at most are claimed and completed with one call.
            linked: whether each waits for one of the wave before: the one of its place, from the first again
                when there are no more.
        """

        async def caller() -> None:
            for _ in range(requests):
                await self._queue.enqueue(
                    _linked(widths) if linked else [plain_task() for _ in range(sum(widths))]
                )
                for width in widths:
                    await self._drain(width, size)

        self._run_all([caller()])

    async def _drain(self, left: int, size: int) -> None:
        while left:
            ask = Ask(queues=(QUEUE,), worker=WORKER, max=min(left, size))
            tasks = await self._queue.claim(ask, wait_s=0)
            if tasks:
                await self._queue.finish([Complete(id=task.id, token=task.token) for task in tasks])
                left -= len(tasks)
            else:
                await self._sweep(settle_rest)

    def schedule(self, count: int) -> None:
        """Puts ``count`` schedules that tick every hour."""

        async def put(number: int) -> None:
            timing = Every(every_ms=HOUR_MS, anchor_ms=self._clock.now_ms())
            await self._queue.scheduler.put(
                ScheduleSpec(
                    name=f"s{number}",
                    timing=timing,
                    template=Template(spec=plain_task()),
                    missed="one",
                    overlap="allow",
                )
            )

        self._run_all([put(number) for number in range(count)])

    def fire_due(self) -> None:
        """Makes the tasks of all schedules that are due."""
        self._run_all([self._sweep(self._queue.scheduler.fire_due)])

    async def _sweep(self, work: Slice) -> None:
        """Slice by slice, as the sweeper does it, until nothing is left."""
        sliced = Sliced(work)
        sliced.full = True
        while sliced.full:
            await sliced.run_one(self._store, self._clock)

    def page(self, filters: Filters, *, calls: int, limit: int) -> Page:
        """Reads the same first page ``calls`` times."""

        async def read() -> Page:
            for _ in range(calls):
                page = await self._queue.page(filters, limit=limit, cursor=None, bodies=False)
            return page

        return self._runner.run(read())

    def count(self, filters: Filters, *, calls: int) -> int:
        """Counts the same tasks ``calls`` times."""

        async def count() -> int:
            for _ in range(calls):
                counted = await self._queue.bulker.count(filters)
            return counted.tasks

        return self._runner.run(count())

    def get(self, task_id: str, *, calls: int) -> None:
        """Reads a task ``calls`` times."""

        async def read() -> None:
            for _ in range(calls):
                await self._queue.get(task_id)

        self._runner.run(read())

    def explain(self, task_id: str, *, calls: int) -> str:
        """Explains a task ``calls`` times; what is said in the end."""

        async def explain() -> str:
            for _ in range(calls):
                said = await self._queue.explainer.explain(task_id)
            return said.summary

        return self._runner.run(explain())

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


def plain_task() -> TaskSpec:
    """A plain task, made anew as a request's decoding does."""
    return TaskSpec(
        kind=KIND,
        queue=QUEUE,
        payload=PAYLOAD,
        priority=128,
        run_at_ms=None,
        max_attempts=MAX_ATTEMPTS,
        lease_ms=LEASE_MS,
    )


def _linked(widths: Sequence[int]) -> list[TaskSpec]:
    """The tasks of a request, wave after wave."""
    specs = [plain_task() for _ in range(widths[0])]
    for before, width in itertools.pairwise(widths):
        first = len(specs) - before
        parents = [(first + place % before,) for place in range(width)]
        specs += [replace(plain_task(), after=after, needs=Needs.SUCCEEDED) for after in parents]
    return specs


def _lines(task: ClaimedTask, count: int) -> NewLines:
    return NewLines(id=task.id, token=task.token, lines=tuple(NewLine(LINE) for _ in range(count)))
