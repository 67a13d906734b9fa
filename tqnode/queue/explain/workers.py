"""Whether anybody is there who would take a ready task."""

from collections.abc import Iterator

from tqnode.queue.explain.view import Cause, View, counted, span
from tqnode.sql import statement
from tqnode.task import TaskState

_WORKERS = statement("explain_workers")
_COUNT_HELD = statement("count_held")
_COUNT_ALL = statement("count_workers")

WORKERS_MAX = 1_000
"""Workers that are looked at."""
HELD_MAX = 20_000
"""Running tasks that are looked at for whose they are: of more, some workers may seem less busy."""
WORKERS_TOLD = 5
"""Workers that are named."""
BEATS_MISSED = 3
"""Heartbeats after which a worker is taken to be gone."""


def workers(view: View) -> Iterator[Cause]:
    """Who would take it: nobody, nobody who is alive, nobody who may, nobody who has a free slot; or who has.

    What workers leave out by priority they do not register, and who claims without registering is not known.
    """
    task = view.task
    if task.state is not TaskState.READY:
        return
    which = {"queue": task.queue, "kind": task.kind, "limit": WORKERS_MAX}
    rows = view.reader.all(_WORKERS, which)
    facts: dict[str, object] = {"queue": task.queue, "kind": task.kind}
    suits = f"for tasks of the kind {task.kind} in the queue {task.queue}"
    if not rows:
        registered = sum(count for _, count in view.reader.all(_COUNT_ALL))
        others = (
            f"; {counted(registered, 'other')} {'is' if registered == 1 else 'are'}" if registered else ""
        )
        yield Cause(
            "no_worker", f"No worker is registered {suits}{others}.", facts | {"registered": registered}
        )
        return
    silent_ms = round(BEATS_MISSED * view.config.worker_heartbeat_s * 1000)
    heard = [row for row in rows if view.now_ms - row[3] <= silent_ms]
    if not heard:
        last_ms = max(row[3] for row in rows)
        yield Cause(
            "workers_silent",
            f"No worker {suits} was heard of in the last {span(silent_ms)}; the last one "
            f"{span(view.now_ms - last_ms)} ago.",
            facts | {"workers": len(rows), "heartbeat_at_ms": last_ms},
        )
        return
    willing = [row for row in heard if row[2] == "run"]
    if not willing:
        were = "was" if len(heard) == 1 else "were"
        yield Cause(
            "workers_quiet",
            f"{_all_of(len(heard))} {suits} {were} told to take no more tasks.",
            facts | {"workers": _named(heard)},
        )
        return
    held: dict[str, int] = dict(view.reader.all(_COUNT_HELD, {"limit": HELD_MAX}))
    slots = sum(row[4] for row in willing)
    busy = sum(min(row[4], held.get(row[0], 0)) for row in willing)
    facts |= {"workers": _named(willing), "slots": slots, "held": busy}
    if busy >= slots:
        yield Cause(
            "workers_busy",
            f"{_all_of(len(willing))} {suits} {'is' if len(willing) == 1 else 'are'} busy: they hold {busy} "
            f"tasks in {counted(slots, 'slot')}.",
            facts,
        )
    else:
        yield Cause(
            "workers_free",
            f"{counted(len(willing), 'worker')} {suits} {'has' if len(willing) == 1 else 'have'} "
            f"{slots - busy} of {counted(slots, 'slot')} free, unless told to leave out such a priority.",
            facts,
        )


def _all_of(count: int) -> str:
    return "The one worker" if count == 1 else f"All {count} workers"


def _named(rows: list[tuple[object, ...]]) -> list[dict[str, object]]:
    return [{"id": row[0], "name": row[1], "state": row[2]} for row in rows[:WORKERS_TOLD]]
