"""All routes of the API."""

from tqnode.api import (
    claims,
    cluster,
    events,
    finishes,
    graph,
    node,
    queues,
    schedules,
    tasks,
    webhooks,
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
    *webhooks.ROUTES,
    *events.ROUTES,
    *cluster.ROUTES,
    *node.ROUTES,
]
