"""A network that loses, delays, repeats and reorders messages, and is cut now and then."""

from collections.abc import Callable

from tests.tqnode.replication.simulation.world import World

Deliver = Callable[[str, str, str, object, object], None]


class Network:
    """Carries messages between the nodes.

    Args:
        world: time and chance.
        loss: share of the messages that are lost.
        repeats: share of those that come twice.
        slow: share of those that take up to :data:`SLOW_S`.
    """

    SLOW_S = 2.0

    def __init__(self, world: World, *, loss: float, repeats: float, slow: float) -> None:
        self._world = world
        self._loss = loss
        self._repeats = repeats
        self._slow = slow
        self.cuts: set[tuple[str, str]] = set()
        """Pairs (from, to) between which nothing gets through."""

    def send(self, sender: str, to: str, deliver: Callable[[], None]) -> None:
        """Has ``deliver`` called when the message arrives, if it does."""
        world = self._world
        for _ in range(2 if world.likely(self._repeats) else 1):
            if (sender, to) in self.cuts or world.likely(self._loss):
                continue
            slow = world.likely(self._slow)
            world.after(world.rng.uniform(0.0005, self.SLOW_S if slow else 0.008), deliver)

    def heal(self) -> None:
        """Everything gets through, in time, from now on."""
        self.cuts.clear()
        self._loss = self._repeats = self._slow = 0.0
