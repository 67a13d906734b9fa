"""Schedules: put, looked at, paused, resumed, deleted."""

from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from tq import wire
from tqnode.api.call import Call, Reply, json_reply
from tqnode.api.convert import Conversion, ms_of
from tqnode.api.decode import Decoder, within
from tqnode.api.filters import CURSOR_CHARS_MAX
from tqnode.api.hooks import WEBHOOK_ERRORS
from tqnode.api.paging import asked_page, page_parameters
from tqnode.api.query import integer, query_of
from tqnode.api.route import Parameter, Route
from tqnode.api.stamps import stamp, stamp_or_none
from tqnode.api.views import raw, retry_of, seconds, seconds_or_none, webhook_of
from tqnode.errors import BadRequest, InvalidField
from tqnode.queue.schedules import Schedule, ScheduleSpec, Template
from tqnode.queue.schedules.firing import META_KEY
from tqnode.task import TaskSpec
from tqnode.timing import Every, Timing, cron, following

NEXT_RUNS = 5
NEXT_RUNS_MAX = 100
UTC = "UTC"

_new = Decoder(wire.NewSchedule)
_object = msgspec.json.Decoder(dict[str, Raw]).decode

_UNKNOWN = ["schedule_not_found"]


async def put(call: Call) -> Reply:
    """Makes a schedule, or changes the one of that name."""
    name = call.name(0, "name")
    new = await call.json(_new)
    now_ms = call.context.clock.now_ms()
    spec = ScheduleSpec(
        name=name,
        timing=_timing(new, now_ms),
        template=_template(call.context.conversion, new.task, now_ms),
        missed=new.missed,
        overlap=new.overlap,
        paused=new.paused,
    )
    schedule, made = await call.context.queue.scheduler.put(spec)
    return json_reply(201 if made else 200, _schedule_of(schedule, NEXT_RUNS))


def _timing(new: wire.NewSchedule, now_ms: int) -> Timing:
    """
    Raises:
        InvalidField: it says no times, or two kinds of them, or such as never come.
    """
    if new.cron is not None and new.every_s is not None:
        raise InvalidField("cron and every_s exclude each other", field="every_s")
    if new.cron is not None:
        return cron(new.cron, new.time_zone or UTC, dst_gap=new.dst_gap, dst_overlap=new.dst_overlap)
    if new.every_s is None:
        raise InvalidField("cron or every_s is required", field="cron", code="missing_field")
    for field in ("time_zone", "dst_gap", "dst_overlap"):
        if getattr(new, field) is not None:
            raise InvalidField("goes with cron alone: an interval knows no time zone", field=field)
    return Every(every_ms=ms_of(new.every_s), anchor_ms=now_ms)


def _template(conversion: Conversion, task: wire.ScheduleTask, now_ms: int) -> Template:
    """
    Raises:
        InvalidField: a field of the task is beyond this node's limits.
    """
    fields = {name: getattr(task, name) for name in task.__struct_fields__ if name != "expires_s"}
    try:
        spec = conversion.spec(wire.NewTask(**fields), now_ms)
        if spec.meta is not None and META_KEY in _object(spec.meta):
            raise InvalidField("each task's own schedule is told under this key", field=f"meta.{META_KEY}")
    except BadRequest as error:
        raise within(error, "task") from None
    expires_ms = None if task.expires_s is None else max(1, ms_of(task.expires_s))
    return Template(spec=spec, expires_ms=expires_ms)


async def read(call: Call) -> Reply:
    """One schedule."""
    name = call.name(0, "name")
    count = NEXT_RUNS
    if call.scope["query_string"]:
        asked = integer(query_of(call.scope, ("next_runs",)), "next_runs", low=0, high=NEXT_RUNS_MAX)
        count = NEXT_RUNS if asked is None else asked
    return json_reply(200, _schedule_of(await call.context.queue.scheduler.get(name), count))


async def read_page(call: Call) -> Reply:
    """A page of schedules."""
    limit, cursor = asked_page(call, cursor_chars_max=2 * CURSOR_CHARS_MAX)
    page = await call.context.queue.scheduler.page(limit=limit, cursor=cursor)
    rows = [_schedule_of(schedule, 1, bodies=False) for schedule in page.schedules]
    return json_reply(200, wire.SchedulePage(schedules=rows, next_cursor=page.next_cursor))


async def pause(call: Call) -> Reply:
    """Has a schedule make no tasks."""
    name = call.name(0, "name")
    return json_reply(200, _schedule_of(await call.context.queue.scheduler.pause(name), NEXT_RUNS))


async def resume(call: Call) -> Reply:
    """Has a schedule make tasks again."""
    name = call.name(0, "name")
    return json_reply(200, _schedule_of(await call.context.queue.scheduler.resume(name), NEXT_RUNS))


async def delete(call: Call) -> Reply:
    """Deletes a schedule."""
    await call.context.queue.scheduler.delete(call.name(0, "name"))
    return Reply(204, b"", ())


