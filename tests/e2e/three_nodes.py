"""Three real nodes on loopback that are one cluster, for the tests of what their clients see."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import tq
from tests.e2e.processes import NodeProcess
from tests.waiting import eventually
from tq.errors import TqError
from tq.wire import Cluster

NAMES = ("a", "b", "c")
WHOLE_S = 60.0
# Below those that the kernel gives to outgoing connections: a node keeps its port while it does not run.
PORTS = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nothing uses, other ones in each process of tests."""
    first = os.getpid() * 37 % len(PORTS)
    found: list[int] = []
    for port in (*PORTS[first:], *PORTS[:first]):
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"fewer than {count} ports are free")


class ThreeNodes:
    """The nodes by name; the constructor returns once one leads and the others have all it has.

    Args:
        folder: for the files of all.
        flags_of: gives more flags of the node of a name.
    """

    def __init__(self, folder: Path, flags_of: Callable[[str], list[str]] = lambda _name: []) -> None:
        ports = free_ports(2 * len(NAMES))
        peers = ",".join(f"{name}=127.0.0.1:{port}" for name, port in zip(NAMES, ports, strict=False))
        self.nodes: dict[str, NodeProcess] = {}
        try:
            for name, port in zip(NAMES, ports[len(NAMES) :], strict=True):
                flags = ["--litestream", "auto", "--name", name, "--peers", peers]
                flags += ["--listen", f"127.0.0.1:{port}", *flags_of(name)]
                (folder / name).mkdir()
                if name == NAMES[0]:
                    flags.append("--bootstrap")
                self.nodes[name] = NodeProcess(folder / name, flags)
            self.make_whole()
        except BaseException:
            self.end()
            raise

    @property
    def urls(self) -> list[str]:
        return [node.url for node in self.nodes.values()]

    def leader(self) -> str:
        """The name of the node that leads, once all that run agree on it."""
        return eventually(self._agreed, within_s=WHOLE_S, ignoring=(TqError,))

    def kill_leader(self) -> str:
        """Kills it with SIGKILL; returns its name."""
        name = self.leader()
        self.nodes[name].kill()
        return name

    def make_whole(self) -> None:
        """Starts what does not run, and waits until every node has all that the leader has."""
        for node in self.nodes.values():
            if node.process.poll() is not None:
                node.restart()
        eventually(self._whole, within_s=WHOLE_S, ignoring=(TqError,))

    def end(self) -> None:
        """Whatever state they are in: afterwards they do not run."""
        for node in self.nodes.values():
            node.end()

    def _asked(self, node: NodeProcess) -> Cluster:
        with tq.Client(node.url, timeout_s=5.0, retries=0) as client:
            return client.cluster()

    def _agreed(self) -> str:
        running = [node for node in self.nodes.values() if node.process.poll() is None]
        leaders = {self._asked(node).leader for node in running}
        assert len(leaders) == 1, leaders
        leader = leaders.pop()
        assert leader is not None
        assert self.nodes[leader] in running
        return leader

    def _whole(self) -> bool:
        for node in self.nodes.values():
            if node.process.poll() is not None:
                raise RuntimeError(f"tqnode ended with {node.process.returncode}:\n{node.log}")
        leader = self.nodes[self._agreed()]
        found = self._asked(leader).nodes
        assert {node.role for node in found} == {"leader", "standby"}, found
        assert all(node.last == found[0].last for node in found), found
        return len(found) == len(NAMES)


@contextlib.contextmanager
def three_nodes(
    folder: Path, flags_of: Callable[[str], list[str]] = lambda _name: []
) -> Iterator[ThreeNodes]:
    """A cluster for the length of a ``with`` block."""
    cluster = ThreeNodes(folder, flags_of)
    try:
        yield cluster
    finally:
        cluster.end()
