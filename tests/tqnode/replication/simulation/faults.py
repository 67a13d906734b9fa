"""What goes wrong in a run, and how often; at most what a majority of disks survives."""

from collections import Counter

from tests.tqnode.replication.simulation.disk import Disk
from tests.tqnode.replication.simulation.network import Network
from tests.tqnode.replication.simulation.node import Node
from tests.tqnode.replication.simulation.world import World
from tqnode.replication.entry import Position

KINDS = {
    "crash": 6,
    "pause": 2,
    "machine stands still": 1,
    "cut both ways": 3,
    "cut one way": 3,
    "cut off leader": 2,
    "mend the network": 6,
    "hand-over": 3,
    "cannot lead": 1,
    "slow disk": 2,
    "full disk": 1,
    "damage": 1,
    "wipe": 2,
}
"""Each kind's weight; a run leaves some of them out."""


class Faults:
    """Does harm until it is told to stop.

    Args:
        nodes: by name.
        world: time and chance.
        network: between them.
    """

    def __init__(self, nodes: dict[str, Node], world: World, network: Network) -> None:
        self._nodes = nodes
        self._world = world
        self._network = network
        rng = world.rng
        self._kinds = {kind: weight for kind, weight in KINDS.items() if rng.random() < 0.7} or KINDS
        self._every_s = rng.choice((0.1, 0.3, 0.8, 2.0))
        self._wiped: set[str] = set()
        self.counts: Counter[str] = Counter()
        self._over = False
        self.clocks_stop = "machine stands still" in self._kinds
        for node in nodes.values():
            node.breaks = rng.random() < 0.5

    def start(self) -> None:
        self._world.after(self._world.rng.uniform(0.5, 2.0), self._harm)

    def stop(self) -> None:
        """All is well from now on: everybody is up, reachable and has room."""
        self._over = True
        self._network.heal()
        for node in self._nodes.values():
            node.breaks = False
            node.disk.full = False
            self._world.after(0.0, node.boot)

    def _harm(self) -> None:
        if self._over:
            return
        rng = self._world.rng
        kind = rng.choices(list(self._kinds), list(self._kinds.values()))[0]
        node = self._nodes[rng.choice(sorted(self._nodes))]
        if self._do(kind, node):
            self.counts[kind] += 1
            self._world.note(node.name, f"FAULT {kind}")
        self._world.after(rng.uniform(0, 2 * self._every_s), self._harm)

    def _do(self, kind: str, node: Node) -> bool:
        rng, now, lease_s = self._world.rng, self._world.now, node.settings.lease_ttl_s
        match kind:
            case "crash":
                return self._crash(node)
            case "pause":
                node.paused_until = max(node.paused_until, now + rng.choice((0.3, 1.0, 3.0)) * lease_s)
            case "machine stands still":
                if now < node.paused_until:
                    return False
                node.freeze_clock(rng.choice((0.3, 1.0, 3.0)) * lease_s)
            case "cut both ways" | "cut one way":
                self._cut(node.name, rng.choice(sorted(self._nodes)), both=kind == "cut both ways")
            case "cut off leader":
                leaders = [other for other in self._nodes.values() if other.leads]
                for other in self._nodes if leaders else ():
                    self._cut(leaders[0].name, other, both=True)
                return bool(leaders)
            case "mend the network":
                self._network.cuts.clear()
            case "hand-over":
                leaders = [
                    other for other in self._nodes.values() if other.leads and now >= other.paused_until
                ]
                for leader in leaders:
                    leader.hand_over()
                return bool(leaders)
            case "slow disk":
                node.stalled_until = now + rng.uniform(0.2, 2.0) * lease_s
            case "full disk":
                node.disk.full = True
                self._world.after(rng.uniform(0.2, 3.0), lambda: self._make_room(node.disk))
            case "cannot lead":
                return node.cannot_lead()
            case "damage":
                return self._damage(node)
            case "wipe":
                return self._wipe(node)
        return True

    def _cut(self, one: str, other: str, *, both: bool) -> None:
        self._network.cuts.add((one, other))
        if both:
            self._network.cuts.add((other, one))

    def _crash(self, node: Node) -> bool:
        if not node.up:
            return False
        node.crash()
        down_s = self._world.rng.choice((0.05, 0.5, 3.0))
        self._world.after(self._world.rng.uniform(0.01, down_s), node.boot)
        return True

    def _make_room(self, disk: Disk) -> None:
        disk.full = False

    def _spared(self, node: Node) -> bool:
        """Whether the others' disks are whole, but for as many as a majority survives with this one."""
        harmed = {
            other.name
            for other in self._nodes.values()
            if other.disk.fresh or other.disk.bad or other.name in self._wiped
        }
        return len(harmed | {node.name}) <= (len(self._nodes) - 1) // 2

    def _damage(self, node: Node) -> bool:
        if not node.disk.heads or not self._spared(node):
            return False
        position: Position = self._world.rng.choice(node.disk.heads).position
        node.damage(position)
        return True

    def _wipe(self, node: Node) -> bool:
        if not self._spared(node):
            return False
        node.crash()
        number = int(node.disk.node_id.rpartition(".")[2]) + 1
        node.disk = Disk(f"{node.name}.{number}", fresh=True)
        self._wiped.add(node.name)

        def back() -> None:
            self._wiped.discard(node.name)
            node.boot()

        self._world.after(self._world.rng.uniform(0.0, 3.0), back)
        return True
