"""Why a waiting task waits: for its time, for other tasks, for those before it in the line."""

from collections.abc import Iterator

from tqnode import ids
from tqnode.queue.controls import settings_of
from tqnode.queue.explain.view import Cause, View, counted, cut, from_now, span
from tqnode.settings import aged
from tqnode.sql import statement
from tqnode.store.tx import Row
from tqnode.task import FINAL, WAITING, Needs, TaskState

_PARENTS = statement("explain_parents")
_AHEAD = statement("count_ahead")
_AHEAD_OF_KIND = statement("count_ahead_of_kind")
_SETTINGS = statement("read_settings")

PARENTS_TOLD = 10
"""Parents that are named; of all others the number is said."""
AHEAD_MAX = 10_000
"""Beyond so many before it in the line, it is not said how many more."""

ANY_STATE = '["blocked","scheduled","ready","running","succeeded","dead","cancelled"]'


def expired(view: View) -> Iterator[Cause]:
    """It waited for too long."""
    task = view.task
    if task.state in WAITING and task.expires_at_ms is not None and task.expires_at_ms <= view.now_ms:
        yield Cause(
            "expired",
            f"It expired at {from_now(task.expires_at_ms, view.now_ms)}: no worker gets it any more, and it "
            "is about to be cancelled.",
            {"expires_at_ms": task.expires_at_ms},
        )


def parents(view: View) -> Iterator[Cause]:
    """Tasks that it was enqueued after have not ended."""
    task = view.task
    if task.state is not TaskState.BLOCKED:
        return
    rows = parents_of(view, states=ANY_STATE, still_open=True)
    settling = sum(row[2] in FINAL for row in rows)
    must = "end" if task.needs is Needs.FINISHED else "succeed"
    text = f"It waits for {counted(task.pending, 'task')} to {must}"
    if rows:
        text += ": " + ", ".join(f"{row[1]} {ids.text(row[0])} ({row[2]})" for row in rows)
        text += ", …" if task.pending > len(rows) else ""
    if settling:
        text += "; that some of them have ended is about to be counted"
    yield Cause(
        "parents",
        text + ".",
        {
            "pending": task.pending,
            "after_policy": (task.needs or Needs.SUCCEEDED).value,
            **told_parents(rows),
        },
    )


def parents_of(view: View, *, states: str, still_open: bool) -> list[Row]:
    """The first of a task's parents, those in ``states`` (a JSON array)."""
    which = {"seq": view.seq, "open": still_open, "states": states, "limit": PARENTS_TOLD}
    return view.reader.all(_PARENTS, which)


def told_parents(rows: list[Row]) -> dict[str, object]:
    """Parents as a fact."""
    return {
        "tasks": [
            {"id": ids.text(packed), "kind": kind, "state": state, **({"reason": reason} if reason else {})}
            for packed, kind, state, reason, _ in rows
        ]
    }


def not_due(view: View) -> Iterator[Cause]:
    """Its time has not come; and who has put it off."""
    task = view.task
    late = task.run_at_ms <= view.now_ms
    if task.state is TaskState.SCHEDULED and late:
        yield Cause(
            "due",
            f"Its time came at {from_now(task.run_at_ms, view.now_ms)}: it is about to be made ready.",
            {"run_at_ms": task.run_at_ms},
        )
    if task.state not in (TaskState.SCHEDULED, TaskState.BLOCKED) or late:
        return
    facts: dict[str, object] = {"run_at_ms": task.run_at_ms, "wait_ms": task.run_at_ms - view.now_ms}
    when = f"It is to run at {from_now(task.run_at_ms, view.now_ms)}"
    receipt = view.receipt
    # A task that was given new content since has the time that came with it.
    outcome = receipt.outcome if receipt and receipt.finished.run_at_ms == task.run_at_ms else None
    if outcome == "fail":
        error = task.errors[-1] if task.errors else None
        if error is not None:
            facts["error"] = {
                "type": error.type,
                "message": error.message,
                "attempt": error.attempt,
                "at_ms": error.at_ms,
            }
        why = f", with {cut(f'{error.type}: {error.message}')}" if error else ""
        yield Cause(
            "retry",
            f"{when}: attempt {task.attempt} of {task.max_attempts} failed{why}.",
            facts | {"attempt": task.attempt, "max_attempts": task.max_attempts},
        )
    elif outcome == "snooze":
        worker = task.attempted_by[-1] if task.attempted_by else None
        by = f" by its worker {worker}" if worker else " by its worker"
        yield Cause("snoozed", f"{when}: it was put off{by}.", facts | ({"worker": worker} if worker else {}))
    else:
        yield Cause("delayed", f"{when}, as it was enqueued.", facts)