def _schedule_of(schedule: Schedule, next_runs: int, *, bodies: bool = True) -> wire.Schedule:
    """A schedule as it is read.

    Args:
        schedule: the core's.
        next_runs: how many of its ticks to come are told.
        bodies: whether the payload is part of it.
    """
    timing = schedule.timing
    runs: list[int] = []
    if schedule.next_ms is not None and not schedule.paused and next_runs:
        runs = [schedule.next_ms, *following(timing, schedule.next_ms, next_runs - 1)]
    return wire.Schedule(
        name=schedule.name,
        **_times_of(timing),
        task=_task_of(schedule.template, payload=raw(schedule.template.spec.payload) if bodies else UNSET),
        missed=schedule.missed,
        overlap=schedule.overlap,
        paused=schedule.paused,
        created_at=stamp(schedule.created_at_ms),
        updated_at=stamp(schedule.updated_at_ms),
        last_run=stamp_or_none(schedule.fired_ms),
        last_task=schedule.last_task,
        next_runs=[stamp(run) for run in runs],
        fires=schedule.fires,
        skips=schedule.skips,
    )


def _times_of(timing: Timing) -> dict[str, Any]:
    if isinstance(timing, Every):
        return {"every_s": seconds(timing.every_ms)}
    return {
        "cron": timing.expression,
        "time_zone": timing.time_zone,
        "dst_gap": timing.dst_gap,
        "dst_overlap": timing.dst_overlap,
    }


def _task_of(template: Template, *, payload: Raw | UnsetType) -> wire.ScheduledTask:
    spec = template.spec
    return wire.ScheduledTask(
        kind=spec.kind,
        queue=spec.queue,
        priority=spec.priority,
        max_attempts=spec.max_attempts,
        lease_s=seconds(spec.lease_ms),
        payload=payload,
        meta=raw(spec.meta),
        retry=retry_of(spec.retry),
        timeout_s=seconds_or_none(spec.timeout_ms),
        expires_s=seconds_or_none(template.expires_ms),
        tags=list(spec.tags),
        unique=_unique_of(spec),
        webhook=webhook_of(spec.webhook),
        limit_key=spec.limit_key,
        result_ttl_s=seconds_or_none(spec.result_ttl_ms),
    )


def _unique_of(spec: TaskSpec) -> wire.Unique | None:
    if spec.unique_key is None:
        return None
    return wire.Unique(
        key=None if spec.unique_fields else spec.unique_key,
        fields=list(spec.unique_fields) or None,
        period_s=seconds_or_none(spec.unique_period_ms),
        on_conflict=spec.unique_mode,  # type: ignore[arg-type]  # it came from one of these
        max_wait_s=seconds_or_none(spec.unique_wait_max_ms),
        states=spec.unique_states.split(),  # type: ignore[arg-type]  # they came from these
    )


ROUTES = [
    Route(
        method="PUT",
        path="/v1/schedules/{name}",
        handler=put,
        name="put_schedule",
        about="Make a schedule, or change the one of that name; said again as it is, it stays as it is.",
        body=wire.NewSchedule,
        answers={201: wire.Schedule, 200: wire.Schedule},
        errors=["invalid_cron", "unknown_time_zone", "too_many_schedules", *WEBHOOK_ERRORS],
    ),
    Route(
        method="GET",
        path="/v1/schedules",
        handler=read_page,
        name="list_schedules",
        about="A page of schedules in the order of their names, without the payloads.",
        answers={200: wire.SchedulePage},
        parameters=page_parameters("Schedules"),
        errors=["invalid_cursor"],
    ),
    Route(
        method="GET",
        path="/v1/schedules/{name}",
        handler=read,
        name="get_schedule",
        about="One schedule, with its task and when it is due next.",
        answers={200: wire.Schedule},
        parameters=[
            Parameter(
                name="next_runs",
                schema={"type": "integer", "minimum": 0, "maximum": NEXT_RUNS_MAX, "default": NEXT_RUNS},
                about="How many of the ticks to come are told.",
            )
        ],
        errors=_UNKNOWN,
    ),
    Route(
        method="DELETE",
        path="/v1/schedules/{name}",
        handler=delete,
        name="delete_schedule",
        about="Delete a schedule; the tasks it has made stay.",
        answers={204: None},
        errors=_UNKNOWN,
    ),
    Route(
        method="POST",
        path="/v1/schedules/{name}/pause",
        handler=pause,
        name="pause_schedule",
        about="Make no tasks from this schedule until it is resumed.",
        answers={200: wire.Schedule},
        errors=_UNKNOWN,
    ),
    Route(
        method="POST",
        path="/v1/schedules/{name}/resume",
        handler=resume,
        name="resume_schedule",
        about="Make tasks from this schedule again, from its next tick on.",
        answers={200: wire.Schedule},
        errors=_UNKNOWN,
    ),
]
