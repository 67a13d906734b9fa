"""Commands about queues: queues, queue pause, queue drain, queue resume, queue purge."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from math import ceil
from typing import TYPE_CHECKING

import click

from tq.commands.base import (
    ExitCode,
    Failed,
    Group,
    command,
    complete_queues,
    connect,
    json_option,
    node_options,
    note,
)
from tq.commands.pausing import check_pause, pause_options
from tq.commands.queue_settings import set_queue, show
from tq.commands.values import STATES

if TYPE_CHECKING:
    from rich.table import Table

    from tq.wire import Pause, QueueInfo

# The order in which a task passes through them.
_SHOWN = ("ready", "running", "scheduled", "blocked", "succeeded", "dead", "cancelled")
RARE = ("blocked", "cancelled")
PURGEABLE = tuple(state for state in STATES if state != "running")
PURGED_BY_DEFAULT = ("blocked", "scheduled", "ready")


def queue_table(infos: "Sequence[QueueInfo]") -> "Table":
    """The queues with their counts. A state no task is in is a dot, so that what there is stands out."""
    from tq.output import Column, span, table

    shown = _shown(infos)
    columns = [Column("QUEUE", cut=True), *(Column(state.upper(), right=True) for state in shown)]
    columns.append(Column("OLDEST", right=True))
    if any(info.paused or info.draining for info in infos):
        columns.append(Column(""))
    rows = []
    for info in infos:
        counts = [str(info.counts.get(state, 0) or "·") for state in shown]
        oldest = "" if info.oldest_ready_age_s is None else span(int(info.oldest_ready_age_s))
        rows.append([info.queue, *counts, oldest, standing(info)][: len(columns)])
    return table(columns, rows)


def standing(info: "QueueInfo") -> str:
    """What keeps a queue from working as usual, in few words."""
    words = []
    if info.paused:
        words.append(pause_words(info.pause))
    if info.draining:
        words.append("draining")
    return ", ".join(words)


def pause_words(pause: "Pause | None") -> str:
    """A pause in few words."""
    from tq.commands.values import now
    from tq.output import parse_stamp, span

    if pause is None:
        return "paused"
    left = ""
    if pause.until is not None:
        left = f" for {span(max(1, ceil((parse_stamp(pause.until) - now()).total_seconds())))}"
    return f"paused{left}" + (f": {pause.reason}" if pause.reason else "")


def _shown(infos: "Sequence[QueueInfo]") -> list[str]:
    """The states that get a column: always those that most queues have, so that the table fits."""
    return [state for state in _SHOWN if state not in RARE or any(info.counts.get(state) for info in infos)]


def _write(infos: "Sequence[QueueInfo]", *, as_json: bool) -> None:
    from tq.output import write, write_json

    if as_json:
        for info in infos:
            write_json(info)
    else:
        write(queue_table(infos))


@command("queues", examples=("tq queues", "tq queues --json | jq -r 'select(.paused).queue'"))
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=complete_queues)
@json_option()
def queues(names: tuple[str, ...], as_json: bool) -> None:
    """List the queues with their counts.

    OLDEST is how long the longest-waiting ready task has been ready.
    """
    from tq.errors import NotFound
    from tq.output import safe

    whole = None
    with connect() as client:
        infos = [client.queue(name) for name in names] if names else client.queues()
        if not as_json and infos:
            with suppress(NotFound):  # a node of an older version
                whole = client.node_pause()
    _write(infos, as_json=as_json)
    if whole is not None and whole.paused:
        note(safe(f"the whole node is {pause_words(whole.pause)}; tq resume ends that", one_line=True))
    if not infos:
        note("no queues yet: the first task makes one")


@click.group(
    "queue",
    cls=Group,
    examples=(
        "tq queue pause images --for 10m",
        "tq queue set images --lease 60s --depth-max 1000",
        "tq queue purge images --state dead --yes",
    ),
)
def queue() -> None:
    """Pause, drain, resume, set up or purge a queue."""


@command("pause", examples=("tq queue pause images", "tq queue pause images --for 10m --reason deploy"))
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_queues)
@pause_options
@json_option()
def pause(
    names: tuple[str, ...],
    for_s: float | None,
    until: datetime | None,
    reason: str | None,
    as_json: bool,
) -> None:
    """Stop handing out a queue's tasks.

    Tasks that run go on, and new ones may be enqueued. With --for or --until the pause ends by itself.
    """
    check_pause(for_s, until)
    with connect() as client:
        infos = [client.pause(name, for_s=for_s, until=until, reason=reason) for name in names]
    _write(infos, as_json=as_json)


@command("drain", examples=("tq queue drain images", "tq queue drain images && tq queues images"))
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_queues)
@json_option()
def drain(names: tuple[str, ...], as_json: bool) -> None:
    """Take no new tasks into a queue, and hand out those it has.

    What follows from its tasks is let in: retries, and tasks that a completion brings. It ends with
    "tq queue resume".
    """
    with connect() as client:
        _write([client.drain(name) for name in names], as_json=as_json)


@command("resume", examples=("tq queue resume images",))
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_queues)
@json_option()
def resume(names: tuple[str, ...], as_json: bool) -> None:
    """End a queue's pause, and its drain."""
    with connect() as client:
        _write([client.resume(name) for name in names], as_json=as_json)


@command("purge", examples=("tq queue purge images", "tq queue purge images --state dead --yes"))
@click.argument("name", shell_complete=complete_queues)
@click.option(
    "--state",
    "-s",
    "states",
    multiple=True,
    type=click.Choice(PURGEABLE),
    help=f"Tasks in this state; may be repeated (default: {', '.join(PURGED_BY_DEFAULT)}).",
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@json_option("how many, as JSON")
def purge(name: str, states: tuple[str, ...], yes: bool, as_json: bool) -> int:
    """Delete a queue's waiting tasks.

    Asks first, on a terminal; elsewhere it needs --yes. Running tasks are never purged. There is no
    way back: "tq export" keeps a copy.
    """
    from tq.output import write_json

    chosen = states or PURGED_BY_DEFAULT
    with connect() as client:
        if not yes and not _agreed(client.queue(name), chosen):
            raise Failed("nothing was deleted")
        deleted = client.purge(name, list(chosen))
    if as_json:
        write_json({"queue": name, "deleted": deleted})
    else:
        click.echo(f"deleted {deleted}")
    return ExitCode.OK


def _agreed(info: "QueueInfo", states: Sequence[str]) -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError("purge asks before it deletes; without a terminal, say --yes")
    counts = ", ".join(f"{info.counts.get(state, 0)} {state}" for state in states)
    return click.confirm(f"{info.queue}: delete {counts}?", err=True)


queue.params.extend(node_options())
for _command in (pause, drain, resume, set_queue, show, purge):
    queue.add_command(_command)
