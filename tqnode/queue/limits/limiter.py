"""The operations on limits, each one transaction or one snapshot; the API calls them."""

from tqnode.queue import limits
from tqnode.queue.limits import LimitPage, LimitSpec
from tqnode.queue.limits.holding import Hold, held_by
from tqnode.queue.limits.rules import Rule
from tqnode.store import Store


class Limiter:
    """The limits of a node. Every write may also raise Overloaded, Draining, DiskFull or OutcomeUnknown.

    Args:
        store: where they are.
        limit: how many there may be.
    """

    def __init__(self, store: Store, *, limit: int) -> None:
        self._store = store
        self._limit = limit

    async def put(self, spec: LimitSpec) -> tuple[Rule, bool]:
        """Makes a limit, or gives the one of that name what is said now; and whether it is new.

        Raises:
            InvalidField: another one is on the same tasks, or there are too many already.
        """
        return await self._store.write(lambda tx: limits.put(tx, spec, limit=self._limit))

    async def get(self, name: str) -> Rule:
        """One limit.

        Raises:
            NotFound: there is none of that name.
        """
        return await self._store.read(lambda reader: limits.read(reader, name))

    async def page(self, *, limit: int, cursor: str | None) -> LimitPage:
        """Limits in the order of their names, from the cursor on.

        Raises:
            InvalidCursor: no page ended with this cursor.
        """
        return await self._store.read(lambda reader: limits.page(reader, limit=limit, cursor=cursor))

    async def delete(self, name: str) -> None:
        """Deletes a limit.

        Raises:
            NotFound: there is none of that name.
        """
        await self._store.write(lambda tx: limits.delete(tx, name))

    async def held_by(self, queue: str, limit_key: str | None, *, now_ms: int) -> list[Hold]:
        """The limits that hold a ready task of this queue and key back at this moment; none if it may run."""
        return await self._store.read(lambda reader: held_by(reader, queue, limit_key, now_ms=now_ms))
