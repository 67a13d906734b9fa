"""The filters that choose tasks, the same for every command that lists, counts or changes them."""

from collections.abc import Callable, Sequence
from typing import Any

import click

from tq.commands.base import complete_queues
from tq.commands.values import STATES, Moment

MULTIPLE = ("queue", "state", "kind")
WHERE = ("payload", "meta")


class Where(click.ParamType[tuple[str, str, Any]]):
    """What must stand somewhere in a payload or meta: ``payload.user.id=42``, as (which, path, value)."""

    name = "path=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str, Any]:
        if isinstance(value, tuple):
            return value
        place, equals, text = str(value).partition("=")
        field, _, path = place.partition(".")
        if not equals or field not in WHERE or not path:
            self.fail(f"{value!r}: write payload.user.id=42, or meta.tenant=acme", param, ctx)
        return field, path, _scalar(text)


def _scalar(text: str) -> Any:
    """What is JSON is meant as it is there; all else is a text."""
    import msgspec

    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return text
    if isinstance(value, list | dict):
        raise click.UsageError(f"{text}: what stands there is a text, a number, true, false or null")
    return value


_OPTIONS = (
    click.option(
        "--queue", "-q", multiple=True, shell_complete=complete_queues, help="In this queue; may be repeated."
    ),
    click.option(
        "--state", "-s", multiple=True, type=click.Choice(STATES), help="In this state; may be repeated."
    ),
    click.option("--kind", "-k", multiple=True, help="Of this kind; may be repeated."),
    click.option("--tag", help="With this tag."),
    click.option("--text", help="With this in the kind or in a tag."),
    click.option(
        "--where",
        "-w",
        multiple=True,
        type=Where(),
        metavar="PATH=VALUE",
        help="With this value in the payload or meta, as payload.user.id=42; may be repeated.",
    ),
    click.option("--error-type", help="Whose last error is of this type."),
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
    where: Sequence[tuple[str, str, Any]] = filters.get("where") or ()
    chosen = {name: value for name, value in filters.items() if value not in (None, ()) and name != "where"}
    chosen = {name: list(value) if name in MULTIPLE else value for name, value in chosen.items()}
    for field, path, value in where:
        conditions = chosen.setdefault(f"{field}_has", {})
        if path in conditions:
            raise click.UsageError(f"--where {field}.{path} comes twice")
        conditions[path] = value
    return chosen
