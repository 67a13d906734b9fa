"""Which groups readers may have seen, and which of those are answered: a read must not tell of the others.

Used by the writer: its thread shows groups, the event loop settles them.
"""

import asyncio
from collections import deque

from tqnode.errors import TqnodeError


class Shown:
    """Groups by their number, in the order they were committed."""

    def __init__(self) -> None:
        self._shown = self._settled = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def held(self) -> int:
        """Groups that may have been seen and are not answered."""
        return self._shown - self._settled

    def show(self) -> None:
        """Called before the first reader can see one more."""
        self._shown += 1

    async def settled(self) -> None:
        """Returns when all that were shown so far are answered.

        Raises:
            TqnodeError: one of them could not be.
        """
        if self._settled >= self._shown:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._shown, future))
        await future

    def settle(self, refusal: TqnodeError | None) -> None:
        """The oldest is answered.

        Args:
            refusal: what its clients were told, if not what came of it; told to all who wait as well.
        """
        self._settled += 1
        while self._waiting and (self._waiting[0][0] <= self._settled or refusal is not None):
            _, future = self._waiting.popleft()
            if future.done():
                continue
            if refusal is None:
                future.set_result(None)
            else:
                future.set_exception(refusal)
