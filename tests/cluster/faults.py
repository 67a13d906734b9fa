"""What can happen to nodes, each from its beginning to its end; then they have what they need to recover.

Each fault is a function of a :class:`Scene`; :data:`FAULTS` names them all. A fault may only touch its
victims: whoever picks them sees to it that the others are a majority.
"""

import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from tests.cluster.cluster import TTL_S, Cluster
from tests.cluster.failing_fsync import failing_fsync
from tests.cluster.member import PEER_PORT, Member, send
from tests.cluster.network import SWITCH

HOUR_S = 3600


@dataclass(frozen=True)
class Scene:
    """One fault's surroundings.

    Args:
        cluster: all nodes.
        victims: those it may touch.
        chance: for its choices.
    """

    cluster: Cluster
    victims: tuple[str, ...]
    chance: random.Random

    @property
    def members(self) -> list[Member]:
        return [self.cluster.members[name] for name in self.victims]

    @property
    def others(self) -> list[str]:
        return self.cluster.others(self.victims)

    def last(self, low_ttl: float, high_ttl: float) -> None:
        """Lets the fault last, for between so many times the lease."""
        self.cluster.pass_time(TTL_S * self.chance.uniform(low_ttl, high_ttl))


Fault = Callable[[Scene], None]


def kill_node(scene: Scene) -> None:
    """kill -9 of the node; its Litestream is left to whatever becomes of it."""
    for member in scene.members:
        member.kill()
    scene.last(0, 2)
    for member in scene.members:
        member.start()


def kill_litestream(scene: Scene) -> None:
    """kill -9 of Litestream, under a node that lives."""
    for member in scene.members:
        member.kill_litestream()


def kill_both(scene: Scene) -> None:
    """kill -9 of node and Litestream together: what a power cut is to programs."""
    for member in scene.members:
        member.kill_both()
    scene.last(0, 2)
    for member in scene.members:
        member.start()


def kill_starting(scene: Scene) -> None:
    """kill -9, and again while the node starts."""
    for member in scene.members:
        member.kill_both()
        member.start()
        scene.cluster.pass_time(scene.chance.uniform(0.1, 2.0))
        member.kill_both()
        member.start()


def pause(*, ttl: float, litestream: bool) -> Fault:
    """SIGSTOP of the node, with or without Litestream, for about so many times the lease."""

    def paused(scene: Scene) -> None:
        stopped = [pid for member in scene.members for pid in member.freeze(litestream=litestream)]
        scene.last(ttl, ttl * 1.1)
        send(stopped, signal.SIGCONT)

    return paused


@contextmanager
def _healed_afterwards(scene: Scene) -> Iterator[None]:
    try:
        yield
    finally:
        scene.cluster.net.heal()


def partition(scene: Scene) -> None:
    """Nothing between victims and the other nodes; clients reach all of them."""
    with _healed_afterwards(scene):
        scene.cluster.net.split(scene.victims, scene.others)
        scene.last(1, 4)


def isolation(scene: Scene) -> None:
    """Nothing between victims and anybody, clients too."""
    with _healed_afterwards(scene):
        scene.cluster.net.split(scene.victims, scene.others)
        scene.cluster.net.cut([SWITCH], scene.victims)
        scene.last(1, 4)


def deafness(scene: Scene) -> None:
    """Victims hear nothing from the other nodes, which hear them."""
    with _healed_afterwards(scene):
        scene.cluster.net.cut(scene.others, scene.victims)
        scene.last(1, 4)


def muteness(scene: Scene) -> None:
    """The other nodes hear nothing from victims, which hear them."""
    with _healed_afterwards(scene):
        scene.cluster.net.cut(scene.victims, scene.others)
        scene.last(1, 4)


def flapping(scene: Scene) -> None:
    """A partition that comes and goes, several times within a lease."""
    with _healed_afterwards(scene):
        for _ in range(scene.chance.randint(4, 10)):
            scene.cluster.net.split(scene.victims, scene.others)
            scene.last(0.05, 0.6)
            scene.cluster.net.heal()
            scene.last(0.05, 0.6)


def loss(scene: Scene) -> None:
    """A share of what reaches victims is dropped."""
    with _healed_afterwards(scene):
        for name in scene.victims:
            scene.cluster.net.lose(name, scene.chance.choice((5, 20, 40)))
        scene.last(2, 4)


def slowness(scene: Scene) -> None:
    """What victims and the other nodes say to each other takes its time."""
    with slow_links(scene, scene.chance.choice((20, 100, 400))):
        scene.last(2, 4)


