"""The nodes of a cluster under test together: start, who leads, whether a node is whole, and their end."""

import json
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.cluster.member import Member, Shape
from tests.cluster.namespaces import own_mounts
from tests.cluster.network import Network, network
from tests.waiting import eventually

TTL_S: Final = 2.0
"""The lease's default."""
LEADER_S: Final = 60.0
WHOLE_S: Final = 90.0


class Cluster:
    """Some nodes on one network.

    Args:
        net: where they are.
        folder: for their files.
        shape: what they have in common.
    """

    def __init__(self, net: Network, folder: Path, shape: Shape) -> None:
        self.net = net
        self.shape = shape
        self.members = {name: Member(net, folder, name, shape) for name in shape.names}
        self._calm = threading.Event()

    @property
    def names(self) -> list[str]:
        return list(self.members)

    @property
    def urls(self) -> list[str]:
        return [member.url for member in self.members.values()]

    @property
    def minority(self) -> int:
        """The most nodes that may be unwell while the others keep every promise."""
        return (len(self.members) - 1) // 2

    def others(self, names: Iterable[str]) -> list[str]:
        left_out = set(names)
        return [name for name in self.members if name not in left_out]

    def start(self) -> None:
        """The very first start; returns when a leader takes writes and all others follow it."""
        for member in self.members.values():
            member.start(*(["--bootstrap"] if len(self.members) > 1 else []))
        self.wait_for_leader()
        self.wait_until_whole(self.names)

    def status(self) -> dict[str, Any] | None:
        """The cluster as the leader of the highest term describes it; None if no node says it leads."""
        found: dict[str, Any] | None = None
        for member in self.members.values():
            said = member.says("/v1/cluster") if member.runs and member.leads else None
            if said is not None and (found is None or said["term"] > found["term"]):
                found = said
        return found

    def leader(self) -> Member | None:
        """The node that leads, as far as it can be known from outside."""
        if len(self.members) == 1:
            (only,) = self.members.values()
            return only if only.leads else None
        said = self.status()
        return self.members.get(str(said["leader"])) if said else None

    def wait_for_leader(self, *, among: Iterable[str] = (), within_s: float = LEADER_S) -> Member:
        """The leader, once there is one; with ``among``, once it is one of those."""
        wanted = set(among)

        def found() -> Member | None:
            leader = self.leader()
            return leader if leader and (not wanted or leader.name in wanted) else None

        leader = eventually(found, within_s=within_s, every_s=0.05)
        assert leader is not None
        return leader

    def unwell(self, names: Iterable[str]) -> list[str]:
        """Which of ``names`` do not count: not running, not ready, or not in the leader's term."""
        said = self.status() if len(self.members) > 1 else None
        return [name for name in names if not self._counts(name, said)]

    def _counts(self, name: str, said: dict[str, Any] | None) -> bool:
        """Whether a node counts, by its own word and the leader's."""
        member = self.members[name]
        if not member.runs or not member.ready:
            return False
        if len(self.members) == 1:
            return True
        if said is None:
            return False
        # A node that came back with an empty disk is joining until a term admits it.
        (node,) = (node for node in said["nodes"] if node["name"] == name)
        placed = node.get("last") is not None and node["last"]["term"] == said["term"]
        return node["role"] in ("leader", "standby") and placed

    def wait_until_whole(self, names: Sequence[str], *, within_s: float = WHOLE_S) -> None:
        """Returns when all of ``names`` count again.

        Raises:
            AssertionError: they do not in time.
            RuntimeError: one of them has ended.
        """
        unwell: list[str] = list(names)

        def whole() -> bool:
            nonlocal unwell
            for name in names:
                member = self.members[name]
                if not member.runs:
                    raise RuntimeError(f"{name} ended by itself:\n{member.log[-4000:]}")
            unwell = self.unwell(names)
            return not unwell

        try:
            eventually(whole, within_s=within_s, every_s=0.1)
        except AssertionError as error:
            said = json.dumps(self.status(), indent=1)
            raise AssertionError(f"{', '.join(unwell)} not whole within {within_s} s: {said}") from error

    def wait_until_applied(self, *, within_s: float = WHOLE_S) -> None:
        """Returns when every node's database is where the leader's log ends; nobody may write meanwhile."""

        def applied() -> bool:
            said = self.status()
            if said is None or self.unwell(self.names):
                return False
            (leader,) = (node for node in said["nodes"] if node["name"] == said["leader"])
            return all(node["applied"] == leader["last"] for node in said["nodes"])

        if len(self.members) > 1:
            eventually(applied, within_s=within_s, every_s=0.1)

    def pass_time(self, seconds: float) -> None:
        """Lets a fault last: how long is part of the fault, not a wait for something."""
        self._calm.wait(seconds)

    def end(self) -> None:
        for member in self.members.values():
            member.end()


@contextmanager
def cluster(folder: Path, shape: Shape) -> Iterator[Cluster]:
    """A cluster that was not started yet, this thread among its clients; all of it goes with the block."""
    with own_mounts(), network(shape.names) as net:
        made = Cluster(net, folder, shape)
        try:
            yield made
        finally:
            made.end()


def now() -> float:
    """The clock that histories are written by."""
    return time.monotonic()
