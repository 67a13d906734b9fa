"""All routes of the API."""

from tqnode.api import bulk, claims, cluster, events, finishes, graph, node, queues, schedules, tasks, workers

ROUTES = [
    *tasks.ROUTES,
    *graph.ROUTES,
    *bulk.ROUTES,
    *claims.ROUTES,
    *finishes.ROUTES,
    *workers.ROUTES,
    *queues.ROUTES,
    *schedules.ROUTES,
    *events.ROUTES,
    *cluster.ROUTES,
    *node.ROUTES,
]
