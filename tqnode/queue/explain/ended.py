"""How a task ended, and how long it is still there."""

from collections.abc import Iterator

from tqnode import ids
from tqnode.queue.explain.view import Cause, View, counted, cut, from_now
from tqnode.queue.explain.waiting import parents_of, told_parents
from tqnode.task import FINAL, Reason, TaskState

_FAILED = '["dead","cancelled"]'


def ended(view: View) -> Iterator[Cause]:
    """How it ended."""
    task = view.task
    if task.state not in FINAL or task.finished_at_ms is None:
        return
    when = from_now(task.finished_at_ms, view.now_ms)
    facts: dict[str, object] = {
        "finished_at_ms": task.finished_at_ms,
        "attempt": task.attempt,
        "max_attempts": task.max_attempts,
    }
    if task.state is TaskState.SUCCEEDED:
        yield Cause("succeeded", f"Attempt {task.attempt} succeeded at {when}.", facts)
        return
    last = task.errors[-1] if task.errors else None
    if last is not None and task.reason in (Reason.ATTEMPTS, Reason.FAILED, Reason.CRASHED):
        facts["error"] = {
            "type": last.type,
            "message": last.message,
            "attempt": last.attempt,
            "at_ms": last.at_ms,
        }
        with_error = f", with {cut(f'{last.type}: {last.message}')}"
    else:
        with_error = ""
    match task.reason:
        case Reason.ATTEMPTS:
            text = f"Its last attempt, {task.attempt} of {task.max_attempts}, failed at {when}{with_error}."
        case Reason.FAILED:
            text = f"Attempt {task.attempt} failed for good at {when}{with_error}."
        case Reason.CRASHED:
            facts |= {"crashes": task.crashes, "crashes_max": view.config.crashes_max}
            silent = counted(task.crashes, "worker")
            text = f"{silent} in a row fell silent over it, the last one at {when}{with_error}."
        case Reason.REQUESTED:
            text = f"It was cancelled on request, at {when}."
        case Reason.EXPIRED:
            facts["expires_at_ms"] = task.expires_at_ms
            text = f"It had waited for too long, and was cancelled at {when}."
        case Reason.DEPENDENCY:
            rows = parents_of(view, states=_FAILED, still_open=False)
            facts |= told_parents(rows)
            named = ", ".join(f"{row[1]} {ids.text(row[0])} ({row[2]})" for row in rows)
            text = f"A task that it waited for ended without success, so it was cancelled at {when}: "
            text += f"{named or 'one that is not there any more'}."
        case _:
            text = f"It ended at {when}: {task.reason}."
    yield Cause(task.reason or task.state.value, text, facts)


def retention(view: View) -> Iterator[Cause]:
    """When it is deleted."""
    task, config = view.task, view.config
    if task.state not in FINAL or task.finished_at_ms is None:
        return
    kept_s = {
        TaskState.SUCCEEDED: config.keep_succeeded_s,
        TaskState.DEAD: config.keep_dead_s,
        TaskState.CANCELLED: config.keep_cancelled_s,
    }[task.state]
    key = f"keep_{task.state}_s"
    if kept_s < 0:
        yield Cause("kept", f"It is kept until somebody deletes it ({key} is -1).", {})
        return
    delete_ms = task.finished_at_ms + kept_s * 1000
    if delete_ms <= view.now_ms:
        text = f"It is about to be deleted ({key})."
    else:
        text = f"It is deleted at {from_now(delete_ms, view.now_ms)} ({key})."
    yield Cause("kept", text, {"delete_at_ms": delete_ms})
