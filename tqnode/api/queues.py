"""Queues: looked at, paused, drained, resumed, purged, given settings; and the pause of all of them."""

from typing import Any

import msgspec
from msgspec import UNSET

from tq import wire
from tqnode.api.call import Call, Reply, json_reply
from tqnode.api.convert import Conversion, ms_of
from tqnode.api.decode import Decoder
from tqnode.api.route import Route
from tqnode.api.stamps import MOMENT_MAX_MS, moment_ms, stamp, stamp_or_none
from tqnode.api.views import retry_of, seconds_or_none
from tqnode.errors import InvalidField
from tqnode.queue.pauses import NewPause
from tqnode.queue.queues import QueueInfo
from tqnode.settings import NO_SETTINGS, Pause, QueueSettings
from tqnode.task import TaskState

_purge = Decoder(wire.Purge)
_pause = Decoder(wire.NewPause)
_changes = Decoder(wire.QueueChanges)
_encode = msgspec.json.Encoder().encode

_UNKNOWN = ["queue_not_found"]
QUOTA_ERRORS = ("queue_full", "queue_draining")
"""Codes of tasks for which there is no room."""


async def read_all(call: Call) -> Reply:
    """Every queue there is."""
    catalogue = call.context.queue.catalogue
    infos = [info_of(info) for info in await catalogue.all()]
    return json_reply(200, wire.Queues(queues=infos, pause=pause_of(await catalogue.node_pause())))


async def read(call: Call) -> Reply:
    """One queue."""
    return json_reply(200, info_of(await call.context.queue.catalogue.one(call.name())))


async def configure(call: Call) -> Reply:
    """Changes some of a queue's own settings."""
    name = call.name()
    changes = _changes_of(await call.json(_changes), call.context.conversion)
    return json_reply(200, info_of(await call.context.queue.catalogue.configure(name, changes)))


async def pause(call: Call) -> Reply:
    """Has a queue hand out nothing."""
    name = call.name()
    return json_reply(200, info_of(await call.context.queue.catalogue.pause(name, await _new_pause(call))))


async def resume(call: Call) -> Reply:
    """Has a queue hand out tasks, and take them in, again."""
    return json_reply(200, info_of(await call.context.queue.catalogue.resume(call.name())))


async def drain(call: Call) -> Reply:
    """Has a queue take in nothing."""
    return json_reply(200, info_of(await call.context.queue.catalogue.drain(call.name())))


async def read_node_pause(call: Call) -> Reply:
    """Whether the whole node is paused."""
    return _node_pause(await call.context.queue.catalogue.node_pause())


async def pause_node(call: Call) -> Reply:
    """Has all queues hand out nothing."""
    return _node_pause(await call.context.queue.catalogue.pause_node(await _new_pause(call)))


async def resume_node(call: Call) -> Reply:
    """Has the queues hand out tasks again."""
    return _node_pause(await call.context.queue.catalogue.resume_node())


async def purge(call: Call) -> Reply:
    """Deletes a queue's tasks that no worker holds."""
    name = call.name()
    body = await call.body(optional=True)
    if body:
        await call.judge(body)
    asked = _purge(body) if body else wire.Purge()
    states = [TaskState(state) for state in dict.fromkeys(asked.states)]
    return json_reply(200, wire.Purged(deleted=await call.context.queue.catalogue.purge(name, states)))


async def _new_pause(call: Call) -> NewPause:
    """
    Raises:
        InvalidField: it says two ends, or one too far away.
    """
    body = await call.body(optional=True)
    if not body:
        return NewPause()
    await call.judge(body)
    asked = _pause(body)
    if asked.for_s is not None and asked.until is not None:
        raise InvalidField("for_s and until exclude each other", field="until")
    until_ms = None if asked.until is None else moment_ms(asked.until)
    if until_ms is not None and until_ms > MOMENT_MAX_MS:
        raise InvalidField("must be within the year 9999", field="until")
    return NewPause(
        for_ms=None if asked.for_s is None else max(1, ms_of(asked.for_s)),
        until_ms=until_ms,
        reason=asked.reason,
    )


def _changes_of(asked: wire.QueueChanges, conversion: Conversion) -> dict[str, Any]:
    """The settings that are changed, by the core's names.

    Raises:
        InvalidField: a lease is too long.
    """
    changes = {name: value for name, value in msgspec.structs.asdict(asked).items() if value is not UNSET}
    if "lease_s" in changes:
        changes["lease_ms"] = conversion.lease_ms(changes.pop("lease_s"))
    if "timeout_s" in changes:
        timeout_s = changes.pop("timeout_s")
        changes["timeout_ms"] = None if timeout_s is None else max(1, ms_of(timeout_s))
    if "age_per_minute" in changes:
        age = changes.pop("age_per_minute")
        changes["age_milli"] = None if age is None else max(1, round(age * 1000))
    if changes.get("retry") is not None:
        changes["retry"] = _encode(changes["retry"])
    return changes


