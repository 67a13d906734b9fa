"""Limits on claims: put, looked at, deleted."""

from tq import wire
from tqnode.api.call import Call, Reply, json_reply
from tqnode.api.convert import Conversion, ms_of
from tqnode.api.decode import Decoder
from tqnode.api.filters import CURSOR_CHARS_MAX
from tqnode.api.paging import asked_page, page_parameters
from tqnode.api.route import Route
from tqnode.api.stamps import stamp
from tqnode.api.views import seconds_or_none
from tqnode.errors import InvalidField
from tqnode.queue.limits import LimitSpec
from tqnode.queue.limits.rules import Rule

PER_S = 1.0

_new = Decoder(wire.NewLimit)

_UNKNOWN = ["limit_not_found"]


async def put(call: Call) -> Reply:
    """Makes a limit, or changes the one of that name."""
    name = call.name(0, "name")
    spec = _spec(call.context.conversion, name, await call.json(_new))
    limit, made = await call.context.queue.limits.put(spec)
    return json_reply(201 if made else 200, limit_of(limit))


def _spec(conversion: Conversion, name: str, new: wire.NewLimit) -> LimitSpec:
    """
    Raises:
        InvalidField: it is on nothing, limits nothing, or says what does not go together.
    """
    if new.queue is None and new.key is None:
        raise InvalidField("queue or key is required", field="queue", code="missing_field")
    for field in ("queue", "key"):
        if getattr(new, field) is not None:
            conversion.name(getattr(new, field), field)
    if new.fair and new.key is not None:
        raise InvalidField("goes with a queue alone: keys take turns in a queue", field="fair")
    if new.running is None and new.rate is None and not new.fair:
        raise InvalidField("running, rate or fair is required", field="running", code="missing_field")
    per_ms = burst = None
    if new.rate is not None:
        per_ms = ms_of(PER_S if new.per_s is None else new.per_s)
        burst = new.rate if new.burst is None else new.burst
    else:
        for field in ("per_s", "burst"):
            if getattr(new, field) is not None:
                raise InvalidField("goes with rate alone", field=field)
    return LimitSpec(
        name=name,
        queue=new.queue or "",
        key=new.key or "",
        running=new.running,
        rate=new.rate,
        per_ms=per_ms,
        burst=burst,
        fair=new.fair,
    )


async def read(call: Call) -> Reply:
    """One limit."""
    return json_reply(200, limit_of(await call.context.queue.limits.get(call.name(0, "name"))))


async def read_page(call: Call) -> Reply:
    """A page of limits."""
    limit, cursor = asked_page(call, cursor_chars_max=2 * CURSOR_CHARS_MAX)
    page = await call.context.queue.limits.page(limit=limit, cursor=cursor)
    rows = [limit_of(rule) for rule in page.limits]
    return json_reply(200, wire.LimitPage(limits=rows, next_cursor=page.next_cursor))


async def delete(call: Call) -> Reply:
    """Deletes a limit."""
    await call.context.queue.limits.delete(call.name(0, "name"))
    return Reply(204, b"", ())


def limit_of(rule: Rule) -> wire.Limit:
    """A limit as it is read."""
    return wire.Limit(
        name=rule.name,
        queue=rule.queue or None,
        key=rule.key or None,
        running=rule.running,
        rate=rule.rate,
        per_s=seconds_or_none(rule.per_ms),
        burst=rule.burst,
        fair=rule.fair,
        created_at=stamp(rule.created_at_ms),
        updated_at=stamp(rule.updated_at_ms),
    )


ROUTES = [
    Route(
        method="PUT",
        path="/v1/limits/{name}",
        handler=put,
        name="put_limit",
        about="Make a limit on claims, or change the one of that name; the next claim goes by it.",
        body=wire.NewLimit,
        answers={201: wire.Limit, 200: wire.Limit},
        errors=["limit_exists", "too_many_limits"],
    ),
    Route(
        method="GET",
        path="/v1/limits",
        handler=read_page,
        name="list_limits",
        about="A page of limits in the order of their names.",
        answers={200: wire.LimitPage},
        parameters=page_parameters("Limits"),
        errors=["invalid_cursor"],
    ),
    Route(
        method="GET",
        path="/v1/limits/{name}",
        handler=read,
        name="get_limit",
        about="One limit.",
        answers={200: wire.Limit},
        errors=_UNKNOWN,
    ),
    Route(
        method="DELETE",
        path="/v1/limits/{name}",
        handler=delete,
        name="delete_limit",
        about="Delete a limit: nothing is held back by it any more.",
        answers={204: None},
        errors=_UNKNOWN,
    ),
]
