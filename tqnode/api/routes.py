"""All routes of the API."""

from tqnode.api import claims, cluster, events, finishes, graph, logs, node, queues, schedules, tasks, workers

ROUTES = [
    *tasks.ROUTES,
    *graph.ROUTES,
    *logs.ROUTES,
    *claims.ROUTES,
    *finishes.ROUTES,
    *workers.ROUTES,
    *queues.ROUTES,
    *schedules.ROUTES,
    *events.ROUTES,
    *cluster.ROUTES,
    *node.ROUTES,
]
