"""Bulk operations: begun, looked at, cancelled; and counts."""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from tq import wire
from tqnode.api.call import JSON_TYPE, Call, Reply, checked_uuid, json_reply
from tqnode.api.conditions import conditions, words_of
from tqnode.api.decode import Decoder, explain, within
from tqnode.api.filters import FILTER_PARAMETERS, count_query, judge_text
from tqnode.api.hooks import open_queue
from tqnode.api.paging import asked_page, page_parameters
from tqnode.api.route import Route
from tqnode.api.stamps import moment_ms, stamp, stamp_or_none
from tqnode.api.tasks import IDEMPOTENCY_KEY, idempotency_of
from tqnode.config import Config
from tqnode.errors import BadRequest, InvalidField
from tqnode.queue import Filters
from tqnode.queue.bulks import Action, Bulk, BulkSpec, BulkState
from tqnode.task import TaskState

_new = Decoder(wire.NewBulk)

_UNKNOWN = ["bulk_not_found"]
_GOES_WITH = {Action.MOVE: "queue", Action.REPRIORITIZE: "priority"}
_TEXTS = ("tag", "worker", "limit_key", "text", "error_type")
_MOMENTS = ("created_after", "created_before", "finished_after", "finished_before")


async def begin(call: Call) -> Reply:
    """Begins an operation, and waits a while for its end; or counts what it would be done to."""
    body = await call.body()
    await call.judge(body)
    new = _new(body)
    spec = _spec(new, call.context.config)
    bulker = call.context.queue.bulker
    if new.dry_run:
        counted = await bulker.count(spec.filters)
        preview = wire.Bulk(
            **_asked(spec),
            state="dry_run",
            progress=1.0,
            matched=counted.tasks,
            states=counted.states,
            estimated=counted.estimated,
        )
        return json_reply(200, preview)
    begun = await bulker.begin(spec, idempotency=idempotency_of(call, hashlib.sha256(body).digest()))
    bulk = await _ended(call, begun, new.wait_s)
    status = 202 if bulk.state is BulkState.RUNNING else 200
    answer = json_reply(status, _bulk_of(bulk))
    return answer._replace(headers=(JSON_TYPE, (b"location", f"/v1/bulk/{bulk.id}".encode())))


async def _ended(call: Call, bulk: Bulk, wait_s: float) -> Bulk:
    """The operation once it has ended, the time is up, or the node begins to stop."""
    if wait_s <= 0:
        return bulk
    waiting = asyncio.ensure_future(call.context.queue.bulker.wait(bulk.id, wait_s=wait_s))
    draining = asyncio.ensure_future(call.context.draining.wait())
    try:
        await asyncio.wait({waiting, draining}, return_when=asyncio.FIRST_COMPLETED)
        return waiting.result() if waiting.done() else bulk
    finally:
        waiting.cancel()
        draining.cancel()


def _spec(new: wire.NewBulk, config: Config) -> BulkSpec:
    """
    Raises:
        InvalidField: what is asked for is not said, or beyond this node's limits.
    """
    action = Action(new.action)
    for other, field in _GOES_WITH.items():
        given = getattr(new, field) is not None
        if given and other is not action:
            raise InvalidField(f"goes with {other.value} alone", field=field)
        if not given and other is action:
            raise InvalidField("the field is required", field=field, code="missing_field")
    if new.queue is not None:
        judge_text(new.queue, "queue", config.name_chars_max)
        open_queue(new.queue)
    try:
        filters = _filters(new.filter or wire.BulkFilter(), config)
    except BadRequest as error:
        raise within(error, "filter") from None
    everything = filters.params() == Filters().params()
    if everything and not new.all:
        raise InvalidField(
            'the filter lets all tasks through: to mean that, say "all": true',
            field="filter",
            code="filter_required",
        )
    if new.all and not everything:
        raise InvalidField("says all tasks, and the filter says which", field="all")
    return BulkSpec(action=action, filters=filters, queue=new.queue, priority=new.priority)


def _filters(given: wire.BulkFilter, config: Config) -> Filters:
    chars_max = config.name_chars_max
    names = {field: _several(getattr(given, field), field, wire.BulkNames) for field in ("queue", "kind")}
    for field, values in names.items():
        for value in values:
            judge_text(value, field, chars_max)
    states = _several(given.state, "state", wire.BulkStates)
    texts = {field: getattr(given, field) for field in _TEXTS}
    for field, text in texts.items():
        if text is not None:
            judge_text(text, field, config.error_type_chars_max if field == "error_type" else chars_max)
    moments: dict[str, Any] = {
        f"{field}_ms": None if at is None else moment_ms(at)
        for field in _MOMENTS
        for at in [getattr(given, field)]
    }
    return Filters(
        queues=names["queue"],
        kinds=names["kind"],
        states=tuple(TaskState(state) for state in states),
        min_priority=0 if given.min_priority is None else given.min_priority,
        max_priority=255 if given.max_priority is None else given.max_priority,
        batch=None if given.batch is None else checked_uuid(given.batch, "batch"),
        payload=conditions(given.payload or {}, "payload", path_chars_max=chars_max),
        meta=conditions(given.meta or {}, "meta", path_chars_max=chars_max),
        **texts,
        **moments,
    )


