"""A simulated misfortune in steps: the last entries are on two disks only, and one of them is lost."""

from collections.abc import Callable

from tests.tqnode.replication.simulation.network import Network
from tests.tqnode.replication.simulation.node import Node
from tests.tqnode.replication.simulation.world import World

LATE_LEASES = 6


class Stake:
    """One node loses what only it and the leader had; the leader goes as soon as that disk counts again.

    Whoever lets an empty disk count too early then has a majority that lacks what was answered. Chance alone
    comes to this once in many thousand runs.

    Args:
        nodes: by name.
        world: time and chance.
        network: between them.
        wipe: loses a node's disk, if that leaves a majority of them whole; says whether.
    """

    def __init__(
        self, nodes: dict[str, Node], world: World, network: Network, wipe: Callable[[Node], bool]
    ) -> None:
        self._nodes = nodes
        self._world = world
        self._network = network
        self._wipe = wipe
        self._lease_s = next(iter(nodes.values())).settings.lease_ttl_s
        self._lost: Node | None = None
        self._leader = ""
        self.over = False
        """What goes on by itself stops."""

    @property
    def is_under_way(self) -> bool:
        """A disk is about to be lost, or to count again: little else should happen until then."""
        return self._lost is not None and not self.over

    def begin(self, lost: Node, leader: str) -> bool:
        """Lets all disks but those of ``lost`` and of the leader fall behind, then loses the former."""
        if self._lost is not None or leader in ("", lost.name):
            return False
        self._lost, self._leader = lost, leader
        for node in self._late():
            node.stalled_until = self._world.now + LATE_LEASES * self._lease_s
        rng = self._world.rng
        lost_s = rng.uniform(0.1, 1.0) * self._lease_s
        self._world.after(lost_s, self._lose, lost)
        self._world.after(lost_s + rng.uniform(0.8, 2.5) * self._lease_s, self._forget)
        return True

    def _late(self) -> list[Node]:
        lost = self._lost.name if self._lost is not None else ""
        return [node for name, node in self._nodes.items() if name not in (self._leader, lost)]

    def _lose(self, lost: Node) -> None:
        if self.is_under_way and not self._wipe(lost):
            self._lost = None

    def _forget(self) -> None:
        """Those whose disks were slow lose what they have not synced, and are fast again."""
        for node in self._late() if self.is_under_way else ():
            if self._world.now < node.stalled_until:
                node.stalled_until = self._world.now
                if node.up:
                    node.crash()
                    self._world.after(self._world.rng.uniform(0.01, 0.05), node.boot)

    def admitted(self, node: Node, leader: str) -> bool:
        """A disk that came empty counts from now on: if it is the lost one, the leader goes; says whether."""
        if not self.is_under_way or node is not self._lost:
            return False
        self._forget()
        self._lost = None
        self._network.cuts.clear()
        for other in self._nodes:
            self._network.cut(leader or self._leader, other, both=True)
        return True
