"""Makes the tasks of schedules that are due; the sweeper has it done.

A tick's task and the schedule's step to its next tick are one operation of the writer, so one transaction:
neither a crash nor a new leader can find the one without the other. A tick that was dealt with lies at or
before the row's ``done_ms``, and nothing up to there is looked at again, wherever the wall clock goes.
"""

import logging
from collections.abc import Sequence
from functools import partial
from itertools import takewhile

import msgspec

from tqnode import ids
from tqnode.errors import InvalidField, QueueDraining, QueueFull, UniqueConflict
from tqnode.metrics import Metrics
from tqnode.queue.enqueue import Enqueuer
from tqnode.queue.manage import Manager
from tqnode.queue.meta import with_note
from tqnode.queue.rows import place
from tqnode.queue.schedules import Missed, Schedule, read
from tqnode.sql import statement
from tqnode.store.tx import Tx
from tqnode.task import FINAL, TaskSpec, TaskState
from tqnode.timing import Timing, following, stamp

_FIND_DUE = statement("find_due_schedules")
_FIND_TASK_STATE = statement("find_task_state")
_ADVANCE = statement("advance_schedule")
_PUT_OFF = statement("put_off_schedule")

LATE_MS = 60_000
"""A tick whose task comes this much later counts as missed; so does one that another is due after."""
MADE_UP_MAX = 100
"""Missed ticks that are made up for, the latest ones."""
PIECES_A_TICK = 4
"""Pieces of a slice that one tick counts for: it is about so many times the work of others."""
BROKEN_MS = 60_000
"""After which a schedule that can't be reckoned is looked at again."""
DRAINED_S = 5.0
"""After which a schedule looks again whether its queue takes tasks."""
META_KEY = "schedule"

logger = logging.getLogger(__name__)


class Due(msgspec.Struct, frozen=True):
    """What is to be done for a schedule now.

    Args:
        ticks: those that get a task, in order.
        late: those of them that were missed.
        left_out: whether there were others, which get none.
        through_ms: up to where all are dealt with then.
    """

    ticks: Sequence[int]
    late: frozenset[int]
    left_out: bool
    through_ms: int


def due(timing: Timing, *, next_ms: int, now_ms: int, missed: Missed, room: int) -> Due:
    """What the ticks from ``next_ms`` to ``now_ms`` come to.

    Args:
        timing: when it ticks.
        next_ms: the first tick that was not dealt with, not later than now.
        now_ms: the wall time.
        missed: what becomes of those that were missed.
        room: for how many ticks there is time now.
    """
    after = timing.after(next_ms)
    latest = next_ms
    if after is not None and after <= now_ms:
        # Never an earlier one, though the zone's rules have changed since.
        latest = max(timing.before(now_ms + 1) or next_ms, next_ms)
    if missed == "all":
        first = latest
        for _ in range(MADE_UP_MAX - 1):
            earlier = timing.before(first)
            if earlier is None or earlier < next_ms:
                break
            first = earlier
        rest = following(timing, first, room - 1)
        ticks = [first, *takewhile(lambda tick: tick <= latest, rest)]
    elif missed == "one" or now_ms - latest <= LATE_MS:
        ticks = [latest]
    else:
        ticks = []
    late = frozenset(tick for tick in ticks if tick != latest or now_ms - tick > LATE_MS)
    left_out = not ticks or ticks[0] != next_ms
    return Due(ticks, late, left_out, ticks[-1] if ticks else latest)


