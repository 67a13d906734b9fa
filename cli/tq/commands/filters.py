"""The filters that choose tasks, the same for every command that lists them."""

from collections.abc import Callable
from typing import Any

import click

from tq.commands.base import complete_queues
from tq.commands.values import STATES, Moment

MULTIPLE = ("queue", "state", "kind")

_OPTIONS = (
    click.option(
        "--queue", "-q", multiple=True, shell_complete=complete_queues, help="In this queue; may be repeated."
    ),
    click.option(
        "--state", "-s", multiple=True, type=click.Choice(STATES), help="In this state; may be repeated."
    ),
    click.option("--kind", "-k", multiple=True, help="Of this kind; may be repeated."),
    click.option("--tag", help="With this tag."),
    click.option("--worker", help="Run by this worker: its id or name."),
    click.option("--limit-key", help="With this limit key."),
    click.option("--batch", help="Members of this batch: its id."),
    click.option("--min-priority", type=click.IntRange(0, 255), help="At least this priority."),
    click.option("--max-priority", type=click.IntRange(0, 255), help="At most this priority."),
    click.option(
        "--created-after", type=Moment(ago=True), help="Created since: a time, or 2h for two hours ago."
    ),
    click.option("--created-before", type=Moment(ago=True), help="Created before, likewise."),
    click.option("--finished-after", type=Moment(ago=True), help="Ended since, likewise."),
    click.option("--finished-before", type=Moment(ago=True), help="Ended before, likewise."),
)


def filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """All filters, passed on as keyword arguments."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def given(filters: dict[str, Any]) -> dict[str, Any]:
    """The filters that were given, as the client takes them."""
    chosen = {name: value for name, value in filters.items() if value not in (None, ())}
    return {name: list(value) if name in MULTIPLE else value for name, value in chosen.items()}
