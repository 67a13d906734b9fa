"""One task, shown in full to a person."""

import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import click

from tq.output import age, coloured, paint, parse_stamp, pretty, safe, span

if TYPE_CHECKING:
    from tq.wire import RetryPolicy, Task, TaskError

LABEL_CHARS = 12
TRACE_LINES_MAX = 30


def write_task(task: "Task", *, worker_name: str | None = None) -> None:
    """Writes all that is known of ``task``, one fact a line, and an empty line after it.

    Args:
        task: as the node answers it.
        worker_name: what people call its worker.
    """
    from tq.commands.values import now

    at = now()
    write_facts(_facts(task, at, worker_name), state=task.state)


def write_facts(facts: Iterable[tuple[str, str]], *, state: str = "") -> None:
    """Writes facts, one a line after its label, and an empty line after them.

    Args:
        facts: pairs of label and text.
        state: what the fact of that label is coloured by.
    """
    for label, text in facts:
        lines = safe(text).split("\n")
        _write(label, lines[0], state=state if label == "state" else "")
        for line in lines[1:]:
            _write("", line)
    click.echo()


def _write(label: str, text: str, *, state: str = "") -> None:
    head = f"{label:<{LABEL_CHARS}}"
    if coloured(sys.stdout):
        head = click.style(head, dim=True)
    click.echo(f"{head}{paint(text, state)}".rstrip())


def _facts(task: "Task", at: datetime, worker_name: str | None) -> Iterator[tuple[str, str]]:
    yield "id", task.id
    yield "state", task.state + (f" ({task.reason})" if task.reason else "")
    yield "queue", task.queue
    yield "kind", task.kind
    yield "priority", str(task.priority)
    if task.batch is not None:
        yield "batch", task.batch
    yield from _moments(task, at)
    crashes = f", {task.crashes} ended by a lost worker" if task.crashes else ""
    yield "attempt", f"{task.attempt} of {task.max_attempts}{crashes}"
    yield from _running(task, at, worker_name)
    yield from _options(task)
    for name in ("payload", "meta", "progress", "result"):
        text = _progress(task) if name == "progress" else pretty(getattr(task, name))
        if text:
            yield name, text
    if task.result_expired:
        yield "result", f"was kept for {span(task.result_ttl_s or 0)} after the end, and is deleted"
    if task.attempted_by:
        yield "tried by", ", ".join(task.attempted_by)
    for error in task.errors:
        yield "error", _error(error, at)


def _progress(task: "Task") -> str:
    from tq.commands.waiting_view import progress_text

    line = progress_text(task)
    # What the line leaves out of another shape is shown in full.
    return line if line and "{" not in line and "[" not in line else pretty(task.progress)


def _moments(task: "Task", at: datetime) -> Iterator[tuple[str, str]]:
    stamps = {
        "created": task.created_at,
        "runs at" if task.state == "scheduled" else "due": task.run_at,
        "started": task.started_at,
        "finished": task.finished_at,
        "expires": task.expires_at,
    }
    for label, stamp in stamps.items():
        if stamp is not None:
            yield label, f"{stamp}  ({when(stamp, at)})"
    if task.started_at is not None and task.finished_at is not None:
        took = parse_stamp(task.finished_at) - parse_stamp(task.started_at)
        yield "took", span(took.total_seconds())


def when(stamp: str, at: datetime) -> str:
    """How long before or after ``at`` a moment is."""
    told = age(stamp, now=at)
    return "now" if told == "0s" else told if told.startswith("in ") else f"{told} ago"


def _running(task: "Task", at: datetime, worker_name: str | None) -> Iterator[tuple[str, str]]:
    if task.worker is not None:
        named = "" if worker_name in (None, task.worker) else f"{worker_name}, "
        yield "worker", f"{named}{task.worker}"
    lease = span(task.lease_s)
    if task.lease_expires_at is not None:
        lease += f", runs out {when(task.lease_expires_at, at)}"
    yield "lease", lease
    if task.cancel_requested_at is not None and task.state == "running":
        yield "cancel", f"asked {when(task.cancel_requested_at, at)}, its worker is told to stop"


def _options(task: "Task") -> Iterator[tuple[str, str]]:
    if task.after_policy is not None:
        yield "after", _parents(task)
    if task.timeout_s is not None:
        yield "timeout", span(task.timeout_s)
    if task.result_ttl_s is not None and not task.result_expired:
        yield "result for", f"{span(task.result_ttl_s)} after the end"
    if task.retry is not None:
        yield "retry", policy_words(task.retry)
    if task.webhook is not None:
        yield "webhook", f"{task.webhook.endpoint or task.webhook.url} ({', '.join(task.webhook.on)})"
    if task.unique_key is not None:
        yield "unique key", task.unique_key
    if task.limit_key is not None:
        yield "limit key", task.limit_key
    if task.tags:
        yield "tags", ", ".join(task.tags)


def _parents(task: "Task") -> str:
    needs = "are to succeed" if task.after_policy == "succeeded" else "are to end"
    left = f"{task.pending} not ended yet" if task.pending else "all ended"
    return "\n".join([f"{needs}: {left}", *task.after])


def policy_words(policy: "RetryPolicy") -> str:
    """A retry policy in words."""
    from tq import wire

    match policy:
        case wire.Exponential():
            growth = f"{span(policy.base_s)} x{policy.factor:g} each time"
            told = f"exponential: {growth}, at most {span(policy.max_s)}"
        case wire.Linear():
            told = f"linear: {span(policy.base_s)} more each time, at most {span(policy.max_s)}"
        case wire.Fixed():
            told = f"fixed: {span(policy.delay_s)}"
        case wire.Listed():
            told = "list: " + ", ".join(span(delay) for delay in policy.delays_s)
    return told + (f", give or take {policy.jitter:.0%}" if policy.jitter else "")


def _error(error: "TaskError", at: datetime) -> str:
    head = f"attempt {error.attempt}, {when(error.at, at)}: {error.type}: {error.message}".rstrip(": ")
    trace = error.trace.rstrip("\n").split("\n") if error.trace else []
    if len(trace) > TRACE_LINES_MAX:
        left_out = len(trace) - TRACE_LINES_MAX
        trace = [f"({left_out} lines left out; --json has them)", *trace[-TRACE_LINES_MAX:]]
    return "\n".join([head, *(f"  {line}" for line in trace)])
