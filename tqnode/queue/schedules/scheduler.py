"""The operations on schedules, each one transaction or one snapshot; the API and the sweeper call them."""

from tqnode.queue import schedules
from tqnode.queue.schedules import Schedule, SchedulePage, ScheduleSpec
from tqnode.queue.schedules.firing import Firing
from tqnode.store import Store, Tx


class Scheduler:
    """The schedules of a queue. Every write may also raise Overloaded, Draining, DiskFull or OutcomeUnknown.

    Args:
        store: where they are.
        firing: makes their tasks.
        limit: how many there may be.
    """

    def __init__(self, store: Store, firing: Firing, *, limit: int) -> None:
        self._store = store
        self._firing = firing
        self._limit = limit

    async def put(self, spec: ScheduleSpec) -> tuple[Schedule, bool]:
        """Makes a schedule, or gives the one of that name what is said now; and whether it is new.

        Raises:
            InvalidField: it never ticks, or there are too many already.
        """
        return await self._store.write(lambda tx: schedules.put(tx, spec, limit=self._limit))

    async def get(self, name: str) -> Schedule:
        """One schedule.

        Raises:
            NotFound: there is none of that name.
        """
        return await self._store.read(lambda reader: schedules.read(reader, name))

    async def page(self, *, limit: int, cursor: str | None) -> SchedulePage:
        """Schedules in the order of their names, from the cursor on, without their payloads.

        Raises:
            InvalidCursor: no page ended with this cursor.
        """
        return await self._store.read(lambda reader: schedules.page(reader, limit=limit, cursor=cursor))

    async def pause(self, name: str) -> Schedule:
        """Has a schedule make no tasks.

        Raises:
            NotFound: there is none of that name.
        """
        return await self._store.write(lambda tx: schedules.set_paused(tx, name, paused=True))

    async def resume(self, name: str) -> Schedule:
        """Has a schedule make tasks again, from its next tick on.

        Raises:
            NotFound: there is none of that name.
        """
        return await self._store.write(lambda tx: schedules.set_paused(tx, name, paused=False))

    async def delete(self, name: str) -> None:
        """Deletes a schedule; the tasks it has made stay.

        Raises:
            NotFound: there is none of that name.
        """
        await self._store.write(lambda tx: schedules.delete(tx, name))

    def fire_due(self, tx: Tx, limit: int) -> int:
        """Does up to ``limit`` pieces of what is due; answers how many it did."""
        return self._firing.fire_due(tx, limit)
