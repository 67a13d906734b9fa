"""``tq logs``."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from tq.commands.base import ExitCode, command, connect, json_option, note
from tq.commands.task import ID_CHARS_MAX

if TYPE_CHECKING:
    from tq.client import Client
    from tq.wire import LogLine, LogPage

# Held by the node; shorter than what anything between would take for a dead connection.
WAIT_S = 30.0
# A node that is away, or stops and holds no answer back, is asked again so often.
PAUSE_S = 1.0
LEVEL_CHARS = 7
COLOURS = {"debug": "bright_black", "warning": "yellow", "error": "red"}


@command(
    "logs",
    examples=(
        "tq logs 0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70",
        "tq logs -f 0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70",
        "tq logs --json 0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70 | jq -r 'select(.level == \"error\").text'",
    ),
)
@click.argument("task_id", metavar="ID")
@click.option("--follow", "-f", is_flag=True, help="Go on with what it tells until it has ended.")
@click.option("--after", metavar="NUMBER", help="Only the lines after this one.")
@json_option("each line as JSON")
def logs(task_id: str, follow: bool, after: str | None, as_json: bool) -> int:
    """Show what a task's attempts have told.

    Prints the lines that are kept, oldest first, each with its time, its level and, where there was more
    than one, the attempt. Lines that were dropped are counted on standard error (in JSON: a line
    {"dropped": N}).
    """
    if not task_id.strip(".") or len(task_id) > ID_CHARS_MAX:
        raise click.UsageError(f"{task_id[:ID_CHARS_MAX]!r} is no id")
    with connect() as client:
        for page in _pages(client, task_id, after, follow=follow):
            if page.dropped:
                _tell_dropped(page.dropped, as_json=as_json)
            for line in page.lines:
                _show(line, as_json=as_json)
            sys.stdout.flush()
    return ExitCode.OK


def _pages(client: "Client", task_id: str, after: str | None, *, follow: bool) -> "Iterator[LogPage]":
    """The pages of a log; those to come too, when it is followed. A node that is away is waited for then."""
    from tq.clock import SystemClock
    from tq.errors import Busy, TqUnavailable

    clock = SystemClock()
    cursor, heard, away = after, False, False
    while True:
        asked_at = clock.monotonic()
        # The first answer comes at once: only then is it known that there is somebody to wait for.
        wait_s = WAIT_S if follow and heard else 0.0
        try:
            page = client.log_page(task_id, after=cursor, wait_s=wait_s)
        except (TqUnavailable, Busy) as error:
            if not (follow and heard):
                raise
            if not away:
                note(f"{error.detail}; still following")
            away = True
            clock.pause(PAUSE_S)
            continue
        yield page
        cursor, heard, away = page.next_cursor, True, False
        if page.ended or not (page.lines or follow):
            return
        if wait_s and not page.lines and clock.monotonic() - asked_at < PAUSE_S:
            clock.pause(PAUSE_S)


def _tell_dropped(count: int, *, as_json: bool) -> None:
    from tq.output import write_json

    if as_json:
        write_json({"dropped": count})
    else:
        sys.stdout.flush()
        note(f"({count} {'line was' if count == 1 else 'lines were'} dropped here)")


def _show(line: "LogLine", *, as_json: bool) -> None:
    from tq.output import coloured, on_terminal, safe, write_json

    if as_json:
        write_json(line)
        return
    # A person who watches knows the day, and the line should fit.
    at = line.at[11:23] if on_terminal() else line.at
    attempt = f"  try {line.attempt}" if line.attempt > 1 else ""
    level = f"{line.level:<{LEVEL_CHARS}}"
    first, *rest = safe(line.text).split("\n")
    head = f"{safe(at, one_line=True)}  {safe(level, one_line=True)}{attempt}  "
    indent = " " * len(head)
    text = "\n".join([first, *(indent + more for more in rest)])
    if coloured(sys.stdout):
        head = click.style(head, dim=True)
        if line.level in COLOURS:
            text = click.style(text, fg=COLOURS[line.level])
    click.echo(head + text)
