"""All routes of the API."""

from tqnode.api import (
    batches,
    claims,
    cluster,
    events,
    finishes,
    graph,
    node,
    queues,
    schedules,
    tasks,
    workers,
)

ROUTES = [
    *tasks.ROUTES,
    *graph.ROUTES,
    *claims.ROUTES,
    *finishes.ROUTES,
    *workers.ROUTES,
    *queues.ROUTES,
    *schedules.ROUTES,
    *batches.ROUTES,
    *events.ROUTES,
    *cluster.ROUTES,
    *node.ROUTES,
]
