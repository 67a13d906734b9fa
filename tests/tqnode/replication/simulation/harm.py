"""What can be done to a simulated cluster; of disks, at most what a majority of them survives."""

from collections.abc import Collection

from tests.tqnode.replication.simulation.disk import Disk
from tests.tqnode.replication.simulation.network import Network
from tests.tqnode.replication.simulation.node import Node
from tests.tqnode.replication.simulation.stake import Stake
from tests.tqnode.replication.simulation.world import World

ROTATED = ("crash", "pause", "wipe", "slow disk")
"""What else is done while nodes are taken away in turn."""


class Harm:
    """Does one kind of harm at a time.

    Args:
        nodes: by name.
        world: time and chance.
        network: between them.
        kinds: what may be done in this run.
    """

    def __init__(
        self, nodes: dict[str, Node], world: World, network: Network, kinds: Collection[str]
    ) -> None:
        self._nodes = nodes
        self._names = sorted(nodes)
        self._world = world
        self._network = network
        self._lease_s = next(iter(nodes.values())).settings.lease_ttl_s
        self.stake = Stake(nodes, world, network, self._wipe)
        self._rotated = [kind for kind in ROTATED if kind in kinds]
        self._over = False

    def stop(self) -> None:
        """What goes on by itself stops."""
        self._over = self.stake.over = True

    def do(self, kind: str, node: Node) -> bool:
        """Harms a node, or all; False if this can't be done to it now."""
        rng, now, lease_s = self._world.rng, self._world.now, self._lease_s
        match kind:
            case "crash":
                return self.crash(node)
            case "power failure":
                return sum(map(self.crash, self._nodes.values())) > 0
            case "pause":
                node.paused_until = max(node.paused_until, now + rng.choice((0.3, 1.0, 3.0)) * lease_s)
            case "machine stands still":
                if now < node.paused_until:
                    return False
                node.freeze_clock(rng.choice((0.3, 1.0, 3.0)) * lease_s)
            case "slow disk":
                node.stalled_until = now + rng.uniform(0.2, 3.0) * lease_s
            case "full disk":
                node.disk.full = True
                self._world.after(rng.uniform(0.2, 3.0), self._make_room, node.disk)
            case "hand-over":
                return self._hand_over()
            case "log writer fails":
                return node.cannot_lead()
            case "damage":
                return self._damage(node)
            case "wipe":
                return self._wipe(node)
            case "last copies at stake":
                return self.stake.begin(node, self.leader())
            case _:
                return self._cut(kind, node)
        return True

    def _cut(self, kind: str, node: Node) -> bool:
        rng, network = self._world.rng, self._network
        others = [name for name in self._names if name != node.name]
        match kind:
            case "cut both ways" | "cut one way":
                network.cut(node.name, rng.choice(others), both=kind == "cut both ways")
            case "cut off":
                for other in others:
                    network.cut(node.name, other, both=True)
            case "cut off leader":
                leader = self.leader()
                ways = rng.choice(("both", "in", "out"))
                for other in self._names if leader else ():
                    one, two = (leader, other) if ways != "in" else (other, leader)
                    network.cut(one, two, both=ways == "both")
                return leader != ""
            case "cut off leader bit by bit":
                self._cut_bit_by_bit(self.leader(), rng.sample(self._names, len(self._names)))
            case "cut off leader alone":
                # All others see each other again: those that lag behind, and those that came with no disk.
                network.cuts.clear()
                for other in self._names:
                    network.cut(self.leader() or node.name, other, both=True)
            case "rotation":
                self._rotate(rng.sample(self._names, len(self._names)), None)
            case "split":
                some = set(rng.sample(self._names, rng.randint(1, len(self._names) - 1)))
                for one in some:
                    for other in self._nodes.keys() - some:
                        network.cut(one, other, both=True)
            case "flapping":
                self._flap(node.name, rng.choice(others), rng.randint(2, 8))
            case "storm":
                network.storm(rng.uniform(0.2, 2.0) * self._lease_s)
            case "mend the network":
                network.cuts.clear()
            case _:
                raise ValueError(kind)
        return True

    def leader(self) -> str:
        """The name of one that believes to lead; empty if there is none."""
        return next((name for name in self._names if self._nodes[name].leads), "")

    def _cut_bit_by_bit(self, leader: str, others: list[str]) -> None:
        if not leader or not others or self._over:
            return
        self._network.cut(leader, others[0], both=True)
        pause_s = self._world.rng.uniform(0.0, 0.8) * self._lease_s
        self._world.after(pause_s, self._cut_bit_by_bit, leader, others[1:])

    def _rotate(self, names: list[str], away: str | None) -> None:
        """Takes one after another away, and at the same moment gives back the one before."""
        if away is not None:
            self._network.mend(away)
        if not names or self._over:
            return
        rng = self._world.rng
        for other in self._names:
            self._network.cut(names[0], other, both=True)
        if self._rotated and rng.random() < 0.5:
            self.do(rng.choice(self._rotated), self._nodes[rng.choice(self._names)])
        hold_s = rng.uniform(0.1, rng.choice((0.5, 1.5, 4.0))) * self._lease_s
        self._world.after(hold_s, self._rotate, names[1:], names[0])

    def _flap(self, one: str, other: str, times: int) -> None:
        if times <= 0 or self._over:
            return
        if (one, other) in self._network.cuts:
            self._network.cuts -= {(one, other), (other, one)}
        else:
            self._network.cut(one, other, both=True)
        pause_s = self._world.rng.uniform(0.02, 0.5) * self._lease_s
        self._world.after(pause_s, self._flap, one, other, times - 1)

    def crash(self, node: Node) -> bool:
        if not node.up:
            return False
        node.crash()
        down_s = self._world.rng.choice((0.05, 0.05, 0.5, 3.0))
        self._world.after(self._world.rng.uniform(0.01, down_s), node.boot)
        return True

    def _make_room(self, disk: Disk) -> None:
        disk.full = False

    def _hand_over(self) -> bool:
        rng = self._world.rng
        to = rng.choice((None, rng.choice(self._names)))
        leaders = [node for name, node in self._nodes.items() if node.leads and name != to]
        return sum(leader.hand_over(to) for leader in leaders) > 0

    def unwhole(self) -> set[str]:
        """Nodes that do not have on disk all that they ever acknowledged, nor a snapshot instead."""
        return {name for name, node in self._nodes.items() if node.disk.fresh or node.disk.bad}

    def _spared(self, node: Node) -> bool:
        """Whether, with this one harmed, a majority of disks is whole."""
        return len(self.unwhole() | {node.name}) <= (len(self._names) - 1) // 2

    def _damage(self, node: Node) -> bool:
        if not node.disk.heads or not self._spared(node):
            return False
        rng = self._world.rng
        head = rng.choice(node.disk.heads if rng.random() < 0.5 else node.disk.heads[-2:])
        node.damage(head.position, found=rng.random() < 0.5)
        return True

    def _wipe(self, node: Node) -> bool:
        if not self._spared(node):
            return False
        if node.up:
            node.crash()
        number = int(node.disk.node_id.rpartition(".")[2]) + 1
        node.disk = Disk(f"{node.name}.{number}", fresh=True)
        self._world.after(self._world.rng.uniform(0.0, self._world.rng.choice((0.1, 3.0))), node.boot)
        return True
