"""Takes the majority away and brings it back: nothing may be acknowledged meanwhile, nor lost by it."""

import random
import signal
from collections.abc import Callable
from dataclasses import dataclass

from tests.cluster.cluster import TTL_S, Cluster, now
from tests.cluster.member import send
from tests.cluster.records import MAJORITY, FaultRecord

LEFT = 1
"""How many nodes are left to themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A time without a majority.

    Args:
        way: how it was taken away.
        victims: the nodes it was done to.
        leader: who led before.
        began, ended: no two nodes could work together between the two; monotonic seconds.
        whole: all nodes counted again.
    """

    way: str
    victims: tuple[str, ...]
    leader: str
    began: float
    ended: float
    whole: float

    def as_fault(self) -> FaultRecord:
        """For the report, and for what a fault excuses."""
        return FaultRecord(
            kind=MAJORITY + self.way,
            victims=list(self.victims),
            leader=self.leader,
            began=self.began,
            ended=self.whole,
        )


Restore = Callable[[], None]
Loss = Callable[[Cluster, tuple[str, ...]], Restore]


def killed(nodes: Cluster, victims: tuple[str, ...]) -> Restore:
    """kill -9 of a majority, Litestream included."""
    for name in victims:
        nodes.members[name].kill_both()

    def restore() -> None:
        for name in victims:
            nodes.members[name].start()

    return restore


def paused(nodes: Cluster, victims: tuple[str, ...]) -> Restore:
    """SIGSTOP of a majority."""
    stopped = [pid for name in victims for pid in nodes.members[name].freeze(litestream=True)]
    return lambda: send(stopped, signal.SIGCONT)


def scattered(nodes: Cluster, victims: tuple[str, ...]) -> Restore:
    """Every node alone; clients reach all of them."""
    for name in nodes.names:
        nodes.net.cut(nodes.others([name]), [name])
    return nodes.net.heal


def powerless(nodes: Cluster, victims: tuple[str, ...]) -> Restore:
    """Every node loses its power at once; victims or not, none keeps what was not fsynced."""
    for member in nodes.members.values():
        member.cut_power(surviving=0.0)

    def restore() -> None:
        for member in nodes.members.values():
            member.start()

    return restore


LOSSES: dict[str, Loss] = {
    "killed": killed,
    "scattered": scattered,
    "paused": paused,
    "powerless": powerless,
}


def fitting(nodes: Cluster) -> list[str]:
    """The ways in which these nodes can lose their majority."""
    if len(nodes.names) == 1:
        return ["powerless"] if nodes.shape.power else []
    return [way for way in LOSSES if way != "powerless" or nodes.shape.power]


def lose_majority(nodes: Cluster, way: str, chance: random.Random, say: Callable[[str], None]) -> Window:
    """Takes the majority away for a few leases, and returns when all nodes count again.

    Args:
        nodes: all whole.
        way: one of :data:`LOSSES`.
        chance: for victims and duration; the leader may be among them or be the one that is left.
        say: told when it begins.
    """
    leader = nodes.leader()
    victims = tuple(chance.sample(nodes.names, len(nodes.names) - min(LEFT, nodes.minority)))
    say(f"majority {way}: {', '.join(victims)}; leader {leader.name if leader else 'unknown'}")
    restore = LOSSES[way](nodes, victims)
    began = now()
    nodes.pass_time(TTL_S * chance.uniform(1.5, 3.0))
    ended = now()
    restore()
    nodes.wait_for_leader()
    nodes.wait_until_whole(nodes.names)
    return Window(
        way=way,
        victims=victims,
        leader=leader.name if leader else "",
        began=began,
        ended=ended,
        whole=now(),
    )
