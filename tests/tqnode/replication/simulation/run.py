"""One run: harm, then peace, then everything must be as promised."""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from tests.tqnode.replication.simulation.clients import Clients
from tests.tqnode.replication.simulation.disk import Disk
from tests.tqnode.replication.simulation.faults import Faults
from tests.tqnode.replication.simulation.flaws import Flaws
from tests.tqnode.replication.simulation.judge import Judge, Violation
from tests.tqnode.replication.simulation.network import Network
from tests.tqnode.replication.simulation.node import Node
from tests.tqnode.replication.simulation.world import World
from tqnode.replication.state import Settings

LEASE_S = 1.0
PEACE_S = 12.0
"""Within so long operations get through again; and within so long again, all nodes have the same."""
CATCH_UP_S = 0.25
"""What one more entry in the log adds to the latter."""
LOOK_EVERY_S = 0.2
NEW_OPERATIONS = 3
NEW_TERM_EVERY_S = 2.0
NAMES = "abcde"


class Outcome(NamedTuple):
    """What a run that kept all promises was like.

    Args:
        steps: of all cores.
        answered: operations.
        terms: the highest.
        shared_leases: how often two nodes were seen to believe that they lead; a clock had stood still.
        faults: by kind.
    """

    steps: int
    answered: int
    terms: int
    shared_leases: int
    faults: Counter[str]


def run(
    seed: int,
    *,
    flaws: Flaws | None = None,
    trace: Callable[[str], None] | None = None,
    nodes: int | None = None,
) -> Outcome:
    """Runs one seed.

    Args:
        seed: decides everything: how many nodes there are, what goes wrong, and when.
        flaws: what the nodes' drivers do wrong.
        trace: gets a line for each thing of interest.
        nodes: how many there are; None leaves it to the seed.

    Raises:
        Violation: a promise was broken.
    """
    world = World(seed, trace)
    rng = world.rng
    drawn = rng.choice((3, 3, 5))
    count = nodes or drawn
    judge = Judge(count)
    network = Network(
        world,
        loss=rng.choice((0.0, 0.02, 0.2)),
        repeats=rng.choice((0.0, 0.05)),
        slow=rng.choice((0.0, 0.02, 0.1, 0.3)),
        fast_s=rng.choice((0.004, 0.01, 0.05)),
    )
    cluster = _cluster(world, network, judge, flaws or Flaws(), NAMES[:count])
    faults = Faults(cluster, world, network)
    judge.clocks_run = faults.clocks_run
    faults.start()
    clients = Clients(world, cluster, judge)
    clients.start()
    world.run(rng.choice((3.0, 6.0, 10.0)) * LEASE_S)
    world.note("-", "PEACE")
    faults.stop()
    clients.hurry()
    before = len(judge.acked)
    if not _wait(world, lambda: len(judge.acked) >= before + NEW_OPERATIONS):
        raise Violation(f"nothing gets done though all is well: {_told(cluster)}")
    clients.stop()
    # What is lacking may come one entry at a time, each by messages that take their time.
    entries = max(node.disk.last.txid for node in cluster.values())
    if not _wait(world, lambda: _agree(cluster), longer_s=CATCH_UP_S * entries):
        raise Violation(f"no agreement though all is well: {_told(cluster)}")
    judge.ends({name: node.disk.database for name, node in cluster.items() if _has_database(node)})
    terms = max(node.state.term for node in cluster.values() if node.up)
    return Outcome(world.steps, len(judge.acked), terms, judge.shared_leases, faults.counts)


def _cluster(world: World, network: Network, judge: Judge, flaws: Flaws, names: str) -> dict[str, Node]:
    """Nodes that have just started, most of them on disks that begin the cluster."""
    rng = world.rng
    witness = rng.choice((None, None, names[-1]))
    newcomer = rng.choice((None, None, None, names[0]))
    kept = rng.choice((5, 40, 1000))
    nodes = {
        name: Node(
            Settings(
                name=name,
                peers=frozenset(names) - {name},
                witness=name == witness,
                lease_ttl_s=LEASE_S,
                window_entries=rng.choice((1, 4, 64)),
                kept_entries=kept,
                new_term_every_s=NEW_TERM_EVERY_S,
            ),
            Disk(f"{name}.0", fresh=name == newcomer),
            world=world,
            network=network,
            judge=judge,
            flaws=flaws,
            rate=rng.uniform(0.99, 1.01),
            offset=rng.uniform(0, 1000),
        )
        for name in names
    }
    for node in nodes.values():
        node.others = nodes
        node.boot()
    return nodes


def _wait(world: World, done: Callable[[], bool], *, longer_s: float = 0.0) -> bool:
    """Lets time pass until it is done, or it takes too long."""
    until = world.now + PEACE_S * LEASE_S + longer_s
    while world.now < until:
        if done():
            return True
        world.run(world.now + LOOK_EVERY_S * LEASE_S)
    return done()


def _has_database(node: Node) -> bool:
    return not node.barred and not node.settings.witness


def _agree(cluster: dict[str, Node]) -> bool:
    """One leads, all follow it, all disks count, and all databases are the same."""
    present = [node for node in cluster.values() if not node.barred]
    leaders = [node.name for node in present if node.leads and node.state.serving]
    return (
        len(leaders) == 1
        and all(node.up and node.state.leader == leaders[0] and not node.state.fresh for node in present)
        and len({node.state.committed for node in present}) == 1
        and len({tuple(node.disk.database) for node in present if _has_database(node)}) == 1
    )


def _told(cluster: dict[str, Node]) -> str:
    return "; ".join(
        f"{name} is down"
        if not node.up
        else f"{name} {node.state.role} of {node.state.term} after {node.state.leader}"
        f"{' fresh' * node.state.fresh} has {node.state.last} holes {sorted(node.state.holes)}"
        f" applied {node.disk.applied} committed {node.state.committed} database {len(node.disk.database)}"
        for name, node in cluster.items()
    )