def info_of(info: QueueInfo) -> wire.QueueInfo:
    """A queue as it stands."""
    return wire.QueueInfo(
        queue=info.queue,
        paused=info.paused,
        counts={state: tasks for state, tasks in info.counts.items() if tasks},
        oldest_ready_age_s=seconds_or_none(info.oldest_ready_age_ms),
        pause=pause_of(info.pause),
        draining=info.draining,
        settings=None if info.settings == NO_SETTINGS else settings_of(info.settings),
        bytes=info.bytes,
    )


def pause_of(pause: Pause | None) -> wire.Pause | None:
    """A pause as it is read."""
    if pause is None:
        return None
    return wire.Pause(since=stamp(pause.since_ms), until=stamp_or_none(pause.until_ms), reason=pause.reason)


def settings_of(settings: QueueSettings) -> wire.QueueSettings:
    """A queue's own settings as they are read."""
    return wire.QueueSettings(
        priority=settings.priority,
        max_attempts=settings.max_attempts,
        lease_s=seconds_or_none(settings.lease_ms),
        retry=retry_of(settings.retry),
        timeout_s=seconds_or_none(settings.timeout_ms),
        keep_succeeded_s=settings.keep_succeeded_s,
        keep_cancelled_s=settings.keep_cancelled_s,
        keep_dead_s=settings.keep_dead_s,
        depth_max=settings.depth_max,
        bytes_max=settings.bytes_max,
        age_per_minute=None if settings.age_milli is None else settings.age_milli / 1000,
    )


def _node_pause(pause: Pause | None) -> Reply:
    return json_reply(200, wire.NodePause(paused=pause is not None, pause=pause_of(pause)))


ROUTES = [
    Route(
        method="GET",
        path="/v1/queues",
        handler=read_all,
        name="list_queues",
        about="All queues with their counts, and the pause of all of them if there is one.",
        answers={200: wire.Queues},
    ),
    Route(
        method="GET",
        path="/v1/queues/{queue}",
        handler=read,
        name="get_queue",
        about="One queue with its counts and its own settings.",
        answers={200: wire.QueueInfo},
        errors=_UNKNOWN,
    ),
    Route(
        method="PATCH",
        path="/v1/queues/{queue}",
        handler=configure,
        name="set_queue",
        about="Change some settings of a queue, made if it is not there; null gives back to the node's.",
        body=wire.QueueChanges,
        answers={200: wire.QueueInfo},
        errors=["queue_full"],
    ),
    Route(
        method="POST",
        path="/v1/queues/{queue}/pause",
        handler=pause,
        name="pause_queue",
        about="Hand out no more tasks of this queue, for a time or until resumed; it still takes them in.",
        body=wire.NewPause,
        body_required=False,
        answers={200: wire.QueueInfo},
        errors=_UNKNOWN,
    ),
    Route(
        method="POST",
        path="/v1/queues/{queue}/drain",
        handler=drain,
        name="drain_queue",
        about="Take no more tasks into this queue until it is resumed; it hands out those that it has.",
        answers={200: wire.QueueInfo},
        errors=_UNKNOWN,
    ),
    Route(
        method="POST",
        path="/v1/queues/{queue}/resume",
        handler=resume,
        name="resume_queue",
        about="Hand out tasks of this queue again, and take them in again: ends its pause and its drain.",
        answers={200: wire.QueueInfo},
        errors=_UNKNOWN,
    ),
    Route(
        method="GET",
        path="/v1/pause",
        handler=read_node_pause,
        name="get_pause",
        about="Whether the whole node is paused.",
        answers={200: wire.NodePause},
    ),
    Route(
        method="POST",
        path="/v1/pause",
        handler=pause_node,
        name="pause_all",
        about="Hand out no more tasks of any queue, for a time or until that is ended; all else goes on.",
        body=wire.NewPause,
        body_required=False,
        answers={200: wire.NodePause},
    ),
    Route(
        method="POST",
        path="/v1/resume",
        handler=resume_node,
        name="resume_all",
        about="End the pause of the whole node; queues that are paused themselves stay so.",
        answers={200: wire.NodePause},
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
