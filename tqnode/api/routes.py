"""All routes of the API."""

from tqnode.api import (
    batches,
    bulk,
    claims,
    cluster,
    events,
    explain,
    finishes,
    graph,
    limits,
    logs,
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
    *explain.ROUTES,
    *logs.ROUTES,
    *bulk.ROUTES,
    *claims.ROUTES,
    *finishes.ROUTES,
    *workers.ROUTES,
    *queues.ROUTES,
    *schedules.ROUTES,
    *webhooks.ROUTES,
    *limits.ROUTES,
    *batches.ROUTES,
    *events.ROUTES,
    *cluster.ROUTES,
    *node.ROUTES,
]
