"""``tq events``."""

import sys
from typing import TYPE_CHECKING

import click

from tq.commands.base import command, complete_queues, connect, json_option, note

if TYPE_CHECKING:
    from tq.sse import Event


@command(
    "events",
    examples=(
        "tq events --queue images",
        "tq events --json | jq -r 'select(.state == \"dead\").id'",
        "tq events --id 0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70 --limit 1",
    ),
)
@click.option("--queue", "-q", shell_complete=complete_queues, help="Of this queue.")
@click.option("--kind", "-k", help="Of this kind.")
@click.option("--id", "task_ids", multiple=True, help="Of this task; may be repeated.")
@click.option("--after", metavar="EVENT", help="Go on after this event, as long as the node remembers it.")
@click.option("--limit", "-n", type=click.IntRange(min=1), help="Stop after this many.")
@json_option()
def events(
    queue: str | None,
    kind: str | None,
    task_ids: tuple[str, ...],
    after: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Follow what happens to tasks.

    Prints a line for each change of state, from now on, until interrupted. Reconnects when the node
    was away; if events were missed meanwhile, that is said (in JSON: a line {"reset": true}).
    """
    with connect() as client:
        stream = client.events(
            last_event_id=after, queue=queue, kind=kind, ids=list(task_ids) if task_ids else None
        )
        shown = 0
        for event in stream:
            _show(event, as_json=as_json)
            sys.stdout.flush()
            shown += not event.reset
            if limit is not None and shown >= limit:
                return


def _show(event: "Event", *, as_json: bool) -> None:
    from tq.output import on_terminal, paint, safe, write_json

    if event.task is None:
        if as_json:
            write_json({"reset": True})
        else:
            note("some events were missed")
        return
    if as_json:
        from msgspec.structs import asdict

        write_json(
            {
                "event": event.id,
                **{name: value for name, value in asdict(event.task).items() if value is not None},
            }
        )
        return
    task = event.task
    state = paint(f"{safe(task.state, one_line=True):<9}", task.state)
    told = f"{task.queue}  {task.kind}" + (f"  try {task.attempt}" if task.attempt else "")
    reason = f"  ({task.reason})" if task.reason else ""
    # A person who watches knows the day, and the line should fit.
    at = task.at[11:23] if on_terminal() else task.at
    click.echo(f"{safe(at, one_line=True)}  {safe(task.id)}  {state}  {safe(told + reason, one_line=True)}")
