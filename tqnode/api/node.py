"""What is to know of the node itself: statistics, metrics, liveness, readiness, the API's description."""

import asyncio
import shutil
from importlib import metadata

import msgspec
from prometheus_client.exposition import choose_encoder

from tq import wire
from tqnode.api.call import JSON_TYPE, Call, Reply, json_reply
from tqnode.api.gauges import Scrape, gauges_of
from tqnode.api.past import AT, PAST_ERRORS, queue_at
from tqnode.api.query import moment, query_of
from tqnode.api.queues import info_of
from tqnode.api.route import Route

DISK_FREE_BYTES_MIN = 32 * 1024 * 1024
"""Less free space than this, and the node is not ready: the next writes may not fit."""

_VERSION = metadata.version("tqnode")

_encode = msgspec.json.Encoder().encode


async def stats(call: Call) -> Reply:
    """The figures of the whole node."""
    context = call.context
    at_ms = None
    if call.scope["query_string"]:
        at_ms = moment(query_of(call.scope, (AT.name,)), AT.name)
    async with queue_at(context, at_ms) as queue:
        figures = await queue.stats()
    return json_reply(
        200,
        wire.Stats(
            version=_VERSION,
            uptime_s=round(context.clock.monotonic() - context.began, 3),
            totals={state: count for state, count in figures.totals.items() if count},
            queues=[info_of(info) for info in figures.queues],
            workers=sum(figures.workers.values()),
            since_start=figures.since_start,
            database=figures.database,
        ),
    )


async def metrics(call: Call) -> Reply:
    """Everything countable, in the format that was asked for."""
    context = call.context
    queue = context.service.here
    # A node that serves no queue has figures of itself all the same.
    gauges = [] if queue is None else gauges_of(await queue.gauges(), queue)
    scrape = Scrape(context.metrics.registry, gauges)
    encoder, content_type = choose_encoder(call.header(b"accept") or "")
    return Reply(200, encoder(scrape), [(b"content-type", content_type.encode())])


async def live(call: Call) -> Reply:
    """Answers if the event loop turns and the database, if this node serves one, can be read."""
    queue = call.context.service.here
    if queue is not None:
        await queue.check_readable()
    return json_reply(200, wire.Health(ok=True))


async def ready(call: Call) -> Reply:
    """Answers item by item whether the node should get requests."""
    context = call.context
    queue = context.service.here
    if queue is not None:
        await queue.check_readable()
    disk = await asyncio.to_thread(shutil.disk_usage, context.config.data_dir)
    checks = {
        "database": "ok" if queue is not None or context.cluster is not None else "closed",
        "disk": "ok" if disk.free >= DISK_FREE_BYTES_MIN else f"full: {disk.free} bytes are free",
        "serving": "draining" if context.draining.is_set() else "ok",
    }
    ok = all(state == "ok" for state in checks.values())
    for name, vital in context.vitals().items():
        checks[name] = vital.state
        ok = ok and (vital.state == "ok" or not vital.needed)
    return json_reply(200 if ok else 503, wire.Health(ok=ok, checks=checks))


async def leader(call: Call) -> Reply:
    """Answers whether this node takes requests for the queue."""
    leads = call.context.service.here is not None
    return json_reply(200 if leads else 503, wire.Health(ok=leads))


async def describe(call: Call) -> Reply:
    """The API's description, made from the routes themselves."""
    return Reply(200, call.context.description(), (JSON_TYPE,))


ROUTES = [
    Route(
        method="GET",
        path="/v1/stats",
        handler=stats,
        name="stats",
        about="Totals, queues, workers, what was done since the start, and the database's size.",
        answers={200: wire.Stats},
        parameters=[AT],
        errors=PAST_ERRORS,
    ),
    Route(
        method="GET",
        path="/metrics",
        handler=metrics,
        name="metrics",
        about="Metrics for Prometheus.",
        answers={200: "text/plain"},
    ),
    Route(
        method="GET",
        path="/livez",
        handler=live,
        name="live",
        about="200 if the node's loop turns and its database can be read.",
        answers={200: wire.Health},
    ),
    Route(
        method="GET",
        path="/readyz",
        handler=ready,
        name="ready",
        about="200 if the node should get requests, else 503; each check by name.",
        answers={200: wire.Health, 503: wire.Health},
    ),
    Route(
        method="GET",
        path="/leader",
        handler=leader,
        name="leader",
        about="200 on the node that takes writes, else 503; a single node always does.",
        answers={200: wire.Health, 503: wire.Health},
    ),
    Route(
        method="GET",
        path="/openapi.json",
        handler=describe,
        name="describe",
        about="This description.",
        answers={200: "application/json"},
    ),
]
