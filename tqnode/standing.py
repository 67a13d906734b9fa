"""How the cluster's nodes stand, for people: what each says of itself, put side by side."""

import asyncio
from importlib import metadata
from typing import Any, Final

import msgspec

from tq import wire
from tqnode.clock import Clock
from tqnode.config import Config
from tqnode.metrics import ClusterMetrics
from tqnode.replication.entry import NOTHING, Position
from tqnode.replication.peers import CallFailed, Contact, Peers
from tqnode.replication.replica import Replica
from tqnode.replication.standby import AHEAD

STATUS: Final = "status"
CALL_S: Final = 1.0
COUNT_EVERY_S: Final = 0.5


class Standing:
    """Asks, and answers when asked.

    Args:
        config: of the node.
        url: where clients reach it.
        peers: the other nodes.
        clock: the node's clock.
    """

    def __init__(self, config: Config, *, url: str, peers: Peers, clock: Clock) -> None:
        self._config = config
        self._url = url
        self._peers = peers
        self._clock = clock

    async def count(self, replica: Replica, metrics: ClusterMetrics) -> None:
        """Keeps the figures of the cluster up to date, until cancelled."""
        led = (0, "")
        while True:
            state = replica.state
            leader = self._config.name if replica.leads else state.leader
            metrics.has_leader.set(leader is not None)
            metrics.leads.set(replica.leads)
            metrics.row_term.set(state.term)
            if leader is not None and (state.term, leader) != led:
                led = (state.term, leader)
                metrics.leader_changes.inc()
            metrics.lag.clear()
            for name, progress in state.peers.items():
                metrics.lag.labels(name).set(state.heads.last - progress.stored)
            for name, contact in self._peers.contacts().items():
                metrics.connected.labels(name).set(contact.connected)
            for reason, count in self._peers.refusals().items():
                metrics.refusals.labels(reason).set(count)
            await self._clock.sleep(COUNT_EVERY_S)

    def own(self, replica: Replica | None) -> dict[str, Any]:
        """What this node says of itself to a peer."""
        serving = replica is not None and replica.leads and replica.state.serving
        node = self._myself(replica)
        leader = replica.state.leader if replica is not None else None
        return {"node": msgspec.to_builtins(node), "serving": serving, "leader": leader}

    async def cluster(self, replica: Replica | None) -> wire.Cluster:
        """All nodes, in the order of their names."""
        contacts = self._peers.contacts()
        answers = await asyncio.gather(*(self._ask(name) for name in contacts))
        nodes = [self._myself(replica)]
        for contact, said in zip(contacts.values(), answers, strict=True):
            nodes.append(self._unreached(contact) if said is None else self._reached(contact, said["node"]))
        nodes.sort(key=lambda node: node.name)
        leaders = {node.name: node for node in nodes if node.role == "leader"}
        leader = max(leaders.values(), key=lambda node: node.term, default=None)
        if leader is not None:
            nodes = [_with_lag(node, leader) for node in nodes]
        return wire.Cluster(
            cluster_id=self._peers.card.cluster_id or None,
            term=max(node.term for node in nodes),
            leader=leader.name if leader is not None else None,
            asked=self._config.name,
            nodes=nodes,
        )

    async def serving(self, replica: Replica) -> tuple[str, int] | None:
        """Name and term of the node that answers clients; None while none is seen to."""
        if replica.leads and replica.state.serving:
            return self._config.name, replica.state.term
        leader = replica.state.leader
        if leader is None or leader == self._config.name:
            return None
        said = await self._ask(leader)
        if said is None or not said["serving"]:
            return None
        return leader, said["node"]["term"]

    def in_a_word(self, replica: Replica | None, waits_for: str) -> str:
        """``ok`` if this node leads, or follows one that does; else what is amiss."""
        if replica is None:
            return f"waits for {waits_for or 'its peers'}"
        state = replica.state
        if replica.leads:
            return "ok" if state.serving else "preparing to lead"
        if state.leader is None:
            return "no leader"
        return "joining: its disk came empty" if state.fresh else "ok"

    async def _ask(self, name: str) -> dict[str, Any] | None:
        try:
            said: dict[str, Any] = await self._peers.call(name, STATUS, None, timeout_s=CALL_S)
        except CallFailed:
            return None
        return said

    def _myself(self, replica: Replica | None) -> wire.ClusterNode:
        card = self._peers.card
        node = wire.ClusterNode(
            name=self._config.name,
            role="starting",
            url=self._url,
            version=metadata.version("tqnode"),
            node_id=card.node_id,
            last_contact_s=0.0,
        )
        if replica is None:
            return node
        state = replica.state
        return msgspec.structs.replace(
            node,
            role=self._role(replica),
            term=state.term,
            last=_told(state.last),
            applied=_told(state.last if replica.database.txid == AHEAD else replica.database),
            committed=_told(state.committed),
        )

    def _role(self, replica: Replica) -> wire.Role:
        if replica.leads:
            return "leader"
        if replica.state.fresh:
            return "joining"
        return "witness" if self._config.witness else "standby"

    def _reached(self, contact: Contact, said: dict[str, Any]) -> wire.ClusterNode:
        try:
            node = msgspec.convert(said, wire.ClusterNode)
        except msgspec.ValidationError as error:
            node = self._unreached(contact)
            return msgspec.structs.replace(node, trouble=f"its answer is of another version: {error}")
        return msgspec.structs.replace(
            node, last_contact_s=self._silence_s(contact), round_trip_s=contact.round_trip_s
        )

    def _unreached(self, contact: Contact) -> wire.ClusterNode:
        card = contact.card
        return wire.ClusterNode(
            name=contact.name,
            role="unreachable",
            url=card.url if card is not None else None,
            version=card.software if card is not None else None,
            node_id=card.node_id if card is not None else None,
            last_contact_s=self._silence_s(contact),
            trouble=contact.trouble or None,
        )

    def _silence_s(self, contact: Contact) -> float | None:
        return None if contact.heard is None else round(self._clock.monotonic() - contact.heard, 3)


def _told(position: Position) -> wire.LogPosition | None:
    return None if position == NOTHING else wire.LogPosition(term=position.term, txid=position.txid)


def _with_lag(node: wire.ClusterNode, leader: wire.ClusterNode) -> wire.ClusterNode:
    if node.applied is None or leader.committed is None or node.applied.term != leader.committed.term:
        return node
    lag = max(0, leader.committed.txid - node.applied.txid)
    return msgspec.structs.replace(node, lag_entries=lag)
