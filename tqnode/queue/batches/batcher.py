"""The operations on batches, each one transaction or one snapshot; the API and the sweeper call them."""

from collections.abc import Sequence

from tqnode import ids
from tqnode.clock import Clock, Rng
from tqnode.errors import NotFound, Overloaded
from tqnode.queue import batches
from tqnode.queue.batches import Batch, BatchPage, BatchSpec, Made
from tqnode.queue.batches.callbacks import Callbacks
from tqnode.queue.enqueue import Enqueuer
from tqnode.queue.moves import Movement
from tqnode.queue.onlookers import Onlookers
from tqnode.store import Store, Tx
from tqnode.task import Idempotency, TaskSpec


class Batcher:
    """The batches of a queue. Every write may also raise Overloaded, Draining, DiskFull or OutcomeUnknown.

    Args:
        store: where they are.
        enqueuer: makes their tasks.
        movement: cancels their tasks.
        rng: the ids' random bits.
        clock: the node's clock.
        onlookers: where clients wait.
    """

    def __init__(
        self,
        store: Store,
        *,
        enqueuer: Enqueuer,
        movement: Movement,
        rng: Rng,
        clock: Clock,
        onlookers: Onlookers,
    ) -> None:
        self._store = store
        self._enqueuer = enqueuer
        self._movement = movement
        self._rng = rng
        self._clock = clock
        self._onlookers = onlookers
        self.callbacks = Callbacks(enqueuer)

    async def create(
        self, spec: BatchSpec, tasks: Sequence[TaskSpec], *, idempotency: Idempotency | None = None
    ) -> Made:
        """Makes a batch with its first tasks, all or nothing.

        Raises:
            IdempotencyMismatch, UniqueConflict, QueueFull, InvalidField: as for an enqueue.
        """
        return await self._store.submit(
            lambda tx: batches.create(
                tx, spec, tasks, enqueuer=self._enqueuer, rng=self._rng, idempotency=idempotency
            )
        )

    async def add(
        self, batch_id: str, tasks: Sequence[TaskSpec], *, idempotency: Idempotency | None = None
    ) -> Made:
        """Adds tasks to a batch that has not finished, all or nothing.

        Raises:
            NotFound: there is no such batch.
            BatchFinished: its members have all ended.
            BatchCancelled: it was cancelled.
            IdempotencyMismatch, UniqueConflict, QueueFull, InvalidField: as for an enqueue.
        """
        return await self._store.submit(
            lambda tx: batches.add(tx, batch_id, tasks, enqueuer=self._enqueuer, idempotency=idempotency)
        )

    async def get(self, batch_id: str) -> Batch:
        """One batch.

        Raises:
            NotFound: there is none.
        """
        return await self._store.read(lambda reader: batches.read(reader, batch_id))

    async def wait(self, batch_id: str, *, wait_s: float) -> Batch:
        """The batch once it has ended, or as it stands after ``wait_s`` seconds or when the node drains.

        Raises:
            NotFound: there is none, or it was deleted meanwhile.
            Overloaded: too many wait already, and the batch has not ended.
        """
        try:
            awaited = ids.seq_of(ids.parse(batch_id))
        except ValueError:
            raise NotFound("batch", batch_id) from None
        deadline = self._clock.monotonic() + wait_s
        try:
            onlooker = self._onlookers.join(awaited)
        except Overloaded:
            batch = await self.get(batch_id)
            if batch.ended:
                return batch
            raise
        try:
            batch = await self.get(batch_id)
            while not batch.ended:
                left_s = deadline - self._clock.monotonic()
                there_is_more = left_s > 0 and await self._onlookers.news(onlooker, within_s=left_s)
                batch = await self.get(batch_id)
                if not there_is_more:
                    break
            return batch
        finally:
            self._onlookers.leave(onlooker)

    async def page(self, *, limit: int, cursor: str | None) -> BatchPage:
        """Batches, newest first, below the cursor.

        Raises:
            InvalidCursor: no page ended with this cursor.
        """
        return await self._store.read(lambda reader: batches.page(reader, limit=limit, cursor=cursor))

    async def close(self, batch_id: str) -> Batch:
        """Lets a batch finish once its members have ended.

        Raises:
            NotFound: there is none.
        """
        return await self._store.write(lambda tx: batches.close(tx, batch_id))

    async def cancel(self, batch_id: str) -> Batch:
        """Closes a batch and has its members cancelled.

        Raises:
            NotFound: there is none.
        """
        return await self._store.write(lambda tx: batches.cancel(tx, batch_id, movement=self._movement))

    def fire_due(self, tx: Tx, limit: int) -> int:
        """Acts on up to ``limit`` pieces of what batches have come to; answers how many it did."""
        return self.callbacks.fire_due(tx, limit)

    def cancel_rest(self, tx: Tx, limit: int) -> int:
        """Goes on cancelling the members of cancelled batches; how many were looked at."""
        return batches.cancel_rest(tx, limit, movement=self._movement)
