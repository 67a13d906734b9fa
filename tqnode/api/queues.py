"""Queues: looked at, paused, resumed, purged; and the statistics of all."""

from tq import wire
from tqnode.api.call import Call, Reply, json_reply
from tqnode.api.decode import Decoder
from tqnode.api.route import Route
from tqnode.api.views import seconds_or_none
from tqnode.queue.queues import QueueInfo
from tqnode.task import TaskState

_purge = Decoder(wire.Purge)

_UNKNOWN = ["queue_not_found"]


async def read_all(call: Call) -> Reply:
    """Every queue there is."""
    infos = [info_of(info) for info in await call.context.queue.catalogue.all()]
    return json_reply(200, wire.Queues(queues=infos))


async def read(call: Call) -> Reply:
    """One queue."""
    return json_reply(200, info_of(await call.context.queue.catalogue.one(call.name())))


async def pause(call: Call) -> Reply:
    """Has a queue hand out nothing."""
    return json_reply(200, info_of(await call.context.queue.catalogue.pause(call.name())))


async def resume(call: Call) -> Reply:
    """Has a queue hand out tasks again."""
    return json_reply(200, info_of(await call.context.queue.catalogue.resume(call.name())))


async def purge(call: Call) -> Reply:
    """Deletes a queue's tasks that no worker holds."""
    name = call.name()
    body = await call.body(optional=True)
    if body:
        await call.judge(body)
    asked = _purge(body) if body else wire.Purge()
    states = [TaskState(state) for state in dict.fromkeys(asked.states)]
    return json_reply(200, wire.Purged(deleted=await call.context.queue.catalogue.purge(name, states)))


def info_of(info: QueueInfo) -> wire.QueueInfo:
    """A queue as it stands."""
    return wire.QueueInfo(
        queue=info.queue,
        paused=info.paused,
        counts={state: tasks for state, tasks in info.counts.items() if tasks},
        oldest_ready_age_s=seconds_or_none(info.oldest_ready_age_ms),
    )


ROUTES = [
    Route(
        method="GET",
        path="/v1/queues",
        handler=read_all,
        name="list_queues",
        about="All queues with their counts.",
        answers={200: wire.Queues},
    ),
    Route(
        method="GET",
        path="/v1/queues/{queue}",
        handler=read,
        name="get_queue",
        about="One queue with its counts.",
        answers={200: wire.QueueInfo},
        errors=_UNKNOWN,
    ),
    Route(
        method="POST",
        path="/v1/queues/{queue}/pause",
        handler=pause,
        name="pause_queue",
        about="Hand out no more tasks of this queue; it still takes them in.",
        answers={200: wire.QueueInfo},
        errors=_UNKNOWN,
    ),
    Route(
        method="POST",
        path="/v1/queues/{queue}/resume",
        handler=resume,
        name="resume_queue",
        about="Hand out tasks of this queue again.",
        answers={200: wire.QueueInfo},
        errors=_UNKNOWN,
    ),
    Route(
        method="POST",
        path="/v1/queues/{queue}/purge",
        handler=purge,
        name="purge_queue",
        about="Delete the queue's tasks in the given states; running ones are never purged.",
        body=wire.Purge,
        body_required=False,
        answers={200: wire.Purged},
        errors=_UNKNOWN,
    ),
]
