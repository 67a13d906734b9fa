"""The graph around a task: what it waits for, and what waits for it."""

from tq import wire
from tqnode.api.call import Call, Reply, json_reply
from tqnode.api.past import AT, PAST_ERRORS, queue_at
from tqnode.api.query import integer, moment, query_of
from tqnode.api.route import Parameter, Route
from tqnode.queue.dependencies.graph import NODES_MAX, Graph

NODES = 200

_LIMIT = Parameter(
    name="limit",
    schema={"type": "integer", "minimum": 1, "maximum": NODES_MAX, "default": NODES},
    about="How many tasks at most; the nearest ones come first.",
)


async def graph(call: Call) -> Reply:
    """The task with all it was enqueued after and all that was enqueued after it."""
    limit = at_ms = None
    if call.scope["query_string"]:
        query = query_of(call.scope, (_LIMIT.name, AT.name))
        limit = integer(query, _LIMIT.name, low=1, high=NODES_MAX)
        at_ms = moment(query, AT.name)
    task_id = call.uuid()
    async with queue_at(call.context, at_ms) as queue:
        found = await queue.graph(task_id, nodes_max=NODES if limit is None else limit)
    return json_reply(200, _graph_of(task_id, found))


def _graph_of(task_id: str, found: Graph) -> wire.Graph:
    nodes = [
        wire.GraphNode(
            id=node.id,
            queue=node.queue,
            kind=node.kind,
            state=node.state.value,
            reason=node.reason,
            after_policy=None if node.needs is None else node.needs.value,
            pending=node.pending,
        )
        for node in found.nodes
    ]
    edges = [wire.GraphEdge(parent=parent, child=child) for parent, child in found.edges]
    return wire.Graph(task=task_id, nodes=nodes, edges=edges, truncated=found.truncated)


ROUTES = [
    Route(
        method="GET",
        path="/v1/tasks/{id}/graph",
        handler=graph,
        name="get_graph",
        about="The task with all it was enqueued after and all that was enqueued after it, near and far.",
        answers={200: wire.Graph},
        parameters=[_LIMIT, AT],
        errors=["task_not_found", *PAST_ERRORS],
    ),
]
