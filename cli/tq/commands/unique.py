"""The options that say which tasks are one and the same, for the commands that make tasks."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tq.commands.values import STATES, Duration

if TYPE_CHECKING:
    from tq.wire import Unique

F = TypeVar("F", bound=Callable[..., Any])

# The key counts in these whatever is asked for: else two of one key could wait side by side.
WAITING = ("blocked", "scheduled", "ready")
_NEED_A_KEY = (
    ("on_conflict", "--on-conflict"),
    ("unique_states", "--unique-state"),
    ("unique_period", "--unique-period"),
    ("max_wait", "--unique-max-wait"),
)


def unique_options(command: F) -> F:
    """Adds them to a command."""
    options = (
        click.option("--unique-key", help="At most one task of this kind with this key at a time."),
        click.option(
            "--unique-field",
            "unique_fields",
            multiple=True,
            metavar="PATH",
            help="The key is what the payload has there: user_id, order.id, or . for all; may be repeated.",
        ),
        click.option(
            "--unique-period", type=Duration(), help="The key is held for so long at most: 1h, 10m."
        ),
        click.option(
            "--on-conflict",
            type=click.Choice(("skip", "replace", "debounce", "keep-earliest", "reject")),
            help="When there is one: keep it; give it the new content (and time: the new one, the later, "
            "the earlier); or fail (default: skip).",
        ),
        click.option(
            "--unique-max-wait",
            "max_wait",
            type=Duration(),
            help="How long after it was made debounce may put a task off.",
        ),
        click.option(
            "--unique-state",
            "unique_states",
            multiple=True,
            type=click.Choice(STATES),
            help="A state in which the key counts besides the waiting ones; may be repeated (default: "
            "running, and succeeded with --unique-period).",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def check_unique(options: dict[str, Any]) -> None:
    """
    Raises:
        UsageError: there is no key, or there are two; or an option is of no use.
    """
    if options["unique_key"] is not None and options["unique_fields"]:
        raise click.UsageError("--unique-key and --unique-field exclude each other")
    if options["unique_key"] is None and not options["unique_fields"]:
        for name, option in _NEED_A_KEY:
            if options[name]:
                raise click.UsageError(f"{option} needs --unique-key or --unique-field")
    if options["max_wait"] is not None and options["on_conflict"] != "debounce":
        raise click.UsageError("--unique-max-wait needs --on-conflict debounce")


def unique_of(options: dict[str, Any]) -> Any:
    """What they say, as the client takes it; None if nothing."""
    from tq.wire import Unique

    if options["unique_key"] is None and not options["unique_fields"]:
        return None
    given: dict[str, Any] = {"key": options["unique_key"], "fields": list(options["unique_fields"]) or None}
    given |= {"period_s": options["unique_period"], "max_wait_s": options["max_wait"]}
    if options["on_conflict"]:
        given["on_conflict"] = options["on_conflict"].replace("-", "_")
    if options["unique_states"]:
        given["states"] = list(dict.fromkeys((*WAITING, *options["unique_states"])))
    return Unique(**given)


def unique_words(unique: "Unique") -> str:
    """The same for people."""
    from tq.output import span

    whose = unique.key if unique.fields is None else "payload's " + ", ".join(unique.fields)
    period = "" if unique.period_s is None else f" for {span(unique.period_s)}"
    return f"{whose}{period} ({unique.on_conflict.replace('_', '-')})"
