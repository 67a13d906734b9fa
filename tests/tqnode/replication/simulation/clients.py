"""The clients of a simulated cluster: bring operations to whoever leads, and look whether it leads alone."""

from tests.tqnode.replication.simulation.judge import Judge
from tests.tqnode.replication.simulation.node import Node
from tests.tqnode.replication.simulation.world import World


class Clients:
    """Each operation is sent once, to one node, and its number is never used again.

    Args:
        world: time and chance.
        nodes: by name.
        judge: hears of all that they do.
    """

    def __init__(self, world: World, nodes: dict[str, Node], judge: Judge) -> None:
        self._world = world
        self._nodes = nodes
        self._judge = judge
        self._next = 1
        self._over = False
        self._every_s = world.rng.choice((0.03, 0.1, 0.4))

    def start(self) -> None:
        self._world.after(0.0, self._bring)

    def stop(self) -> None:
        self._over = True

    def hurry(self) -> None:
        """Brings an operation at least ten times in a second."""
        self._every_s = min(self._every_s, 0.1)

    def _bring(self) -> None:
        if self._over:
            return
        leading = [name for name, node in self._nodes.items() if node.leads]
        self._judge.alone(leading)
        for name in leading:
            self._judge.invoked(self._next)
            self._nodes[name].write_operation(self._next)
            self._next += 1
        self._world.after(self._world.rng.uniform(0, 2 * self._every_s), self._bring)
