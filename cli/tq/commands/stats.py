"""``tq stats``."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from tq.commands.base import command, connect, json_option, settings

if TYPE_CHECKING:
    from tq.wire import Stats


@command("stats", examples=("tq stats", "tq stats --json | jq .totals.ready", "tq --at 1h stats"), past=True)
@json_option("the statistics as JSON")
def stats(as_json: bool) -> None:
    """Show the node's totals."""
    from tq.commands.queue import queue_table
    from tq.output import safe, write, write_json

    with connect() as client:
        found = client.stats(at=settings().at)
        url = client.url
    if as_json:
        write_json(found)
        return
    for label, text in _facts(found, url):
        click.echo(safe(f"{label:<12}{text}", one_line=True))
    if found.queues:
        click.echo()
        write(queue_table(found.queues))


def _facts(found: "Stats", url: str) -> Iterator[tuple[str, str]]:
    from tq.output import size, span

    yield "node", f"{url}, version {found.version}, up {span(found.uptime_s)}"
    yield "tasks", _counts(found.totals) or "none"
    yield "workers", str(found.workers)
    yield "since start", _counts(found.since_start) or "nothing yet"
    yield "database", ", ".join(f"{size(count)} {name}" for name, count in found.database.items())


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)
