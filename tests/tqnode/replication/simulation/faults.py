"""When a simulated cluster is harmed, and how: at any time, and at the moments when it hurts most."""

from collections import Counter

from tests.tqnode.replication.simulation.harm import Harm
from tests.tqnode.replication.simulation.network import Network
from tests.tqnode.replication.simulation.node import Node
from tests.tqnode.replication.simulation.world import World
from tqnode.replication import effects as do

KINDS = {
    "crash": 6,
    "power failure": 1,
    "pause": 3,
    "machine stands still": 1,
    "cut both ways": 3,
    "cut one way": 3,
    "cut off": 2,
    "cut off leader": 3,
    "cut off leader bit by bit": 2,
    "cut off leader alone": 2,
    "rotation": 3,
    "split": 2,
    "flapping": 2,
    "storm": 1,
    "mend the network": 7,
    "hand-over": 3,
    "log writer fails": 1,
    "slow disk": 2,
    "full disk": 1,
    "damage": 2,
    "wipe": 3,
    "last copies at stake": 2,
}
"""Each kind's weight; a run leaves some of them out."""

MOMENTS = (
    *("Ask", "Vote", "Append", "Appended", "Lead", "Serve", "Committed", "StepDown"),
    *("SaveRow", "Store", "Mend", "admission"),
)
"""What a node is about to do when it, or the one it talks to, is harmed."""

AT_ONCE = (
    *("crash", "pause", "machine stands still", "slow disk", "wipe", "damage"),
    *("cut both ways", "cut one way", "cut off", "cut off leader", "cut off leader alone", "split"),
)
"""What is done at such a moment."""


class Faults:
    """Does harm until it is told to stop.

    Args:
        nodes: by name.
        world: time and chance.
        network: between them.
    """

    def __init__(self, nodes: dict[str, Node], world: World, network: Network) -> None:
        self._nodes = nodes
        self._names = sorted(nodes)
        self._world = world
        self._network = network
        rng = world.rng
        share = rng.choice((0.3, 0.6, 0.9))
        kinds = {kind: weight for kind, weight in KINDS.items() if rng.random() < share} or dict(KINDS)
        if "machine stands still" in kinds:
            # Together with a lost disk, that is the one case that DESIGN.md excepts ("Where time matters").
            spared = rng.choice(({"machine stands still"}, {"wipe", "last copies at stake"}))
            kinds = {kind: weight for kind, weight in kinds.items() if kind not in spared}
            kinds = kinds or {"crash": 1}
        self._harm = Harm(nodes, world, network, kinds)
        self._kinds, self._weights = list(kinds), list(kinds.values())
        self._every_s = rng.choice((0.1, 0.3, 0.8, 2.0))
        self._at_a_time = rng.choice((1, 1, 2, 3))
        self.clocks_run = "machine stands still" not in kinds
        self.counts: Counter[str] = Counter()
        self._over = False
        moments = rng.sample(MOMENTS, rng.choice((0, 1, 1, 2, 3)))
        self._moments = {moment: rng.choice((0.01, 0.05, 0.3)) for moment in moments}
        self._at_once = [kind for kind in AT_ONCE if kind in kinds]
        if (self._moments and self._at_once) or "last copies at stake" in kinds:
            for node in nodes.values():
                node.moment = self._moment

    def start(self) -> None:
        self._world.after(self._world.rng.uniform(0.2, 1.5), self._strike)

    def stop(self) -> None:
        """All is well from now on: everybody is up, but for a minority at times, reachable and has room."""
        self._over = True
        self._harm.stop()
        self._network.heal()
        rng = self._world.rng
        spare = (len(self._names) - 1) // 2 - len(self._harm.unwhole())
        absent = set()
        if spare > 0 and rng.random() < 0.3:
            absent = set(rng.sample(self._names, rng.randint(1, spare))) - self._harm.unwhole()
        for name in self._names:
            node = self._nodes[name]
            node.moment = None
            node.disk.full = False
            node.stalled_until = node.paused_until = min(node.paused_until, self._world.now)
            if name in absent:
                node.barred = True
                if node.up:
                    node.crash()
            else:
                self._world.after(0.0, node.boot)

    def _strike(self) -> None:
        if self._over:
            return
        rng = self._world.rng
        for kind in rng.choices(self._kinds, self._weights, k=rng.randint(1, self._at_a_time)):
            self._do(kind, self._nodes[rng.choice(self._names)], kind)
        pause_s = rng.uniform(0, 2 * self._every_s)
        if self._harm.stake.is_under_way:
            pause_s += rng.uniform(0.0, 5.0)
        self._world.after(pause_s, self._strike)

    def _do(self, kind: str, node: Node, told: str) -> None:
        self._world.note(node.name, f"FAULT {told}")
        if self._harm.do(kind, node):
            self.counts[told] += 1

    def _moment(self, node: Node, effect: do.Effect) -> None:
        what: object = effect.message if isinstance(effect, do.Send) else effect
        moment = type(what).__name__
        if isinstance(what, do.SaveRow) and node.disk.fresh and not what.fresh:
            moment = "admission"
            if self._harm.stake.admitted(node, self._harm.leader()):
                self.counts["leader gone at an admission"] += 1
        likely = self._moments.get(moment)
        if likely is None or not self._at_once:
            return
        rng = self._world.rng
        if moment == "Append" and not getattr(what, "heads", ()):
            likely /= 20
        if rng.random() >= likely:
            return
        other = effect.to if isinstance(effect, do.Send) else rng.choice(self._names)
        struck = self._nodes[rng.choice((node.name, other))]
        delay_s = rng.choice((0.0, 0.0, 0.01, 0.1))
        kind = rng.choice(self._at_once)
        told = f"{kind} at {moment}"
        if delay_s:
            self._world.after(delay_s, self._later, kind, struck, told)
        else:
            self._do(kind, struck, told)

    def _later(self, kind: str, node: Node, told: str) -> None:
        if not self._over:
            self._do(kind, node, told)
