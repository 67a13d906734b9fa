"""The types of the cluster: which nodes there are, and who leads."""

from typing import Literal

from tq.wire.names import Answer, Request

Role = Literal["leader", "standby", "witness", "joining", "starting", "unreachable"]


class LogPosition(Answer, kw_only=True):
    """Where in the log a node is: ``txid`` counts from 1 within its ``term``."""

    term: int
    txid: int


class ClusterNode(Answer, kw_only=True):
    """One configured node, as it says itself; of one that can't be reached, what is known of it.

    ``last`` is its last entry on disk, ``applied`` up to where its database is, ``lag_entries`` how many
    committed entries its database lacks, if it is in the leader's term.
    """

    name: str
    role: Role
    url: str | None = None
    term: int = 0
    last: LogPosition | None = None
    applied: LogPosition | None = None
    committed: LogPosition | None = None
    lag_entries: int | None = None
    last_contact_s: float | None = None
    round_trip_s: float | None = None
    version: str | None = None
    node_id: str | None = None
    trouble: str | None = None


class Cluster(Answer, kw_only=True):
    """All nodes, as the asked one sees them; ``leader`` is null while nobody leads."""

    cluster_id: str | None
    term: int
    leader: str | None
    asked: str
    nodes: list[ClusterNode]


class Handover(Request, kw_only=True):
    """``to`` names the node that is to lead; null leaves the choice to the leader."""

    to: str | None = None


class HandedOver(Answer, kw_only=True):
    """Who leads now, in which term, and for how long nobody served."""

    leader: str
    term: int
    took_s: float
