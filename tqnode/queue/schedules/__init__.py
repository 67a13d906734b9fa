"""The schedules: put, looked at, paused, resumed, deleted; ``firing`` has what they do when they are due."""

from typing import Literal

import msgspec

from tqnode import ids
from tqnode.errors import InvalidField, NotFound
from tqnode.queue import cursors
from tqnode.queue.rows import Reads
from tqnode.sql import statement
from tqnode.store.readers import Reader
from tqnode.store.tx import Row, Tx
from tqnode.task import TaskSpec
from tqnode.timing import Cron, Every, Timing

_READ = statement("read_schedule")
_LIST = statement("list_schedules")
_COUNT = statement("count_schedules")
_PUT = statement("put_schedule")
_PUT_TASK = statement("put_schedule_task")
_SET_PAUSED = statement("set_schedule_paused")
_DELETE = statement("delete_schedule")
_DELETE_TASK = statement("delete_schedule_task")

PAGE_BYTES_MAX = 4 * 1024 * 1024
"""Metas and the like on one page: it ends short rather than take any amount of memory."""

Missed = Literal["skip", "one", "all"]
"""What becomes of ticks that nobody was there for: nothing, one task for all of them, or one for each."""
Overlap = Literal["allow", "skip", "replace"]
"""What becomes of a tick while the last one's task is not final: a task, none, or one in its place."""


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """The task that each tick makes.

    Args:
        spec: with every default filled in, without a time.
        expires_ms: how long it may wait; None for ever.
    """

    spec: TaskSpec
    expires_ms: int | None = None


class ScheduleSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule that is put; ``paused`` None leaves one that is there already as it is."""

    name: str
    timing: Timing
    template: Template
    missed: Missed
    overlap: Overlap
    paused: bool | None = None


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as it stands; its payload is empty in lists."""

    name: str
    timing: Timing
    template: Template
    missed: Missed
    overlap: Overlap
    paused: bool
    created_at_ms: int
    updated_at_ms: int
    next_ms: int | None
    """The first tick that was not dealt with yet."""
    due_ms: int | None
    """When it is looked at."""
    done_ms: int | None
    """The last tick that was dealt with."""
    fired_ms: int | None
    """The last tick that made a task,"""
    last_task: str | None
    """and that task."""
    fires: int
    skips: int


class SchedulePage(msgspec.Struct, frozen=True):
    """``next_cursor`` is None on the last page."""

    schedules: list[Schedule]
    next_cursor: str | None


def read(reader: Reads, name: str) -> Schedule:
    """One schedule.

    Raises:
        NotFound: there is none of that name.
    """
    row = reader.one(_READ, {"name": name})
    if row is None:
        raise NotFound("schedule", name)
    return _schedule_of(row)


def page(reader: Reader, *, limit: int, cursor: str | None) -> SchedulePage:
    """Schedules in the order of their names, from the cursor on.

    Raises:
        InvalidCursor: no page ended with this cursor.
    """
    after = cursors.name_of(cursor)
    found: list[Schedule] = []
    size = 0
    for row in reader.each(_LIST, {"after": after, "limit": limit + 1}):
        if len(found) == limit or size >= PAGE_BYTES_MAX:
            return SchedulePage(found, cursors.of_name(found[-1].name))
        found.append(_schedule_of(row))
        size += len(row[19])
    return SchedulePage(found, None)


def put(tx: Tx, spec: ScheduleSpec, *, limit: int) -> tuple[Schedule, bool]:
    """Makes a schedule, or gives the one of that name what is said now.

    One that is said again as it is stays as it is. As long as it ticks at the same times, what it has fired
    and when it is due next stay too.

    Args:
        limit: how many schedules there may be.

    Returns:
        The schedule, and whether it is new.

    Raises:
        InvalidField: it never ticks, or there are too many already.
    """
    row = tx.one(_READ, {"name": spec.name})
    if spec.timing.after(tx.now_ms) is None:
        raise InvalidField("no time to come is like that", field="cron", code="invalid_cron")
    if row is None:
        if sum(count for _, count in tx.all(_COUNT)) >= limit:
            raise InvalidField(
                f"there are {limit} schedules already, the most allowed",
                limit=limit,
                code="too_many_schedules",
            )
        _write(tx, spec, None)
    else:
        old = _schedule_of(row)
        if _says_the_same(spec, old):
            return old, False
        _write(tx, spec, old)
    return read(tx, spec.name), row is None


