"""A network that loses, delays, repeats and reorders messages, and is cut now and then."""

from collections.abc import Callable
from typing import Any

from tests.tqnode.replication.simulation.world import World


class Network:
    """Carries messages between the nodes.

    Args:
        world: time and chance.
        loss: share of the messages that are lost.
        repeats: share of those that come twice.
        slow: share of those that take up to :data:`SLOW_S`.
        fast_s: what the others take, at most.
    """

    SLOW_S = 2.0

    def __init__(self, world: World, *, loss: float, repeats: float, slow: float, fast_s: float) -> None:
        self._world = world
        self._loss = loss
        self._repeats = repeats
        self._slow = slow
        self._fast_s = fast_s
        self._storm_until = 0.0
        self.cuts: set[tuple[str, str]] = set()
        """Pairs (from, to) between which nothing gets through."""

    def send(self, sender: str, to: str, deliver: Callable[..., object], *arguments: Any) -> None:
        """Has ``deliver`` called when the message arrives, if it does."""
        world = self._world
        chance = world.rng.random
        storm = world.now < self._storm_until
        for _ in range(2 if chance() < self._repeats else 1):
            if (sender, to) in self.cuts or chance() < (0.5 if storm else self._loss):
                continue
            slow = chance() < (0.5 if storm else self._slow)
            world.after(0.0005 + chance() * (self.SLOW_S if slow else self._fast_s), deliver, *arguments)

    def cut(self, one: str, other: str, *, both: bool) -> None:
        """Nothing gets through from ``one`` to ``other`` from now on; nor back, if ``both``."""
        self.cuts.add((one, other))
        if both:
            self.cuts.add((other, one))

    def mend(self, name: str) -> None:
        """A node reaches all others, and they it."""
        self.cuts = {cut for cut in self.cuts if name not in cut}

    def storm(self, seconds: float) -> None:
        """Half of the messages are lost, and half of the others slow, for a while."""
        self._storm_until = self._world.now + seconds

    def heal(self) -> None:
        """Everything gets through, in time, from now on."""
        self.cuts.clear()
        self._loss = self._repeats = self._slow = self._storm_until = 0.0
