"""What time alone does: leases run out, delays end, schedules come due, tasks expire, old rows go.

Each piece of work is one background operation of the writer, and bounded; the sweeper sleeps until the next
thing is due.
"""

import asyncio
import logging
from collections import deque
from functools import partial

from tqnode.clock import Clock
from tqnode.config import Config
from tqnode.errors import Busy, OutcomeUnknown
from tqnode.queue import Queue
from tqnode.queue.batches import remove_idle
from tqnode.queue.dependencies.followers import settle_rest
from tqnode.queue.limits.buckets import age_buckets, refill, shift_buckets
from tqnode.queue.logs import delete_remains
from tqnode.queue.pauses import end_pauses
from tqnode.queue.results import delete_expired_results
from tqnode.queue.retention import Retention
from tqnode.queue.sliced import SLICE_S, Slice, Sliced
from tqnode.store import Effects, Store, Tx
from tqnode.sweeps import (
    NEVER_MS,
    age_heartbeats,
    delete_old_idempotency,
    delete_outdated,
    drop_silent_workers,
    give_back_pages,
    make_due_ready,
    next_moment_ms,
    shift_heartbeats,
)
from tqnode.task import TaskState

logger = logging.getLogger(__name__)

TICK_S = 1.0
"""Longest sleep: what no event announces is looked after this often."""
CLOCK_DOUBT_MS = 24 * 3600 * 1000
"""By how much a clock is taken to be wrong at most, while it was not watched for long enough."""
STALL_S = 2.0
"""A tick this late means the node stood still, and that heartbeats could not reach it."""


