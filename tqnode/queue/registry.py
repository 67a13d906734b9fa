"""The operations on the registry of workers, each one transaction or one snapshot; the API calls them."""

from collections.abc import Sequence

from tqnode.clock import Rng
from tqnode.queue import workers
from tqnode.queue.lease import HeldLease, Keeper, LeaseStatus
from tqnode.queue.logs import Logs, NewLines
from tqnode.queue.workers import WorkerRow, WorkerSpec
from tqnode.store import Store, Tx


class Registry:
    """The workers of a node. Every write may also raise Overloaded, Draining, DiskFull or OutcomeUnknown.

    Args:
        store: where they are.
        keeper: renews the leases that come with a worker's heartbeat.
        logs: notes the lines that come with one.
        rng: makes their ids.
        limit: how many there may be.
    """

    def __init__(self, store: Store, keeper: Keeper, logs: Logs, rng: Rng, *, limit: int) -> None:
        self._store = store
        self._keeper = keeper
        self._logs = logs
        self._rng = rng
        self._limit = limit

    async def register(self, spec: WorkerSpec) -> WorkerRow:
        """Adds a worker under a new id.

        Raises:
            Overloaded: too many are registered already.
        """
        return await self._store.write(lambda tx: workers.register(tx, spec, self._rng, limit=self._limit))

    async def heartbeat(
        self, worker_id: str, leases: Sequence[HeldLease], *, lines: Sequence[NewLines] = ()
    ) -> tuple[str, list[LeaseStatus]]:
        """One sign of life for a worker and all its leases; answers what it is told, and each lease's fate.

        Args:
            worker_id: the worker's.
            leases: all it holds.
            lines: log lines of their tasks.

        Raises:
            NotFound: it is not registered, or was dropped.
        """

        def operation(tx: Tx) -> tuple[str, list[LeaseStatus]]:
            state = workers.touch(tx, worker_id)
            self._logs.add_all(tx, lines)
            return state, self._keeper.heartbeat_all(tx, leases)

        return await self._store.write(operation)

    async def all(self) -> list[WorkerRow]:
        """The registered workers."""
        return await self._store.read(workers.workers)

    async def steer(self, worker_id: str, state: str) -> WorkerRow:
        """Tells a worker to ``run``, be ``quiet`` or ``terminate``.

        Raises:
            NotFound: it is not registered, or was dropped.
        """
        return await self._store.write(lambda tx: workers.steer(tx, worker_id, state))

    async def forget(self, worker_id: str) -> None:
        """Takes a worker out of the registry.

        Raises:
            NotFound: it is not registered, or was dropped.
        """
        await self._store.write(lambda tx: workers.forget(tx, worker_id))
