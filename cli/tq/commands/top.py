"""``tq top``."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from tq.commands.base import ExitCode, command, connect, json_option
from tq.commands.values import Duration

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tq.client import Client
    from tq.wire import Stats, Task, Worker

INTERVAL_S = 1.0
INTERVAL_MIN_S = 0.1
# One page of the newest, whatever there is besides: looking must stay cheap.
RUNNING_LOOKED_AT = 50
RUNNING_SHOWN = 10
# What the node counts, and what people call it.
RATES = (
    ("enqueued", "in"),
    ("claimed", "claimed"),
    ("succeeded", "done"),
    ("retried", "retried"),
    ("dead", "dead"),
)


class Snapshot(NamedTuple):
    """What the node said, and when, in monotonic seconds."""

    at: float
    stats: "Stats"
    workers: "list[Worker]"
    telling: "list[Task]"
    """The newest running tasks that tell how far they are."""


@command("top", examples=("tq top", "tq top --once", "tq top --interval 10s >> queue.log"))
@click.option(
    "--interval",
    "interval_s",
    type=Duration(),
    default=INTERVAL_S,
    show_default="1s",
    help="How often to look.",
)
@click.option("--once", is_flag=True, help="Print one snapshot and stop.")
@json_option("each snapshot as a line of JSON")
def top(interval_s: float, once: bool, as_json: bool) -> int:
    """Watch queues and workers live.

    Leave with Ctrl-C. Where the output is no terminal, a snapshot is printed at each interval.
    """
    if interval_s < INTERVAL_MIN_S:
        raise click.UsageError(f"--interval is at least {INTERVAL_MIN_S:g}s")
    with connect() as client:
        if sys.stdout.isatty() and not once and not as_json:
            _live(client, interval_s)
        else:
            _log(client, interval_s, once=once, as_json=as_json)
    return ExitCode.OK


def _look(client: "Client") -> Snapshot:
    from msgspec import UNSET

    from tq.clock import SystemClock

    newest = client.page(state="running", limit=RUNNING_LOOKED_AT).tasks
    telling = [task for task in newest if task.progress is not UNSET][:RUNNING_SHOWN]
    return Snapshot(SystemClock().monotonic(), client.stats(), client.workers(), telling)


def _log(client: "Client", interval_s: float, *, once: bool, as_json: bool) -> None:
    from tq.clock import SystemClock
    from tq.output import write, write_json

    before: Snapshot | None = None
    while True:
        now = _look(client)
        if as_json:
            write_json({"stats": now.stats, "workers": now.workers})
            sys.stdout.flush()
        else:
            write(render(client.url, now, before))
        if once:
            return
        before = now
        SystemClock().pause(interval_s)


def _live(client: "Client", interval_s: float) -> None:
    """Redraws until interrupted; a node that is away is waited for, and the last picture stays."""
    from rich.live import Live

    from tq.clock import SystemClock
    from tq.errors import Busy, TqUnavailable
    from tq.output import console

    now, before = _look(client), None
    trouble = ""
    with Live(console=console(), screen=True, auto_refresh=False, redirect_stderr=False) as live:
        while True:
            live.update(render(client.url, now, before, trouble=trouble), refresh=True)
            SystemClock().pause(interval_s)
            try:
                now, before, trouble = _look(client), now, ""
            except (TqUnavailable, Busy) as error:
                trouble = str(error)


def render(url: str, now: Snapshot, before: Snapshot | None, *, trouble: str = "") -> "RenderableType":
    """The picture: the node, the flow between the two snapshots, queues, workers."""
    from rich.console import Group
    from rich.text import Text

    from tq.commands.queue import queue_table
    from tq.commands.workers import worker_columns, worker_row
    from tq.output import safe, span, table

    head = Text(safe(f"{url}  version {now.stats.version}  up {span(now.stats.uptime_s)}", one_line=True))
    head.stylize("bold", 0, len(url))
    parts: list[RenderableType] = [head, Text(totals(now.stats))]
    if before is not None:
        parts.append(Text(flow(now, before)))
    if trouble:
        parts.append(Text(safe(f"not reached: {trouble}", one_line=True), style="bold red"))
    busiest = sorted(now.stats.queues, key=lambda info: (-_waiting(info.counts), info.queue))
    parts += [Text(), queue_table(busiest)]
    if now.workers:
        working = sorted(now.workers, key=lambda worker: (-worker.running, worker.name))
        parts += [Text(), table(worker_columns(), [worker_row(worker) for worker in working])]
    else:
        parts += [Text(), Text("no workers")]
    if now.telling:
        parts += [Text(), _progress_table(now.telling)]
    return Group(*parts, Text())


def _progress_table(tasks: "Sequence[Task]") -> "RenderableType":
    from tq.commands.values import now
    from tq.commands.waiting_view import progress_text
    from tq.output import Column, age, table

    columns = [
        Column("ID"),
        Column("KIND", cut=True),
        Column("RUNS", right=True, spare=1),
        Column("PROGRESS", cut=True),
    ]
    at = now()
    rows = [
        (
            task.id,
            task.kind,
            "" if task.started_at is None else age(task.started_at, now=at),
            progress_text(task),
        )
        for task in tasks
    ]
    return table(columns, rows)


def _waiting(counts: Mapping[str, int]) -> int:
    return counts.get("ready", 0) + counts.get("running", 0) + counts.get("scheduled", 0)


def totals(stats: "Stats") -> str:
    """How many tasks there are in each state."""
    counts = [f"{count} {state}" for state, count in stats.totals.items() if count]
    return ", ".join(counts) or "no tasks"


def flow(now: Snapshot, before: Snapshot) -> str:
    """Tasks a second between two snapshots."""
    seconds = max(now.at - before.at, 0.001)
    told = []
    for counter, name in RATES:
        grown = now.stats.since_start.get(counter, 0) - before.stats.since_start.get(counter, 0)
        # A node that was restarted meanwhile counts from 0.
        told.append(f"{max(grown, 0) / seconds:,.0f}/s {name}")
    return "   ".join(told)