class Firing:
    """Deals with due schedules.

    Args:
        enqueuer: makes their tasks.
        manager: cancels those that are replaced.
        metrics: counts them.
    """

    def __init__(self, *, enqueuer: Enqueuer, manager: Manager, metrics: Metrics) -> None:
        self._enqueuer = enqueuer
        self._manager = manager
        self._metrics = metrics

    def fire_due(self, tx: Tx, limit: int) -> int:
        """Does up to ``limit`` pieces of what is due; answers how many it did."""
        room = max(1, limit // PIECES_A_TICK)
        ticks = 0
        for (name,) in tx.all(_FIND_DUE, {"now_ms": tx.now_ms, "limit": room}):
            ticks += self._fire(tx, read(tx, name), room=room - ticks)
            if ticks >= room:
                return max(limit, ticks * PIECES_A_TICK)
        return min(ticks * PIECES_A_TICK, limit - 1)

    def _fire(self, tx: Tx, schedule: Schedule, *, room: int) -> int:
        """Deals with one that is due; how many ticks that were, at least 1."""
        timing = schedule.timing
        try:
            now = due(timing, next_ms=_next_of(schedule), now_ms=tx.now_ms, missed=schedule.missed, room=room)
            next_ms = timing.after(now.through_ms)
        except InvalidField as error:
            # Its neighbours go on.
            logger.error("schedule %s stands still: %s %s", schedule.name, error.field, error.detail)
            tx.run(_PUT_OFF, {"name": schedule.name, "due_ms": tx.now_ms + BROKEN_MS})
            return 1
        if now.left_out:
            schedule = self._left_out(schedule, "missed")
        due_ms = next_ms
        done_ms: int | None = now.through_ms
        for tick in now.ticks:
            try:
                schedule = tx.atomically(partial(self._tick, tx, schedule, tick, late=tick in now.late))
            except UniqueConflict:
                schedule = self._left_out(schedule, "unique")
            except (QueueFull, QueueDraining) as error:
                logger.warning("schedule %s waits: %s", schedule.name, error.detail)
                wait_s = error.retry_after_s if isinstance(error, QueueFull) else DRAINED_S
                next_ms, due_ms = tick, tx.now_ms + round(wait_s * 1000)
                done_ms = schedule.done_ms
                break
            schedule = msgspec.structs.replace(schedule, done_ms=tick)
        tx.run(
            _ADVANCE,
            {
                "name": schedule.name,
                "next_ms": next_ms,
                "due_ms": due_ms,
                "done_ms": done_ms,
                "fired_ms": schedule.fired_ms,
                "last_task": None if schedule.last_task is None else ids.parse(schedule.last_task),
                "fires": schedule.fires,
                "skips": schedule.skips,
            },
        )
        if due_ms is not None:
            tx.effects.due_ms.append(due_ms)
        return max(1, len(now.ticks))

    def _tick(self, tx: Tx, schedule: Schedule, tick: int, *, late: bool) -> Schedule:
        """Makes a tick's task, if the last one's does not stand in the way.

        Raises:
            QueueDraining: its queue takes no new tasks.
            QueueFull: there is no room for it.
            UniqueConflict: another task holds its key, and goes on to.
        """
        last = schedule.last_task
        if last is not None and schedule.overlap != "allow" and not _is_final(tx, last):
            if schedule.overlap == "skip":
                return self._left_out(schedule, "overlap")
            self._manager.cancel(tx, last)
        spec = task_of(schedule, tick, late=late, now_ms=tx.now_ms)
        (made,) = self._enqueuer.enqueue(tx, [spec])
        if made.duplicate and spec.unique_mode == "skip":
            raise UniqueConflict(f"task {made.id} holds the key {spec.unique_key!r}", task=made.id)
        self._metrics.schedule_fires.inc()
        return msgspec.structs.replace(schedule, fired_ms=tick, last_task=made.id, fires=schedule.fires + 1)

    def _left_out(self, schedule: Schedule, reason: str) -> Schedule:
        self._metrics.schedule_skips.labels(reason).inc()
        return msgspec.structs.replace(schedule, skips=schedule.skips + 1)


def _next_of(schedule: Schedule) -> int:
    if schedule.next_ms is None:
        raise ValueError(f"schedule {schedule.name} is due and has no tick")
    return schedule.next_ms


def _is_final(tx: Tx, task_id: str) -> bool:
    """Whether a task has ended, or is gone."""
    row = tx.one(_FIND_TASK_STATE, place(task_id))
    return row is None or TaskState(row[0]) in FINAL


def task_of(schedule: Schedule, tick: int, *, late: bool, now_ms: int) -> TaskSpec:
    """The task of one tick; its meta says whose and which."""
    template = schedule.template
    about: dict[str, object] = {"name": schedule.name, "at": stamp(tick)}
    if late:
        about["missed"] = True
    return msgspec.structs.replace(
        template.spec,
        meta=with_note(template.spec.meta, META_KEY, msgspec.json.encode(about)),
        expires_at_ms=None if template.expires_ms is None else now_ms + template.expires_ms,
    )
