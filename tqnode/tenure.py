"""What a node runs while it leads: the queue and its log, for the length of one term."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Final

from tqnode.clock import Clock, Rng
from tqnode.config import Config
from tqnode.delivery.courier import Courier
from tqnode.delivery.deliverer import Deliverer
from tqnode.errors import NoLeader, OutcomeUnknown, TqnodeError
from tqnode.keeping import verifying_of
from tqnode.metrics import ClusterMetrics, LitestreamMetrics, Metrics
from tqnode.queue import Queue
from tqnode.replication.local_log import Plan
from tqnode.replication.node_db import NodeDb
from tqnode.replication.quorum_gate import QuorumGate
from tqnode.replication.shipper import Entries, LogBroken, Shipper
from tqnode.replication.term_folders import meta_of
from tqnode.replication.term_log import TermLog
from tqnode.store import Store
from tqnode.sweeper import Sweeper

PATIENCE_LEASES: Final = 2
"""Leases for which the log writer may fail before another node is to lead."""
UP_S: Final = 20.0
"""Time that Litestream has to answer when a term begins."""
REJOIN_EVERY_S: Final = 30.0

logger = logging.getLogger(__name__)


class Tenure:
    """One term of this node's leadership, from :meth:`open` to :meth:`close`.

    Args:
        term: its number.
        config: of the node.
        database: the queue's file, which has the whole local log.
        plan: what the log is made of.
        node_db: takes over the log's large files.
        clock: the node's clock.
        rng: the node's chance.
        metrics: the node's collectors.
        log_metrics: those of the log.
        cluster_metrics: those of the cluster.
        courier: sends webhooks.
        may_answer: returns if the node leads at this moment, else raises what to tell clients.
        produced: gets the log's entries.
        hand_over: has another node lead, once that is better than to go on.
        on_broken: called when the term can't go on.
        on_fatal: called when the disk failed: the process must end at once.
    """

    def __init__(
        self,
        term: int,
        *,
        config: Config,
        database: Path,
        plan: Plan,
        node_db: NodeDb,
        clock: Clock,
        rng: Rng,
        metrics: Metrics,
        log_metrics: LitestreamMetrics,
        cluster_metrics: ClusterMetrics,
        courier: Courier,
        may_answer: Callable[[], None],
        produced: Callable[[Entries], None],
        hand_over: Callable[["Tenure"], Awaitable[object]],
        on_broken: Callable[[], None],
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self.term = term
        self._config = config
        self._clock = clock
        self._hand_over = hand_over
        self._on_broken = on_broken
        self.gate = QuorumGate(may_answer, clock=clock, on_answer=cluster_metrics.quorum_ack_seconds.observe)
        self.log = TermLog(plan, number=term, clock=clock, metrics=log_metrics)
        self._verifying = verifying_of(config, plan, clock=clock, metrics=log_metrics)
        self._shipper = Shipper(
            term,
            meta=meta_of(plan.data_dir, term),
            sync=lambda within_s: self.log.sync(archived=False, within_s=within_s),
            node_db=node_db,
            gate=self.gate,
            produced=produced,
            patience_s=PATIENCE_LEASES * config.lease_ttl_s,
            clock=clock,
        )
        # Changes of the schema are made here, before the log begins with a snapshot.
        self._store = Store(
            database,
            clock=clock,
            metrics=metrics,
            backlog_max=config.writer_backlog_max,
            on_fatal=on_fatal,
            gate=self.gate,
            checkpoints=False,
        )
        self.queue = Queue(self._store, config=config, clock=clock, rng=rng, metrics=metrics)
        # Made now: from here on leases have their time again.
        self._sweeper = Sweeper(self._store, self.queue, clock=clock, config=config)
        self._deliverer = Deliverer(
            self._store, self.queue, courier, clock=clock, config=config, metrics=metrics
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._over = False

    def open(self) -> None:
        """Begins to write the log.

        Raises:
            apsw.Error: the list of terms can't be opened.
        """
        self.log.open()
        self._spawn(self.log.run(), "log")
        self._spawn(self._ship(), "shipper")

    def states(self) -> dict[str, str]:
        """How Litestream and the archive are."""
        return self.log.states()

    def serve(self) -> None:
        """Begins with what is done beside answering clients."""
        self._spawn(self._sweeper.run(), "sweeper")
        self._spawn(self._deliverer.run(), "deliverer")
        self._spawn(self._verifying.run(), "backup-verify")
        self._spawn(self._rejoin(), "archive-rejoin")

    async def pulse(self) -> None:
        """Returns once the writer has begun something new, or waits for others to have what it wrote."""
        if self._store.held or self._over:
            return
        loop = asyncio.get_running_loop()
        shown = asyncio.Event()

        def show(_tx: object) -> None:
            loop.call_soon_threadsafe(shown.set)

        self._store.submit(show, background=True).add_done_callback(_seen)
        while not (shown.is_set() or self._store.held or self._over):
            try:
                async with asyncio.timeout(self._config.lease_ttl_s / 16):
                    await shown.wait()
            except TimeoutError:
                continue

    async def pause(self) -> None:
        """Begins no more writes; returns when all that were begun are handed on as entries."""
        await self._store.pause()
        await self._shipper.drained()

    def go_on(self) -> None:
        """Ends a pause."""
        self._store.go_on()

    def retire(self, refusal: Callable[[], TqnodeError]) -> None:
        """Answers nothing from this moment on but that the node leads no more.

        Args:
            refusal: makes what those are told whose requests were not begun.
        """
        self._over = True
        self.gate.refuse(
            lambda: OutcomeUnknown("the node stopped leading before a majority was known to have the write"),
            elsewhere=refusal,
        )
        self._store.abandon(refusal())
        self.queue.drain()
        self.queue.hub.close()

    async def close(self) -> None:
        """Ends what runs, then closes the database."""
        if not self._over:
            self.retire(lambda: NoLeader("the node stops"))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.log.close()
        await self._store.close()

    async def _ship(self) -> None:
        try:
            async with asyncio.timeout(UP_S):
                await self.log.wait_until_up()
        except TimeoutError:
            raise LogBroken(f"litestream is not up {UP_S:g} s after the term began") from None
        await self._shipper.run()

    async def _rejoin(self) -> None:
        """Has the next term begun as soon as the archive answers that did not when this one began."""
        await self.log.archive_back()
        logger.info("the archive answers again: another node is to begin a term that is written to it")
        while not self._over:
            try:
                await self._hand_over(self)
            except TqnodeError as error:
                logger.warning("the archive has to wait for the next term: %s", error)
                await self._clock.sleep(REJOIN_EVERY_S)

    def _spawn(self, work: Coroutine[object, object, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled() or self._over:
            return
        error = task.exception()
        if isinstance(error, LogBroken):
            logger.error("%s", error)
        else:
            logger.error("%s ended: the term must end", task.get_name(), exc_info=error)
        self._on_broken()


def _seen(pulse: "asyncio.Future[None]") -> None:
    """Takes the outcome of a pulse that nobody waits for: what it was for, it has shown before."""
    if not pulse.cancelled():
        pulse.exception()
