"""The operations on many tasks at once, and counts; the API calls them, and the sweeper does the slices."""

import asyncio
from collections import Counter

import msgspec

from tqnode.clock import Clock, Rng
from tqnode.config import Config
from tqnode.queue import bulks
from tqnode.queue.bulks import Bulk, BulkPage, BulkSpec, BulkState, counting
from tqnode.queue.bulks.counting import TaskCount
from tqnode.queue.bulks.treatment import Treatment
from tqnode.queue.search import Filters, reach
from tqnode.queue.sliced import Sliced
from tqnode.sql import statement
from tqnode.store import Effects, Store, Tx
from tqnode.task import Idempotency

_SLICE = statement("bulk_slice")

SCAN_PER_TASK = 4
"""Tasks a slice looks at for each that it may treat: a few that match among millions must not hold the
writer for long, nor take for ever."""
BYTES_MAX = 1024 * 1024
"""Payloads, meta and errors one slice reads, if the filter is about these."""


class Bulker:
    """Bulk operations. Every write may also raise Overloaded, Draining, DiskFull or OutcomeUnknown.

    Args:
        store: where they and the tasks are.
        treatment: what is done to tasks.
        clock: measures how long a slice takes.
        rng: ids.
        config: how many there may be.
    """

    def __init__(self, store: Store, treatment: Treatment, *, clock: Clock, rng: Rng, config: Config) -> None:
        self._store = store
        self._treatment = treatment
        self._clock = clock
        self._rng = rng
        self._config = config
        # How large each one's next slice is; a guess, and so not in the database.
        self._sizes: dict[int, Sliced] = {}
        self._ended = False
        self._waiters: set[asyncio.Event] = set()
        store.listen(self._notice)

    async def count(self, filters: Filters) -> TaskCount:
        """How many tasks match: exactly, or where there are too many to look at, by samples."""
        return await self._store.read(lambda reader: counting.count(reader, filters))

    async def begin(self, spec: BulkSpec, *, idempotency: Idempotency | None = None) -> Bulk:
        """Begins an operation on the tasks that are there now; a repeated key finds the one it began.

        Raises:
            IdempotencyMismatch: the key came with another body.
            InvalidField: too many are under way.
        """

        def operation(tx: Tx) -> str:
            return bulks.begin(
                tx,
                spec,
                rng=self._rng,
                running_max=self._config.bulks_max,
                kept_max=self._config.bulks_kept,
                idempotency=idempotency,
            )

        return await self.get(await self._store.write(operation))

    async def get(self, bulk_id: str) -> Bulk:
        """One operation.

        Raises:
            NotFound: there is none, or none any more.
        """
        return await self._store.read(lambda reader: bulks.read(reader, bulk_id))

    async def page(self, *, limit: int, cursor: str | None) -> BulkPage:
        """Operations, newest first.

        Raises:
            InvalidCursor: no page ended with this cursor.
        """
        return await self._store.read(lambda reader: bulks.page(reader, limit=limit, cursor=cursor))

    async def stop(self, bulk_id: str) -> Bulk:
        """Ends an operation where it stands: what was done stays done. Leaves one that has ended.

        Raises:
            NotFound: there is none, or none any more.
        """
        await self._store.write(lambda tx: bulks.stop(tx, bulk_id))
        self._wake()
        return await self.get(bulk_id)

    async def wait(self, bulk_id: str, *, wait_s: float) -> Bulk:
        """The operation when it has ended, or as it stands after ``wait_s`` seconds.

        Raises:
            NotFound: there is none, or none any more.
        """
        deadline = self._clock.monotonic() + wait_s
        ended = asyncio.Event()
        self._waiters.add(ended)
        try:
            while True:
                ended.clear()
                bulk = await self.get(bulk_id)
                remaining_s = deadline - self._clock.monotonic()
                if bulk.state is not BulkState.RUNNING or remaining_s <= 0:
                    return bulk
                try:
                    async with asyncio.timeout(remaining_s):
                        await ended.wait()
                except TimeoutError:
                    return await self.get(bulk_id)
        finally:
            self._waiters.discard(ended)

    def go_on(self, tx: Tx, limit: int) -> int:
        """Does a slice of the operation whose turn it is; ``limit`` if there is more to do, else 0."""
        bulk = bulks.next_in_turn(tx)
        if bulk is None:
            return 0
        began = self._clock.monotonic()
        size = self._sizes.setdefault(bulk.seq, Sliced(self.go_on))
        advanced, full = self._slice(tx, bulk, size.limit)
        bulks.advance(tx, advanced)
        size.adapt(self._clock.monotonic() - began, full=full)
        if advanced.state is not BulkState.RUNNING:
            self._sizes.clear()
            self._ended = True
        return limit

    def _slice(self, tx: Tx, bulk: Bulk, limit: int) -> tuple[Bulk, bool]:
        """One slice; the operation after it, and whether the slice did all that it may."""
        filters = bulk.spec.filters
        end, _ = reach(
            tx,
            filters,
            after=bulk.reached,
            last=bulk.last,
            # What reads payloads takes as long for each task as most of what is done to one.
            scan=limit if filters.reads_bodies else SCAN_PER_TASK * limit,
            bytes_max=BYTES_MAX,
        )
        if end is None:
            done = msgspec.structs.replace(
                bulk, state=BulkState.DONE, reached=bulk.last, finished_at_ms=tx.now_ms
            )
            return done, False
        found = {**filters.params(), "after": bulk.reached, "reach": end, "limit": limit}
        rows = tx.all(_SLICE, found)
        treated = self._treatment.treat(tx, bulk.spec, rows)
        reached = bulk.reached
        if treated.tasks == len(rows) < limit:
            reached = end
        elif treated.tasks:
            reached = rows[treated.tasks - 1][0]
        advanced = msgspec.structs.replace(
            bulk,
            reached=reached,
            matched=bulk.matched + treated.tasks,
            done=bulk.done + treated.done,
            asked=bulk.asked + treated.asked,
            skips=dict(Counter(bulk.skips) + treated.skips),
        )
        return advanced, treated.tasks == len(rows)

    def _notice(self, _effects: Effects) -> None:
        if self._ended:
            self._ended = False
            self._wake()

    def _wake(self) -> None:
        for ended in self._waiters:
            ended.set()