class Sweeper:
    """Runs the sweeps for as long as the node runs.

    Args:
        store: where the tasks are.
        queue: its operations.
        clock: the node's clock.
        config: how long things are kept.
    """

    def __init__(self, store: Store, queue: Queue, *, clock: Clock, config: Config) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock
        self._wake = asyncio.Event()
        self._next_ms = 0
        self._compared = False
        # Durations are of the monotonic clock: the wall clock may be set while they last.
        self._resumed_at = self._seen_at = self._steady_since = clock.monotonic()
        kept_s = {
            TaskState.SUCCEEDED: config.keep_succeeded_s,
            TaskState.CANCELLED: config.keep_cancelled_s,
            TaskState.DEAD: config.keep_dead_s,
        }
        self._retentions = [Retention(state, kept_s=kept_s[state]) for state in kept_s]
        removals = [Sliced(one.work, settled=one.settle) for one in self._retentions]
        self._removal: dict[TaskState | None, Sliced] = dict(zip(kept_s, removals, strict=True))
        self._slices = deque(Sliced(work) for work in self._kinds_of_work(config))
        self._slices += removals
        if config.keep_batches_s >= 0:
            self._slices.append(Sliced(partial(remove_idle, age_ms=config.keep_batches_s * 1000)))
        self._slices += [Sliced(delete_remains), Sliced(give_back_pages)]
        store.listen(self._notice)
        store.on_step(self._keep_meaning)

    def _kinds_of_work(self, config: Config) -> list[Slice]:
        keeper = self._queue.keeper
        silent_ms = round(config.worker_silent_s * 1000)
        idempotency_ms = round(config.idempotency_s * 1000)
        return [
            lambda tx, limit: keeper.reclaim(tx, limit, reachable_ms=self._reachable_ms()),
            settle_rest,
            make_due_ready,
            end_pauses,
            self._queue.scheduler.fire_due,
            refill,
            self._queue.batcher.fire_due,
            self._queue.batcher.cancel_rest,
            self._queue.bulker.go_on,
            partial(delete_outdated, movement=self._queue.movement),
            delete_expired_results,
            lambda tx, limit: (
                drop_silent_workers(tx, limit, silent_ms=silent_ms)
                if self._reachable_ms() >= silent_ms
                else 0
            ),
            lambda tx, limit: delete_old_idempotency(tx, limit, age_ms=self._forget_keys_ms(idempotency_ms)),
        ]

    async def run(self) -> None:
        """Sweeps until cancelled."""
        while True:
            try:
                await self.sweep()
            except Busy as error:
                logger.warning("the sweep waits: %s", error.detail)
                await self._clock.sleep(error.retry_after_s)
            except OutcomeUnknown as error:
                # It was made, or the process is about to end; either way the next round looks at what is.
                logger.warning("the sweep goes on: %s", error.detail)
                await self._clock.sleep(TICK_S)
            await self._sleep()

    async def sweep(self) -> None:
        """Does all that is due now, round by round, and notes when to look again."""
        began_ms = self._clock.now_ms()
        if not self._compared:
            await self._store.write(self._compare_clocks, background=True)
            # Else each enqueue for which there is no room would count anew.
            await self._store.write(self._queue.quotas.settle, background=True)
            self._compared = True
        more = True
        while more:
            self._mind_the_clock()
            more = await self._round()
        # What is put off while the answer is on its way wakes the sweeper, whenever it is due.
        self._next_ms = NEVER_MS
        self._next_ms = await self._store.read(partial(next_moment_ms, began_ms=began_ms))

    async def _round(self) -> bool:
        """Has the writer do a slice of each kind of work; whether there may be more.

        Together, since most have nothing to do: on a busy node each transaction of their own would be one
        in which nothing old is deleted, while many tasks become old.
        """
        ran: list[Sliced] = []

        def operation(tx: Tx) -> None:
            ran.clear()
            began = self._clock.monotonic()
            for sliced in self._slices:
                sliced.do(tx, self._clock)
                ran.append(sliced)
                if self._clock.monotonic() - began > SLICE_S:
                    break

        await self._store.write(operation, background=True)
        for sliced in ran:
            sliced.settle()
        # All kinds take turns: a million rows to delete must not keep a due task waiting.
        self._slices.rotate(-len(ran))
        return len(ran) < len(self._slices) or any(sliced.full for sliced in ran)

    def _mind_the_clock(self) -> None:
        """Gives leases their time again when the node stood still."""
        now = self._clock.monotonic()
        passed_s = now - self._seen_at
        self._seen_at = now
        if passed_s > TICK_S + STALL_S:
            logger.warning("the node stood still for %.1f s: leases get their time again", passed_s)
            self._resumed_at = now

    def _reachable_ms(self) -> int:
        """For how long heartbeats have been able to reach the node without a break."""
        now = self._clock.monotonic()
        if now - self._seen_at > TICK_S + STALL_S:
            # It stood still since the last look: heartbeats that wait go first.
            return 0
        return round(1000 * (now - self._resumed_at))

    def _forget_keys_ms(self, kept_ms: int) -> int:
        """Age by the wall clock from which a key is surely as old as it has to be."""
        # A clock that was wrong when the key came, or is wrong now, makes it look older than it is.
        steady_ms = 1000 * (self._clock.monotonic() - self._steady_since)
        return kept_ms if steady_ms >= kept_ms else kept_ms + CLOCK_DOUBT_MS

    def _keep_meaning(self, tx: Tx, stepped_ms: int) -> None:
        """Moves what is measured from a moment along with the wall clock."""
        self._steady_since = self._clock.monotonic()
        logger.warning("the wall clock stepped by %d ms: leases move with it", stepped_ms)
        for retention in self._retentions:
            retention.forget()
        self._queue.keeper.shift(tx, by_ms=stepped_ms)
        shift_heartbeats(tx, by_ms=stepped_ms)
        shift_buckets(tx, by_ms=stepped_ms)

    def _compare_clocks(self, tx: Tx) -> None:
        """Takes in what another clock has left behind: another node's, or this one's before it was set."""
        shortened = self._queue.keeper.shorten(tx)
        age_heartbeats(tx)
        age_buckets(tx)
        if shortened:
            logger.warning("%d leases were counted by a clock ahead of this one: they begin anew", shortened)

    def _notice(self, effects: Effects) -> None:
        for _, _, after, tasks in effects.moves:
            if after in self._removal:
                self._removal[after].fresh += tasks
        if effects.due_ms and min(effects.due_ms) < self._next_ms:
            self._wake.set()

    async def _sleep(self) -> None:
        wait_s = min(TICK_S, max(0.0, (self._next_ms - self._clock.now_ms()) / 1000))
        waking = asyncio.create_task(self._wake.wait())
        sleeping = asyncio.create_task(self._clock.sleep(wait_s))
        try:
            await asyncio.wait({waking, sleeping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()
            sleeping.cancel()
        self._wake.clear()
