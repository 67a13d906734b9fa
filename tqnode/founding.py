"""The very first start of a cluster, and how an empty node finds the one that it belongs to."""

import logging
import uuid
from pathlib import Path
from typing import Any, Final

from tqnode.clock import Clock, Rng
from tqnode.replication.entry import NOTHING
from tqnode.replication.node_db import Kept, NodeDb, OutOfOrder
from tqnode.replication.peers import CallFailed, CallRefused, Peers

STATE: Final = "state"
FOUND: Final = "found"
CALL_S: Final = 2.0
EVERY_S: Final = 0.2
SAID_EVERY_S: Final = 10.0

logger = logging.getLogger(__name__)


class FoundingError(Exception):
    """The cluster can't be founded; the text says why and what to do."""


def refuse_to_lose(database: Path) -> None:
    """Returns if a node of a cluster may begin in the folder of ``database``, which is not yet one's.

    Raises:
        FoundingError: it is the queue of a node without peers.
    """
    if database.exists():
        raise FoundingError(
            f"{database} is the queue of a node without peers, and a cluster begins empty: run it without "
            "peers and `tq export` its tasks, move the folder away, and `tq import` them into the cluster"
        )


def refuse_alone(node_db: Path) -> None:
    """Returns if a node without peers may write to the queue beside ``node_db``.

    Raises:
        FoundingError: it is a cluster's. What was written would be in no log, and the next of the log's pages
            would go into a database that is not theirs.
    """
    if node_db.exists():
        raise FoundingError(
            f"{node_db.parent} belongs to a node of a cluster: configure peers, or set another data_dir"
        )


class Founding:
    """Makes this node a member of a cluster: of a new one, or of the one that its peers belong to.

    Args:
        name: of this node.
        node_db: its disk.
        peers: all the other nodes.
        bootstrap: whether a person has said that a new cluster begins.
        clock: the node's clock.
        rng: makes the new cluster's id.
    """

    def __init__(
        self, name: str, *, node_db: NodeDb, peers: Peers, bootstrap: bool, clock: Clock, rng: Rng
    ) -> None:
        self._name = name
        self._node_db = node_db
        self._peers = peers
        self._bootstrap = bootstrap
        self._clock = clock
        self._rng = rng
        self._said = 0.0
        self.waits_for = ""
        """What stands in the way, for people; empty when nothing does."""

    async def on_call(self, name: str, payload: Any) -> Any:
        """Answers a peer's question, or does as it says.

        Raises:
            CallRefused: it is not to be done.
        """
        kept = await self._node_db.kept()
        if name == STATE:
            return {
                "cluster": kept.cluster_id or "",
                "begun": not is_untouched(kept),
                "bootstrap": self._bootstrap,
            }
        if name == FOUND:
            if not is_untouched(kept):
                raise CallRefused("this node's disk is not a new one")
            try:
                await self._node_db.found(str(payload))
            except OutOfOrder as error:
                raise CallRefused(str(error)) from error
            return None
        raise CallRefused(f"there is no call {name}")

    async def run(self) -> Kept:
        """Returns what the disk says, once the node belongs to a cluster.

        Raises:
            FoundingError: a new cluster was asked for, and there is one.
        """
        while True:
            kept = await self._node_db.kept()
            if self.cluster_of(kept):
                return kept
            if self._bootstrap:
                if await self._found():
                    return await self._node_db.kept()
            else:
                await self._join()
            self._say()
            await self._clock.sleep(EVERY_S)

    def cluster_of(self, kept: Kept) -> str:
        """The cluster that a node belongs to whose disk says ``kept``; empty while it is being founded.

        Peers that were told before would join it, as empty disks without a vote.
        """
        return "" if self._bootstrap and is_untouched(kept) else kept.cluster_id or ""

    async def _join(self) -> None:
        """Learns from the peers which cluster it is."""
        self.waits_for = "a peer that belongs to a cluster; start a new one with: tqnode run --bootstrap"
        for contact in self._peers.contacts().values():
            if contact.card is not None and contact.card.cluster_id:
                logger.info("this node joins cluster %s with an empty disk", contact.card.cluster_id)
                await self._node_db.join(contact.card.cluster_id)
                self.waits_for = ""
                return

    async def _found(self) -> bool:
        """Founds the cluster if all nodes are there and new; whether this node belongs to one now."""
        states: dict[str, dict[str, Any]] = {}
        for name in sorted(self._peers.contacts()):
            try:
                states[name] = await self._peers.call(name, STATE, None, timeout_s=CALL_S)
            except CallFailed as error:
                self.waits_for = f"all nodes must be there to begin a cluster, and {name} is not: {error}"
                return False
        kept = await self._node_db.kept()  # another one may have founded it meanwhile
        begun = [name for name, state in states.items() if state["begun"]]
        if kept.cluster_id and any(states[name]["cluster"] == kept.cluster_id for name in begun):
            return True
        if begun:
            raise FoundingError(
                f"{', '.join(begun)} belong to a cluster that has begun already: start this node without "
                "--bootstrap, and it joins"
            )
        if any(state["bootstrap"] and name < self._name for name, state in states.items()):
            self.waits_for = "another node that begins the cluster"
            return kept.cluster_id is not None
        cluster_id = kept.cluster_id or str(uuid.UUID(int=self._rng.bits(128), version=4))
        await self._node_db.found(cluster_id)
        for name in states:
            try:
                await self._peers.call(name, FOUND, cluster_id, timeout_s=CALL_S)
            except CallFailed as error:
                self.waits_for = f"{name} is to belong to the new cluster, and does not yet: {error}"
                return False
        logger.info("founded cluster %s", cluster_id)
        self.waits_for = ""
        return True

    def _say(self) -> None:
        now = self._clock.monotonic()
        if self.waits_for and now - self._said > SAID_EVERY_S:
            self._said = now
            logger.warning("waiting for %s", self.waits_for)


def is_untouched(kept: Kept) -> bool:
    """Whether nothing has ever happened on this disk: no vote, no entry."""
    return kept.row.term == 0 and not kept.heads and kept.applied == NOTHING
