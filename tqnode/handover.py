"""One hand-over of the lead, from the request until another node serves."""

import asyncio
from typing import Any, Final

from tq import wire
from tqnode.clock import Clock
from tqnode.errors import HandoverFailed, NoLeader
from tqnode.replication.replica import Replica
from tqnode.standing import Standing
from tqnode.tenure import Tenure

SUCCESSOR_S: Final = 10.0
LOOK_EVERY_S: Final = 0.02


class Handover:
    """The hand-over under way, if there is one.

    Args:
        standing: says who serves.
        clock: the node's clock.
    """

    def __init__(self, standing: Standing, *, clock: Clock) -> None:
        self._standing = standing
        self._clock = clock
        self._outcome: asyncio.Future[str | None] | None = None

    async def run(
        self, replica: Replica, tenure: Tenure, to: str | None, *, successor_s: float = SUCCESSOR_S
    ) -> wire.HandedOver:
        """Stops writing, hands over, and returns once another node serves.

        Args:
            replica: of this node, which leads.
            tenure: its term.
            to: name of the node that is to lead; None leaves the choice to the core.
            successor_s: seconds to wait for it to serve.

        Raises:
            HandoverFailed: this node goes on to lead.
            NoLeader: it leads no more, and nobody else was seen to serve in time.
        """
        if self._outcome is not None:
            raise HandoverFailed("another hand-over is under way")
        began = self._clock.monotonic()
        self._outcome = asyncio.get_running_loop().create_future()
        try:
            failure = await self._ask(replica, tenure, to, self._outcome)
        finally:
            self._outcome = None
            # Of no effect if the term is over.
            tenure.go_on()
        if failure is not None:
            raise HandoverFailed(f"this node goes on to lead: {failure}")
        return await self._await_successor(replica, began, successor_s)

    async def _ask(
        self, replica: Replica, tenure: Tenure, to: str | None, outcome: "asyncio.Future[str | None]"
    ) -> str | None:
        """Why it came to nothing; None if the term is over."""
        within_s = replica.settings.lease_ttl_s
        pausing = asyncio.create_task(tenure.pause(), name="pause")
        try:
            either: set[asyncio.Future[Any]] = {pausing, outcome}
            await asyncio.wait(either, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
            if not pausing.done() and not outcome.done():
                return "what was written could not be handed on in time"
            if not outcome.done():
                replica.hand_over(to)
                await asyncio.wait([outcome], timeout=within_s)
        finally:
            pausing.cancel()
        return outcome.result() if outcome.done() else "it took too long"

    def ended(self, _why: str) -> None:
        """The node leads no more."""
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_result(None)

    def failed(self, why: str) -> None:
        """The node goes on to lead."""
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_result(why)

    async def _await_successor(self, replica: Replica, began: float, successor_s: float) -> wire.HandedOver:
        while self._clock.monotonic() - began < successor_s:
            serving = await self._standing.serving(replica)
            if serving is not None:
                name, term = serving
                return wire.HandedOver(
                    leader=name, term=term, took_s=round(self._clock.monotonic() - began, 3)
                )
            await self._clock.sleep(LOOK_EVERY_S)
        raise NoLeader("this node leads no more; nobody else was seen to serve yet")