def ahead(view: View) -> Iterator[Cause]:
    """Who is before it in the line."""
    task = view.task
    if task.state is not TaskState.READY:
        return
    (stored,) = view.reader.one(_SETTINGS, {"queue": task.queue}) or (None,)
    milli = settings_of(stored).age_milli
    if milli is not None:
        yield _ageing(view, milli)
        return
    which = {
        "queue": task.queue,
        "kind": task.kind,
        "priority": task.priority,
        "run_at_ms": task.run_at_ms,
        "seq": view.seq,
        "limit": AHEAD_MAX + 1,
    }
    (all_kinds,) = view.reader.one(_AHEAD, which) or (0,)
    (own_kind,) = view.reader.one(_AHEAD_OF_KIND, which) or (0,)
    facts = {
        "ahead": min(all_kinds, AHEAD_MAX),
        "ahead_of_kind": min(own_kind, AHEAD_MAX),
        "more": all_kinds > AHEAD_MAX,
        "more_of_kind": own_kind > AHEAD_MAX,
        "priority": task.priority,
    }
    if all_kinds:
        text = (
            f"{_bounded(all_kinds)} ready before it in the queue {task.queue}, "
            f"{_bounded(own_kind, verb=False)} of its kind {task.kind}: they have a higher priority than "
            f"{task.priority}, or the same and came first."
        )
    else:
        text = f"It is the first in the line of the queue {task.queue}."
    yield Cause("ahead" if all_kinds else "first", text, facts)


def _ageing(view: View, milli: int) -> Cause:
    """What its priority has grown to: with time, those before it and behind it change places."""
    task = view.task
    waited_ms = max(0, view.now_ms - task.run_at_ms)
    effective = aged(task.priority, milli, waited_ms)
    return Cause(
        "ageing",
        f"It stands in the line of the queue {task.queue}, whose tasks gain {milli / 1000:g} priority per "
        f"minute: its {task.priority} has grown to {effective}. Those that have grown higher go before it, "
        "and of the same those that could run earlier.",
        {
            "priority": task.priority,
            "effective_priority": effective,
            "age_per_minute": milli / 1000,
            "waited_ms": waited_ms,
        },
    )


def _bounded(count: int, *, verb: bool = True) -> str:
    if count > AHEAD_MAX:
        return f"More than {AHEAD_MAX} tasks are" if verb else f"more than {AHEAD_MAX}"
    if not verb:
        return str(count)
    return f"{counted(count, 'task')} {'is' if count == 1 else 'are'}"


def expires(view: View) -> Iterator[Cause]:
    """It will have waited for too long."""
    task = view.task
    if task.state in WAITING and task.expires_at_ms is not None and task.expires_at_ms > view.now_ms:
        never = task.state is TaskState.SCHEDULED and task.run_at_ms >= task.expires_at_ms
        yield Cause(
            "expires",
            f"If it still waits at {from_now(task.expires_at_ms, view.now_ms)}, it is cancelled"
            + (f": {span(task.run_at_ms - task.expires_at_ms)} before its time." if never else "."),
            {"expires_at_ms": task.expires_at_ms, "before_its_time": never},
        )
