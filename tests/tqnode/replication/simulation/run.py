"""One run: harm, then peace, then everything must be as promised."""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from tests.tqnode.replication.simulation.disk import Disk
from tests.tqnode.replication.simulation.faults import Faults
from tests.tqnode.replication.simulation.flaws import Flaws
from tests.tqnode.replication.simulation.judge import Judge, Violation
from tests.tqnode.replication.simulation.network import Network
from tests.tqnode.replication.simulation.node import Node
from tests.tqnode.replication.simulation.world import World
from tqnode.replication.state import Settings

LEASE_S = 1.0
HARM_S = 9.0
PEACE_S = 11.0
NEW_TERM_EVERY_S = 2.0
NAMES = "abcde"


class Outcome(NamedTuple):
    """What a run that kept all promises was like.

    Args:
        steps: of all cores.
        answered: operations.
        terms: the highest.
        faults: by kind.
    """

    steps: int
    answered: int
    terms: int
    faults: Counter[str]


def run(seed: int, *, flaws: Flaws | None = None, trace: Callable[[str], None] | None = None) -> Outcome:
    """Runs one seed.

    Args:
        seed: decides everything: how many nodes there are, what goes wrong, and when.
        flaws: what the nodes' drivers do wrong.
        trace: gets a line for each thing of interest.

    Raises:
        Violation: a promise was broken.
    """
    world = World(seed, trace)
    rng = world.rng
    count = rng.choice((3, 3, 5))
    names = NAMES[:count]
    judge = Judge(count)
    network = Network(
        world,
        loss=rng.choice((0.0, 0.02, 0.2)),
        repeats=rng.choice((0.0, 0.05)),
        slow=rng.choice((0.0, 0.02, 0.1, 0.3)),
    )
    witness = rng.choice((None, None, names[-1]))
    kept = rng.choice((5, 40, 1000))
    nodes = {
        name: Node(
            Settings(
                name=name,
                peers=frozenset(names) - {name},
                witness=name == witness,
                lease_ttl_s=LEASE_S,
                window_entries=rng.choice((4, 64)),
                kept_entries=kept,
                new_term_every_s=NEW_TERM_EVERY_S,
            ),
            Disk(f"{name}.0", fresh=False),
            world=world,
            network=network,
            judge=judge,
            flaws=flaws or Flaws(),
            rate=rng.uniform(0.99, 1.01),
            offset=rng.uniform(0, 1000),
        )
        for name in names
    }
    for node in nodes.values():
        node.others = nodes
        node.boot()
    faults = Faults(nodes, world, network)
    faults.start()
    clients = _Clients(world, nodes, judge, alone=not faults.clocks_stop)
    clients.start()
    world.run(HARM_S)
    faults.stop()
    world.run(HARM_S + PEACE_S - 2)
    clients.expect_progress()
    world.run(HARM_S + PEACE_S)
    clients.stop()
    world.run(HARM_S + PEACE_S + 2)
    judge.ends({node.name: node.disk.database for node in nodes.values() if not node.settings.witness})
    terms = max(node.state.term for node in nodes.values())
    return Outcome(world.steps, len(judge.acked), terms, faults.counts)


class _Clients:
    """Bring operations to whoever leads, and look whether it leads alone."""

    def __init__(self, world: World, nodes: dict[str, Node], judge: Judge, *, alone: bool) -> None:
        self._world = world
        self._nodes = nodes
        self._judge = judge
        self._alone = alone
        self._next = 1
        self._over = False
        self._every_s = world.rng.choice((0.02, 0.1, 0.4))

    def start(self) -> None:
        self._world.after(0.0, self._bring)

    def stop(self) -> None:
        self._over = True

    def _bring(self) -> None:
        if self._over:
            return
        leading = [name for name, node in self._nodes.items() if node.leads]
        if self._alone:
            self._judge.alone(leading)
        for node in self._nodes.values():
            node.write(self._next)
            self._next += 1
        self._world.after(self._world.rng.uniform(0, 2 * self._every_s), self._bring)

    def expect_progress(self) -> None:
        """All has been well for a while: operations must get through again."""
        before = len(self._judge.acked)

        def look() -> None:
            if len(self._judge.acked) == before:
                states = {
                    name: (node.state.role, node.state.term, node.state.fresh, node.state.last)
                    for name, node in self._nodes.items()
                }
                raise Violation(f"nothing gets done though all is well: {states}")

        self._world.after(1.9, look)