def _says_the_same(spec: ScheduleSpec, old: Schedule) -> bool:
    return (
        _same_times(spec.timing, old.timing)
        and spec.template == old.template
        and (spec.missed, spec.overlap) == (old.missed, old.overlap)
        and spec.paused in (None, old.paused)
    )


def _same_times(new: Timing, old: Timing) -> bool:
    if isinstance(new, Every) and isinstance(old, Every):
        return new.every_ms == old.every_ms
    return new == old


def _write(tx: Tx, spec: ScheduleSpec, old: Schedule | None) -> None:
    paused = bool(old is not None and old.paused) if spec.paused is None else spec.paused
    timing = spec.timing
    if old is not None and _same_times(timing, old.timing):
        timing = old.timing
    if old is not None and timing == old.timing and not (old.paused and not paused):
        next_ms, due_ms = old.next_ms, old.due_ms
    else:
        next_ms = due_ms = _next_ms(tx, timing, None if old is None else old.done_ms)
    tx.run(
        _PUT,
        {
            "name": spec.name,
            **_columns_of(timing),
            "missed": spec.missed,
            "overlap": spec.overlap,
            "paused": paused,
            "now_ms": tx.now_ms,
            "next_ms": next_ms,
            "due_ms": due_ms,
        },
    )
    template = spec.template
    bare = msgspec.structs.replace(template, spec=msgspec.structs.replace(template.spec, payload=b""))
    task = {"name": spec.name, "spec": _encode(bare), "payload": template.spec.payload}
    tx.run(_PUT_TASK, task)
    if due_ms is not None and not paused:
        tx.effects.due_ms.append(due_ms)


def _columns_of(timing: Timing) -> dict[str, str | int | None]:
    columns: dict[str, str | int | None] = dict.fromkeys(("cron", "time_zone", "dst_gap", "dst_overlap"))
    if isinstance(timing, Every):
        return columns | {"every_ms": timing.every_ms, "anchor_ms": timing.anchor_ms}
    return {
        "cron": timing.expression,
        "time_zone": timing.time_zone,
        "dst_gap": timing.dst_gap,
        "dst_overlap": timing.dst_overlap,
        "every_ms": None,
        "anchor_ms": 0,
    }


def _next_ms(tx: Tx, timing: Timing, done_ms: int | None) -> int | None:
    """The tick that is next from now on; what was dealt with does not come again, were the clock set back."""
    return timing.after(tx.now_ms if done_ms is None else max(tx.now_ms, done_ms))


def set_paused(tx: Tx, name: str, *, paused: bool) -> Schedule:
    """Pauses or resumes a schedule; what ticks while it is paused is not missed.

    Raises:
        NotFound: there is none of that name.
    """
    old = read(tx, name)
    if old.paused == paused:
        return old
    next_ms, due_ms = old.next_ms, old.due_ms
    if not paused:
        next_ms = due_ms = _next_ms(tx, old.timing, old.done_ms)
        if due_ms is not None:
            tx.effects.due_ms.append(due_ms)
    params = {"name": name, "paused": paused, "next_ms": next_ms, "due_ms": due_ms, "now_ms": tx.now_ms}
    tx.run(_SET_PAUSED, params)
    return read(tx, name)


def delete(tx: Tx, name: str) -> None:
    """Deletes a schedule; the tasks it has made stay.

    Raises:
        NotFound: there is none of that name.
    """
    if not tx.run(_DELETE, {"name": name}):
        raise NotFound("schedule", name)
    tx.run(_DELETE_TASK, {"name": name})


def _schedule_of(row: Row) -> Schedule:
    timing: Timing
    if row[1] is None:
        timing = Every(every_ms=row[5], anchor_ms=row[6])
    else:
        timing = Cron(expression=row[1], time_zone=row[2], dst_gap=row[3], dst_overlap=row[4])
    template = _template(row[19])
    return Schedule(
        name=row[0],
        timing=timing,
        template=msgspec.structs.replace(
            template, spec=msgspec.structs.replace(template.spec, payload=bytes(row[20]))
        ),
        missed=row[7],
        overlap=row[8],
        paused=bool(row[9]),
        created_at_ms=row[10],
        updated_at_ms=row[11],
        next_ms=row[12],
        due_ms=row[13],
        done_ms=row[14],
        fired_ms=row[15],
        last_task=None if row[16] is None else ids.text(row[16]),
        fires=row[17],
        skips=row[18],
    )


_encode = msgspec.json.Encoder().encode
_template = msgspec.json.Decoder(Template).decode