@contextmanager
def slow_links(scene: Scene, delay_ms: int) -> Iterator[None]:
    """Slow links, both ways, between victims and the other nodes."""
    net = scene.cluster.net
    addresses = [f"{net.addresses[name]}:{PEER_PORT}" for name in scene.cluster.names]
    argv = [sys.executable, "-m", "tests.cluster.slow_link", str(delay_ms), str(delay_ms), *addresses]
    proxy = subprocess.Popen(
        net.switch.inside(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert proxy.stdout is not None
    through = dict(zip(scene.cluster.names, map(int, proxy.stdout.readline().split()), strict=True))
    sides = [(scene.victims, scene.others), (scene.others, scene.victims)]
    for side, other in sides:
        for name in side:
            net.detour(name, PEER_PORT, {to: through[to] for to in other})
    try:
        yield
    finally:
        for name in scene.cluster.names:
            net.end_detour(name)
        proxy.communicate(timeout=10)


def full_disk(scene: Scene) -> None:
    """Not a byte is free on victims' disks, for a while; they are not to end for it."""
    for member in scene.members:
        member.fill_disk()
    scene.last(2, 4)
    for member in scene.members:
        member.free_disk()


def clock_step(scene: Scene) -> None:
    """Victims' wall clocks jump by an hour, and back."""
    for member in scene.members:
        member.set_clock(scene.chance.choice((-HOUR_S, HOUR_S)))
    scene.last(2, 4)
    for member in scene.members:
        member.set_clock(0)


def lose_power(scene: Scene) -> None:
    """Programs end and disks forget, at the same moment, what was not fsynced; at times only most of it."""
    for member in scene.members:
        member.cut_power(surviving=scene.chance.choice((0.0, 0.0, 0.5, 0.9)))
    scene.last(0, 1)
    for member in scene.members:
        member.start()


def wipe(scene: Scene) -> None:
    """A new disk: the node comes back with nothing."""
    for member in scene.members:
        member.kill_both()
        member.wipe()
    scene.last(0, 1)
    for member in scene.members:
        member.start()


def restart(scene: Scene) -> None:
    """SIGTERM and a new start, as an upgrade does it."""
    for member in scene.members:
        member.terminate()
    for member in scene.members:
        member.wait()
        member.start()


def rolling_restart(scene: Scene) -> None:
    """SIGTERM and a new start of every node, one after another, each when the one before counts again."""
    for member in scene.cluster.members.values():
        member.terminate()
        member.wait()
        member.start()
        scene.cluster.wait_until_whole(scene.cluster.names)


def failed_fsync(scene: Scene) -> None:
    """Victims' disks fail to fsync: they have to end, and are started on a disk that works."""
    for member in scene.members:
        with failing_fsync(member.pid, member.folder / "strace"):
            code = member.wait()
        assert code == 1, f"{member.name} ended with {code} after a failed fsync:\n{member.log[-2000:]}"
        member.start()


def hand_over(scene: Scene) -> None:
    """Leadership is moved away from whoever has it, to a node of the cluster's choice."""
    leader = scene.cluster.leader()
    if leader is None:
        return
    answer = httpx.post(f"{leader.url}/v1/cluster/handover", json={"to": None}, timeout=10)
    # Whether it is done or refused for now: who leads is asked afterwards.
    assert answer.status_code < 500 or answer.status_code in (503, 504), answer.text


FAULTS: dict[str, Fault] = {
    "kill node": kill_node,
    "kill litestream": kill_litestream,
    "kill both": kill_both,
    "kill starting": kill_starting,
    "pause 1x": pause(ttl=1, litestream=False),
    "pause 3x": pause(ttl=3, litestream=False),
    "pause both 1x": pause(ttl=1, litestream=True),
    "pause both 3x": pause(ttl=3, litestream=True),
    "partition": partition,
    "isolation": isolation,
    "deafness": deafness,
    "muteness": muteness,
    "flapping": flapping,
    "loss": loss,
    "slowness": slowness,
    "full disk": full_disk,
    "clock step": clock_step,
    "wipe": wipe,
    "restart": restart,
    "rolling restart": rolling_restart,
    "failed fsync": failed_fsync,
    "hand-over": hand_over,
    "power loss": lose_power,
}


def fitting(cluster: Cluster) -> list[str]:
    """The kinds of faults that these nodes can meet."""
    left_out = {"full disk"} if cluster.shape.power else {"power loss"}
    if len(cluster.names) == 1:
        left_out |= {
            "partition",
            "deafness",
            "muteness",
            "flapping",
            "slowness",
            "wipe",
            "hand-over",
            "rolling restart",
        }
    return [kind for kind in FAULTS if kind not in left_out]
