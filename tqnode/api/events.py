"""The stream of events: server-sent events, resumable, bounded, ended by a drain."""

import asyncio
from collections.abc import Collection

import msgspec

from tq import wire
from tqnode import ids
from tqnode.api.call import Call, Reply, checked_uuid
from tqnode.api.query import Query, flag, query_of
from tqnode.api.route import Parameter, Route
from tqnode.api.stamps import stamp
from tqnode.api.waiting import ClientGone
from tqnode.errors import Draining, InvalidField
from tqnode.queue.hub import Hub, Numbered, Subscription
from tqnode.store.effects import TaskEvent, TaskNews

COMMENT_EVERY_S = 15.0
PROGRESS_EVERY_S = 0.5
"""A client hears of the progress of its tasks this often at most, of each the newest."""
VALUES_MAX = 1000
LAST_EVENT_ID_CHARS_MAX = 100
EVENT_STREAM = "text/event-stream"

_HEADERS = [
    (b"content-type", EVENT_STREAM.encode()),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
_HELLO = b"retry: 1000\n: follow\n\n"
_ALIVE = b": alive\n\n"
_RESET = b"event: reset\ndata: {}\n\n"

_encode = msgspec.json.Encoder().encode


class Selection:
    """Which events a client follows: all, or those of some queues, kinds or tasks.

    Args:
        query: the request's parameters.

    Raises:
        InvalidField: an id is no UUID, or there are too many values.
    """

    def __init__(self, query: Query) -> None:
        self.progress = flag(query, "progress")
        for name, values in query.items():
            if len(values) > VALUES_MAX:
                raise InvalidField(f"may come {VALUES_MAX} times", field=name, limit=VALUES_MAX)
        self._queues: Collection[str] = frozenset(query.get("queue", ()))
        self._kinds: Collection[str] = frozenset(query.get("kind", ()))
        self._ids = frozenset(ids.parse(checked_uuid(value)) for value in query.get("id", ()))

    def takes(self, event: TaskEvent | TaskNews) -> bool:
        """Whether the client follows it."""
        return (
            (not self._queues or event.queue in self._queues)
            and (not self._kinds or event.kind in self._kinds)
            and (not self._ids or event.id in self._ids)
        )


async def follow(call: Call) -> Reply | None:
    """Streams events until the client goes away or the node drains."""
    selection = Selection(query_of(call.scope, ("queue", "kind", "id", "progress")))
    after = call.header(b"last-event-id")
    if after is not None and len(after) > LAST_EVENT_ID_CHARS_MAX:
        raise InvalidField("is not an event id of this node", field="last-event-id")
    if call.context.draining.is_set():
        raise Draining("the node is stopping")
    if call.scope["method"] == "HEAD":
        return Reply(200, b"", _HEADERS)
    hub = call.context.queue.hub
    subscription = hub.subscribe(after, progress=selection.takes if selection.progress else None)
    try:
        call.streams = True
        await call.send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await call.send({"type": "http.response.body", "body": _HELLO, "more_body": True})
        await call.context.following.run(_stream(call, hub, subscription, selection), call.receive)
    except Draining:
        await call.send({"type": "http.response.body", "body": b""})
    except ClientGone:
        pass
    finally:
        hub.unsubscribe(subscription)
    return None


async def _stream(call: Call, hub: Hub, subscription: Subscription, selection: Selection) -> None:
    monotonic = call.context.clock.monotonic
    told_at = -PROGRESS_EVERY_S
    while True:
        held_back_s = told_at + PROGRESS_EVERY_S - monotonic()
        wait_s = max(0.0, held_back_s) if subscription.has_progress else COMMENT_EVERY_S
        try:
            async with asyncio.timeout(wait_s):
                events = await subscription.next()
        except TimeoutError:
            chunk = b"" if subscription.has_progress else _ALIVE
        else:
            chunk = _chunk(hub, subscription, selection, events)
        if subscription.has_progress and monotonic() - told_at >= PROGRESS_EVERY_S:
            told_at = monotonic()
            chunk += b"".join(map(_progress_chunk, subscription.take_progress()))
        if chunk:
            # Waits while the client reads slowly; the subscription is bounded and fills up meanwhile.
            await call.send({"type": "http.response.body", "body": chunk, "more_body": True})
        if subscription.ended:
            raise Draining("this node serves the queue no more")


def _chunk(hub: Hub, subscription: Subscription, selection: Selection, events: list[Numbered]) -> bytes:
    lines = []
    if subscription.missed:
        subscription.missed = False
        lines.append(_RESET)
    for numbered in events:
        if selection.takes(numbered.event):
            event_id = hub.id_of(numbered.number).encode()
            data = _encode(_event_of(numbered.event))
            lines.append(b"event: task\nid: %s\ndata: %s\n\n" % (event_id, data))
    return b"".join(lines)


def _progress_chunk(news: TaskNews) -> bytes:
    # Without an id: it is not kept, so nobody can go on after it.
    return b"event: progress\ndata: %s\n\n" % _encode(
        wire.ProgressEvent(
            id=ids.text(news.id),
            queue=news.queue,
            kind=news.kind,
            at=stamp(news.at_ms),
            attempt=news.attempt,
            progress=msgspec.Raw(_one_line(news.progress or b"null")),
        )
    )


def _one_line(value: bytes) -> bytes:
    """JSON without line breaks, which would end the event's data: between its parts they mean nothing."""
    return value.replace(b"\r", b" ").replace(b"\n", b" ")


def _event_of(event: TaskEvent) -> wire.TaskEvent:
    return wire.TaskEvent(
        id=ids.text(event.id),
        queue=event.queue,
        kind=event.kind,
        state="deleted" if event.state is None else event.state.value,
        at=stamp(event.at_ms),
        attempt=event.attempt,
        reason=event.reason,
    )


_VALUES = {"type": "array", "items": {"type": "string"}}

ROUTES = [
    Route(
        method="GET",
        path="/v1/events",
        handler=follow,
        name="follow_events",
        about="Server-sent events: one `task` event for each change of state; a `reset` event means that "
        "some were missed and what the client shows must be read again.",
        answers={200: EVENT_STREAM},
        parameters=[
            Parameter(name="queue", schema=_VALUES, about="Only of this queue; may come several times."),
            Parameter(name="kind", schema=_VALUES, about="Only of this kind; may come several times."),
            Parameter(name="id", schema=_VALUES, about="Only of this task; may come several times."),
            Parameter(
                name="progress",
                schema={"type": "boolean", "default": False},
                about="Also a `progress` event when a running task tells its progress; of each task the "
                "newest, twice a second at most. They have no id and are not told again.",
            ),
            Parameter(
                name="Last-Event-ID",
                place="header",
                schema={"type": "string"},
                about="Go on after this event.",
            ),
        ],
        errors=["overloaded", "draining"],
    ),
]
