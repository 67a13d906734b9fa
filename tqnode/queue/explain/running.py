"""Who has a running task, since when, and what is to become of it."""

from collections.abc import Iterator

import msgspec

from tqnode.queue.explain.view import Cause, View, counted, from_now, span
from tqnode.sql import statement
from tqnode.task import TaskState

_WORKER = statement("explain_worker")

PROGRESS_BYTES_MAX = 1_000
"""Of progress that is told."""


def running(view: View) -> Iterator[Cause]:
    """A worker has it."""
    task = view.task
    if task.state is not TaskState.RUNNING or task.lease_expires_at_ms is None:
        return
    began_ms = view.now_ms if task.started_at_ms is None else task.started_at_ms
    heard_ms = task.lease_expires_at_ms - task.lease_ms
    row = view.reader.one(_WORKER, {"id": task.worker})
    name = f"{row[0]} ({task.worker})" if row else str(task.worker)
    facts: dict[str, object] = {
        "worker": task.worker,
        "attempt": task.attempt,
        "max_attempts": task.max_attempts,
        "started_at_ms": began_ms,
        "heartbeat_at_ms": heard_ms,
        "lease_expires_at_ms": task.lease_expires_at_ms,
    }
    if row is not None:
        facts |= {"worker_name": row[0], "worker_state": row[1], "host": row[3]}
    if task.progress is not None and len(task.progress) <= PROGRESS_BYTES_MAX:
        facts["progress"] = msgspec.Raw(task.progress)
    yield Cause(
        "running",
        f"The worker {name} has it since {from_now(began_ms, view.now_ms)}, attempt {task.attempt} of "
        f"{task.max_attempts}; it was last heard of {span(view.now_ms - heard_ms)} ago, and its lease ends "
        f"{from_now(task.lease_expires_at_ms, view.now_ms)}.",
        facts,
    )


def lease_over(view: View) -> Iterator[Cause]:
    """Its worker has fallen silent."""
    task = view.task
    ends_ms = task.lease_expires_at_ms
    if task.state is TaskState.RUNNING and ends_ms is not None and ends_ms <= view.now_ms:
        yield Cause(
            "lease_over",
            f"Its worker has fallen silent: the lease ended {span(view.now_ms - ends_ms)} ago, and the task "
            "is about to be taken back.",
            {"lease_expires_at_ms": ends_ms, "crashes": task.crashes},
        )


def cancel_requested(view: View) -> Iterator[Cause]:
    """Somebody wants it to stop."""
    at_ms = view.task.cancel_requested_at_ms
    if view.task.state is TaskState.RUNNING and at_ms is not None:
        yield Cause(
            "cancel_requested",
            f"It was asked to stop at {from_now(at_ms, view.now_ms)}: its worker is told with each "
            "heartbeat.",
            {"cancel_requested_at_ms": at_ms},
        )


def overtime(view: View) -> Iterator[Cause]:
    """The attempt takes longer than it may."""
    task = view.task
    if task.state is not TaskState.RUNNING or task.timeout_ms is None or task.started_at_ms is None:
        return
    over_ms = view.now_ms - task.started_at_ms - task.timeout_ms
    if over_ms > 0:
        yield Cause(
            "overtime",
            f"The attempt may take {span(task.timeout_ms)}, and has taken {span(over_ms)} more: its worker "
            "is to end it.",
            {"timeout_ms": task.timeout_ms, "over_ms": over_ms},
        )


def crashes(view: View) -> Iterator[Cause]:
    """Workers fell silent over it."""
    task = view.task
    if task.crashes and task.state in (TaskState.RUNNING, TaskState.READY):
        left = max(0, view.config.crashes_max - task.crashes)
        yield Cause(
            "crashes",
            f"{counted(task.crashes, 'worker')} in a row fell silent over it; after {left} more it is dead.",
            {"crashes": task.crashes, "crashes_max": view.config.crashes_max},
        )
