"""The queue: every operation on it, as the API and the sweeper call them.

All times are integer milliseconds, all JSON is bytes.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

from tqnode.clock import Clock, Rng
from tqnode.config import Config
from tqnode.errors import Draining, TqnodeError
from tqnode.metrics import Metrics
from tqnode.queue import claim as claims
from tqnode.queue import listing, queues
from tqnode.queue.batches.batcher import Batcher
from tqnode.queue.bulks.bulker import Bulker
from tqnode.queue.bulks.treatment import Treatment
from tqnode.queue.catalogue import Catalogue
from tqnode.queue.counts import Counts
from tqnode.queue.dependencies.graph import Graph, graph_of
from tqnode.queue.enqueue import Enqueuer
from tqnode.queue.explain import Explainer
from tqnode.queue.finish import Finisher
from tqnode.queue.hub import Hub
from tqnode.queue.intake import Intake
from tqnode.queue.lease import HeldLease, Keeper, LeaseStatus
from tqnode.queue.limits.lanes import Walk
from tqnode.queue.limits.limiter import Limiter
from tqnode.queue.listing import Page
from tqnode.queue.logs import Logs, NewLines
from tqnode.queue.manage import Manager
from tqnode.queue.moves import Movement
from tqnode.queue.onlookers import Onlookers
from tqnode.queue.queues import QueueInfo
from tqnode.queue.quotas import Quotas
from tqnode.queue.registry import Registry
from tqnode.queue.results import Results
from tqnode.queue.rows import read_task
from tqnode.queue.schedules.firing import Firing
from tqnode.queue.schedules.scheduler import Scheduler
from tqnode.queue.search import Filters
from tqnode.queue.stats import Stats, stats
from tqnode.queue.waiting import Waiting
from tqnode.queue.workers import WorkerRow, WorkerSpec
from tqnode.store import Reader, Store, Tx
from tqnode.task import (
    Ask,
    ClaimedTask,
    Enqueued,
    Finish,
    Finished,
    Idempotency,
    Lease,
    Snooze,
    Task,
    TaskSpec,
)

__all__ = [
    "Filters",
    "Graph",
    "HeldLease",
    "LeaseStatus",
    "Page",
    "Queue",
    "QueueInfo",
    "Stats",
    "WorkerRow",
    "WorkerSpec",
]

logger = logging.getLogger(__name__)


class Queue:
    """The operations, each one transaction or one snapshot.

    Every write may also raise Overloaded, Draining, DiskFull or OutcomeUnknown.

    Args:
        store: where the tasks are.
        clock: the node's clock.
        rng: ids, tokens and jitter.
        config: the limits.
        metrics: the node's collectors.
    """

    def __init__(self, store: Store, *, clock: Clock, rng: Rng, config: Config, metrics: Metrics) -> None:
        self._store = store
        self._clock = clock
        self._rng = rng
        movement = Movement(config)
        self.quotas = Quotas(config)
        self._enqueuer = Enqueuer(config, self.quotas, rng)
        self._intake = Intake(store, self._enqueuer, waiting_max=config.writer_backlog_max)
        self._finisher = Finisher(rng=rng, metrics=metrics, enqueuer=self._enqueuer, movement=movement)
        self._manager = Manager(movement)
        firing = Firing(enqueuer=self._enqueuer, manager=self._manager, metrics=metrics)
        self.scheduler = Scheduler(store, firing, limit=config.schedules_max)
        self.limits = Limiter(store, limit=config.limits_max)
        self.onlookers = Onlookers(limit=config.waiting_reads_max)
        self.batcher = Batcher(
            store,
            enqueuer=self._enqueuer,
            movement=movement,
            rng=rng,
            clock=clock,
            onlookers=self.onlookers,
        )
        treatment = Treatment(manager=self._manager, enqueuer=self._enqueuer, clock=clock)
        self.bulker = Bulker(store, treatment, clock=clock, rng=rng, config=config)
        self.keeper = Keeper(config, metrics=metrics, movement=movement)
        self.movement = movement
        self.catalogue = Catalogue(store, clock, queues_max=config.queues_max)
        self.explainer = Explainer(store, clock=clock, config=config)
        self.waiting = Waiting(limit=config.waiting_claims_max)
        self.hub = Hub(
            boot=f"{rng.bits(48):012x}", kept=config.events_kept, followers_max=config.event_streams_max
        )
        self.results = Results(store, clock, self.onlookers)
        self.logs = Logs(store, clock, config=config, metrics=metrics, onlookers=self.onlookers)
        self.registry = Registry(store, self.keeper, self.logs, rng, limit=config.workers_max)
        self._counts = Counts(metrics)
        store.listen(self.waiting.wake)
        store.listen(self.hub.publish)
        store.listen(self.onlookers.wake)
        store.listen(self._counts.note)

    # -- enqueue and read ------------------------------------------------------------------

    async def enqueue(
        self, specs: Sequence[TaskSpec], *, idempotency: Idempotency | None = None
    ) -> list[Enqueued]:
        """Enqueues all tasks or none; a repeated idempotency key gets the first answer again.

        Raises:
            UniqueConflict: a task's key is held and it said ``reject``.
            IdempotencyMismatch: the key came with another body.
            QueueFull: a limit on queues would be exceeded.
            InvalidField: a task is to wait for one that is not there.
        """
        if len(specs) == 1 and idempotency is None and specs[0].unique_key is None and not specs[0].after:
            return [await self._intake.put(specs[0])]
        return await self._store.submit(lambda tx: self._enqueuer.once(tx, specs, idempotency))

    async def enqueue_partial(
        self, specs: Sequence[TaskSpec], *, idempotency: Idempotency | None = None
    ) -> list[Enqueued | TqnodeError]:
        """Enqueues each task on its own; in the place of one that can't be, why not.

        Raises:
            IdempotencyMismatch: the key came with another body.
        """
        return await self._store.write(lambda tx: self._enqueuer.each(tx, specs, idempotency))

    async def get(self, task_id: str) -> Task:
        """The whole task.

        Raises:
            NotFound: there is none.
        """
        return await self._store.read(lambda reader: read_task(reader, task_id))

    async def graph(self, task_id: str, *, nodes_max: int) -> Graph:
        """The task with those it waits for and those that wait for it, ``nodes_max`` at most.

        Raises:
            NotFound: there is none.
        """
        return await self._store.read(lambda reader: graph_of(reader, task_id, nodes_max=nodes_max))

    async def check_readable(self) -> None:
        """Returns once the database was read, however little of it.

        Raises:
            apsw.Error: it can't be.
        """
        await self._store.look(lambda reader: queues.exists(reader, ""))

    async def page(self, filters: Filters, *, limit: int, cursor: str | None, bodies: bool) -> Page:
        """The newest matching tasks below the cursor; ``bodies``: with payloads and results.

        Raises:
            InvalidCursor: no page ended with this cursor.
        """
        return await self._store.read(
            lambda reader: listing.page(reader, filters, limit=limit, cursor=cursor, bodies=bodies)
        )

    # -- claim and finish ------------------------------------------------------------------

    async def claim(self, ask: Ask, *, wait_s: float) -> list[ClaimedTask]:
        """Claims tasks, waiting up to ``wait_s`` seconds for the first.

        Cancelling the call withdraws it: a claim not yet made is not made, one just made is given back.

        Raises:
            Overloaded: too many claims wait.
        """
        if wait_s <= 0:
            return await self._claim_now(ask) or []
        deadline = self._clock.monotonic() + wait_s
        waiter = self.waiting.join(ask)
        try:
            while True:
                tasks = await self._claim_now(ask)
                self.waiting.looked(waiter, tasks)
                remaining_s = deadline - self._clock.monotonic()
                if tasks or remaining_s <= 0 or self.waiting.draining:
                    return tasks or []
                try:
                    # Not wait_for(): Python 3.11's swallows a cancel that comes with the wake.
                    async with asyncio.timeout(remaining_s):
                        await waiter.woken.wait()
                except TimeoutError:
                    return []
                self.waiting.stand(waiter)
        finally:
            self.waiting.leave(waiter)

    async def _claim_now(self, ask: Ask) -> list[ClaimedTask] | None:
        """None for a worker that was told to be quiet."""
        walk = Walk()
        while True:
            tasks = await self._claim_once(ask, walk)
            if tasks or tasks is None or walk.next is None:
                return tasks
            walk.at = walk.next

    async def _claim_once(self, ask: Ask, walk: Walk) -> list[ClaimedTask] | None:
        withdrawn = False

        def operation(tx: Tx) -> list[ClaimedTask] | None:
            return [] if withdrawn else claims.claim(tx, ask, self._rng, walk)

        made = self._store.submit(operation)
        try:
            return await asyncio.shield(made)
        except asyncio.CancelledError:
            withdrawn = True
            made.add_done_callback(self._give_back)
            raise

    def _give_back(self, made: "asyncio.Future[list[ClaimedTask] | None]") -> None:
        """Returns to the line what was claimed for a client that has gone."""
        tasks = None if made.cancelled() or made.exception() is not None else made.result()
        if not tasks:
            return
        snoozes: list[Finish] = [Snooze(id=task.id, token=task.token) for task in tasks]
        try:
            # In the background: a node with too much to do must not keep what nobody works on.
            returned = self._store.submit(lambda tx: self._finisher.finish_all(tx, snoozes), background=True)
        except Draining:
            _say_kept(len(tasks), "the node is stopping")
        else:
            returned.add_done_callback(partial(_say_if_kept, len(tasks)))

    async def give_back(self, tasks: Sequence[ClaimedTask]) -> None:
        """Returns claimed tasks that could not be handed over; their attempt is not spent."""
        await self.finish([Snooze(id=task.id, token=task.token) for task in tasks])

    async def heartbeat(
        self,
        task_id: str,
        token: str,
        *,
        lease_ms: int | None,
        progress: bytes | None,
        lines: Sequence[NewLines] = (),
    ) -> Lease:
        """Resets a lease to now + ``lease_ms``, its length from then on; by the length it has when None.

        Raises:
            LeaseLost: the token is not the task's current one.
            NotFound: there is no such task.
        """

        def operation(tx: Tx) -> Lease:
            self.logs.add_all(tx, lines)
            return self.keeper.heartbeat(tx, task_id, token, lease_ms=lease_ms, progress=progress)

        return await self._store.write(operation)

    async def finish(
        self, finishes: Sequence[Finish], *, lines: Sequence[NewLines] = ()
    ) -> list[Finished | TqnodeError]:
        """Ends each attempt on its own, in order; in the place of one that can't be, why not.

        Args:
            finishes: how they ended.
            lines: their last log lines, noted first; of a repeated finish they are not noted again.
        """

        def operation(tx: Tx) -> list[Finished | TqnodeError]:
            self.logs.add_all(tx, lines)
            return self._finisher.finish_all(tx, finishes)

        return await self._store.submit(operation)

    # -- one task, by a person -------------------------------------------------------------

    async def cancel(self, task_id: str) -> Task:
        """Cancels a waiting task; asks the worker of a running one to stop; leaves a final one.

        Raises:
            NotFound: there is no such task.
        """
        return await self._store.write(lambda tx: self._manager.cancel(tx, task_id))

    async def retry(self, task_id: str) -> Task:
        """Makes a scheduled or final task ready; leaves a running or ready one.

        Raises:
            NotFound: there is no such task.
            UniqueConflict: another task holds its key by now.
            WrongState: it waits on other tasks.
        """
        return await self._store.write(lambda tx: self._manager.retry(tx, task_id))

    async def delete(self, task_id: str) -> None:
        """Deletes a task that no worker holds.

        Raises:
            NotFound: there is no such task.
            WrongState: it is running.
        """
        await self._store.write(lambda tx: self._manager.delete(tx, task_id))

    # -- waits -----------------------------------------------------------------------------

    def look_again(self) -> None:
        """Has all that wait look again: what was done was not announced."""
        self.waiting.wake_all()
        self.onlookers.wake_all()

    def drain(self) -> None:
        """Ends all waits, and those to come: the node is stopping."""
        self.waiting.drain()
        self.onlookers.drain()

    # -- figures ---------------------------------------------------------------------------

    async def stats(self) -> Stats:
        """The node's figures, all of one moment."""
        return await self._store.read(self._figures())

    async def gauges(self) -> Stats:
        """The figures with what is not answered yet: they can be had while nothing can be answered."""
        return await self._store.look(self._figures())

    def _figures(self) -> Callable[[Reader], Stats]:
        since_start = dict(self._counts.since_start)
        return lambda reader: stats(reader, self._clock, since_start)


def _say_if_kept(tasks: int, returned: "asyncio.Future[list[Finished | TqnodeError]]") -> None:
    error = None if returned.cancelled() else returned.exception()
    if error is not None:
        _say_kept(tasks, str(error))


def _say_kept(tasks: int, why: str) -> None:
    logger.warning(
        "%d tasks claimed for a client that has gone keep their lease until it ends: %s", tasks, why
    )
