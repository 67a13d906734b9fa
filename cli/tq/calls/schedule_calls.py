"""The calls on schedules as values, as :mod:`tq.calls` has those on all else; both clients make them."""

from __future__ import annotations

from typing import Any, TypedDict

import msgspec

from tq import wire
from tq.calls import Call, Repeat, _delete, _query, _read, _reader, _segment, _write

# A task that is enqueued at a tick has the tick's time, and waits for nothing else.
_NONE_OF = ("delay_s", "run_at", "expires_at", "ref", "after")
_SHARED = [name for name in wire.ScheduleTask.__struct_fields__ if name in wire.NewTask.__struct_fields__]


class ScheduleOptions(TypedDict, total=False):
    """When a schedule ticks, and what it does then; what is absent or ``None`` is left to the node."""

    cron: str | None
    """Minute, hour, day of month, month, day of week; six fields begin with the second."""
    every_s: float | None
    """Seconds between two ticks, instead of ``cron``."""
    time_zone: str | None
    """Of ``cron``, such as ``Europe/Berlin``; UTC without one."""
    dst_gap: wire.DstGap | None
    dst_overlap: wire.DstOverlap | None
    missed: wire.Missed | None
    overlap: wire.Overlap | None
    paused: bool | None
    expires_s: float | None
    """Seconds for which each task may wait before it is cancelled."""


def put_schedule(name: str, task: wire.NewTask, options: ScheduleOptions) -> Call[wire.Schedule]:
    """Puts a schedule.

    Raises:
        TypeError: an option that does not exist.
        ValueError: the task has a time of its own.
    """
    fields: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    body = wire.NewSchedule(task=_each(task, fields.pop("expires_s", None)), **fields)
    return Call(
        method="PUT",
        path=_path(name),
        read=_reader(wire.Schedule),
        # By its name the node knows it again; a second one of the same words changes nothing.
        repeat=Repeat.SAFE,
        body=msgspec.json.encode(body),
    )


def schedule(name: str, *, next_runs: int | None) -> Call[wire.Schedule]:
    return _read(f"{_path(name)}{_query({'next_runs': next_runs})}", wire.Schedule)


def schedule_page(*, limit: int | None, cursor: str | None) -> Call[wire.SchedulePage]:
    return _read(f"/v1/schedules{_query({'limit': limit, 'cursor': cursor})}", wire.SchedulePage)


def pause_schedule(name: str) -> Call[wire.Schedule]:
    return _write(f"{_path(name)}/pause", None, wire.Schedule)


def resume_schedule(name: str) -> Call[wire.Schedule]:
    return _write(f"{_path(name)}/resume", None, wire.Schedule)


def delete_schedule(name: str) -> Call[None]:
    return _delete(_path(name))


def _path(name: str) -> str:
    return f"/v1/schedules/{_segment(name)}"


def _each(task: wire.NewTask, expires_s: float | None) -> wire.ScheduleTask:
    for field in _NONE_OF:
        if getattr(task, field) not in (None, []):
            raise ValueError(f"a schedule's task has no {field}: the schedule says when it comes")
    fields = {name: getattr(task, name) for name in _SHARED}
    return wire.ScheduleTask(**fields, expires_s=expires_s)
