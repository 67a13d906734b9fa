"""Answers writes once the archive has them: what ``durability = "archive"`` is."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from tqnode.clock import Clock
from tqnode.errors import OutcomeUnknown
from tqnode.replication.sync_client import SyncError
from tqnode.store.gate import Answer

AGAIN_S: Final = 0.05


class ArchiveGate:
    """Holds the answers to committed groups until one upload has covered them.

    Args:
        reach: returns once all that was committed before the call is in the archive, within the seconds
            given; raises SyncError otherwise.
        clock: the node's clock.
        within_s: seconds a group is held before it is answered as of unknown outcome.
        on_unknown: called for each group answered so.
    """

    def __init__(
        self,
        reach: Callable[[float], Awaitable[object]],
        *,
        clock: Clock,
        within_s: float,
        on_unknown: Callable[[], None],
    ) -> None:
        self._reach = reach
        self._clock = clock
        self._within_s = within_s
        self._on_unknown = on_unknown
        self._held: deque[tuple[float, Answer]] = deque()
        self._arrived = asyncio.Event()
        self._late = False
        self._closed = False

    def hold(self, answer: Answer) -> None:
        """Takes the answer to a group that is committed on this node's disk."""
        self._held.append((self._clock.monotonic() + self._within_s, answer))
        self._arrived.set()
        if self._closed:
            self.close()

    def check(self) -> None:
        """A node without peers may always answer what is settled."""

    async def run(self, *, on_late: Callable[[], None]) -> None:
        """Answers what is held, until cancelled.

        Args:
            on_late: called when groups that were answered as of unknown outcome have arrived after all.
        """
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._held or self._late:
                await self._pass(on_late)

    def close(self) -> None:
        """Answers what is held, and what still comes: nobody will learn whether the archive got it."""
        self._closed = True
        while self._held:
            self._answer_unknown("the node stopped before the archive had the write")

    async def _pass(self, on_late: Callable[[], None]) -> None:
        """One upload for all that is held when it begins."""
        covered = len(self._held)
        left_s = self._within_s if not covered else self._held[0][0] - self._clock.monotonic()
        try:
            if left_s <= 0:
                raise SyncError("it is too late for the oldest")
            await self._reach(left_s)
        except SyncError as error:
            now = self._clock.monotonic()
            while self._held and self._held[0][0] <= now:
                self._late = True
                self._answer_unknown(
                    f"the write is on this node's disk; the archive did not have it within "
                    f"{self._within_s:g} s ({error})"
                )
            await self._clock.sleep(AGAIN_S)
            return
        for _ in range(covered):
            _, answer = self._held.popleft()
            answer(None)
        if self._late:
            self._late = False
            on_late()

    def _answer_unknown(self, detail: str) -> None:
        _, answer = self._held.popleft()
        self._on_unknown()
        answer(OutcomeUnknown(detail))