def _several(value: str | Sequence[str] | None, field: str, shape: Any) -> tuple[str, ...]:
    """One text, or several; each once.

    Raises:
        InvalidField: they are not of ``shape``.
    """
    if value is None:
        return ()
    values = [value] if isinstance(value, str) else value
    try:
        return tuple(dict.fromkeys(msgspec.convert(values, shape)))
    except msgspec.ValidationError as error:
        raise within(explain(str(error)), field) from None


def _words(filters: Filters) -> dict[str, Any]:
    """A filter as requests have it."""
    words: dict[str, Any] = {
        "queue": list(filters.queues),
        "state": [state.value for state in filters.states],
        "kind": list(filters.kinds),
        "min_priority": filters.min_priority or None,
        "max_priority": None if filters.max_priority == 255 else filters.max_priority,
        **{field: getattr(filters, field) for field in _TEXTS},
        **{field: stamp_or_none(getattr(filters, f"{field}_ms")) for field in _MOMENTS},
        "batch": filters.batch,
        "payload": words_of(filters.payload),
        "meta": words_of(filters.meta),
    }
    return {name: value for name, value in words.items() if value not in (None, [], {})}


def _asked(spec: BulkSpec) -> dict[str, Any]:
    return {
        "action": spec.action.value,
        "filter": _words(spec.filters),
        "queue": spec.queue,
        "priority": spec.priority,
    }


def _bulk_of(bulk: Bulk) -> wire.Bulk:
    """An operation as it stands."""
    return wire.Bulk(
        id=bulk.id,
        **_asked(bulk.spec),
        state=bulk.state.value,
        progress=round(bulk.progress, 4),
        matched=bulk.matched,
        done=bulk.done,
        asked=bulk.asked,
        skipped=sum(bulk.skips.values()),
        skips=bulk.skips,
        created_at=stamp(bulk.created_at_ms),
        finished_at=stamp_or_none(bulk.finished_at_ms),
    )


async def read(call: Call) -> Reply:
    """One operation."""
    return json_reply(200, _bulk_of(await call.context.queue.bulker.get(call.uuid())))


async def read_page(call: Call) -> Reply:
    """A page of operations."""
    limit, cursor = asked_page(call)
    page = await call.context.queue.bulker.page(limit=limit, cursor=cursor)
    bulks = [_bulk_of(bulk) for bulk in page.bulks]
    return json_reply(200, wire.BulkPage(bulks=bulks, next_cursor=page.next_cursor))


async def cancel(call: Call) -> Reply:
    """Ends an operation where it stands."""
    return json_reply(200, _bulk_of(await call.context.queue.bulker.stop(call.uuid())))


async def count(call: Call) -> Reply:
    """How many tasks match."""
    counted = await call.context.queue.bulker.count(count_query(call.scope, call.context.config))
    answer = wire.TaskCount(count=counted.tasks, states=counted.states, estimated=counted.estimated)
    return json_reply(200, answer)


ROUTES = [
    Route(
        method="GET",
        path="/v1/tasks/count",
        handler=count,
        name="count_tasks",
        about="How many tasks match; beyond what one count looks at, an estimate that says so.",
        answers={200: wire.TaskCount},
        parameters=FILTER_PARAMETERS,
    ),
    Route(
        method="POST",
        path="/v1/bulk",
        handler=begin,
        name="begin_bulk",
        about="Do one thing to all tasks that match a filter; 202 if it is still under way after wait_s.",
        body=wire.NewBulk,
        answers={200: wire.Bulk, 202: wire.Bulk},
        parameters=[IDEMPOTENCY_KEY],
        errors=["filter_required", "too_many_bulks", "idempotency_mismatch"],
    ),
    Route(
        method="GET",
        path="/v1/bulk",
        handler=read_page,
        name="list_bulks",
        about="A page of bulk operations, newest first.",
        answers={200: wire.BulkPage},
        parameters=page_parameters("Operations"),
        errors=["invalid_cursor"],
    ),
    Route(
        method="GET",
        path="/v1/bulk/{id}",
        handler=read,
        name="get_bulk",
        about="A bulk operation: how far it has come.",
        answers={200: wire.Bulk},
        errors=_UNKNOWN,
    ),
    Route(
        method="POST",
        path="/v1/bulk/{id}/cancel",
        handler=cancel,
        name="cancel_bulk",
        about="End a bulk operation where it stands; what was done stays done.",
        answers={200: wire.Bulk},
        errors=_UNKNOWN,
    ),
]
