"""The cluster's nodes, and who leads them."""

from tq import wire
from tqnode.api.call import Call, Reply, json_reply
from tqnode.api.decode import Decoder
from tqnode.api.route import Route
from tqnode.errors import NotFound

_handover = Decoder(wire.Handover)


async def status(call: Call) -> Reply:
    """All nodes; a node without peers is a cluster of one."""
    cluster = call.context.cluster
    if cluster is None:
        return json_reply(200, _alone(call))
    return json_reply(200, await cluster.status())


async def hand_over(call: Call) -> Reply:
    """Has another node lead."""
    body = await call.body(optional=True)
    if body:
        await call.judge(body)
    asked = _handover(body) if body else wire.Handover()
    cluster = call.context.cluster
    if cluster is None:
        raise NotFound("node", asked.to or "besides this one")
    return json_reply(200, await cluster.hand_over(asked.to))


def _alone(call: Call) -> wire.Cluster:
    config = call.context.config
    node = wire.ClusterNode(name=config.name, role="leader", url=config.advertise or None)
    return wire.Cluster(cluster_id=None, term=0, leader=config.name, asked=config.name, nodes=[node])


ROUTES = [
    Route(
        method="GET",
        path="/v1/cluster",
        handler=status,
        name="cluster",
        about="Every configured node: its role, term and position, and who leads.",
        answers={200: wire.Cluster},
    ),
    Route(
        method="POST",
        path="/v1/cluster/handover",
        handler=hand_over,
        name="hand_over",
        about="Has another node lead; answers once it serves. Requests meanwhile wait or are refused.",
        answers={200: wire.HandedOver},
        body=wire.Handover,
        body_required=False,
        errors=("node_not_found", "handover_failed", "no_leader", "not_leader"),
    ),
]
