"""The commands pause and resume, for all queues; and what every command that pauses has in common."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tq.commands.base import command, connect, json_option
from tq.commands.values import Duration, Moment

if TYPE_CHECKING:
    from tq.wire import NodePause

F = TypeVar("F", bound=Callable[..., Any])


def pause_options(function: F) -> F:
    """When a pause ends, and why there is one."""
    for option in (
        click.option("--reason", help="Told to whoever looks."),
        click.option("--until", type=Moment(), help="End at this time, such as 2026-01-31T12:00:00Z."),
        click.option("--for", "for_s", type=Duration(), help="End after so long, such as 10m."),
    ):
        function = option(function)
    return function


def check_pause(for_s: float | None, until: datetime | None) -> None:
    """
    Raises:
        click.UsageError: it would have two ends.
    """
    if for_s is not None and until is not None:
        raise click.UsageError("say either --for or --until")


@command("pause", examples=("tq pause", "tq pause --for 10m --reason 'the database moves'"))
@pause_options
@json_option("the state as JSON")
def pause(for_s: float | None, until: datetime | None, reason: str | None, as_json: bool) -> None:
    """Stop handing out tasks of any queue.

    All else goes on: tasks may be enqueued, and those that run finish. With --for or --until the pause
    ends by itself, else with "tq resume". "tq queue pause" pauses one queue.
    """
    check_pause(for_s, until)
    with connect() as client:
        _show(client.pause_all(for_s=for_s, until=until, reason=reason), as_json=as_json)


@command("resume", examples=("tq resume",))
@json_option("the state as JSON")
def resume(as_json: bool) -> None:
    """End the pause of all queues.

    Queues that were paused by themselves stay so: "tq queue resume" ends that.
    """
    with connect() as client:
        _show(client.resume_all(), as_json=as_json)


def _show(state: "NodePause", *, as_json: bool) -> None:
    from tq.output import safe, write_json

    if as_json:
        write_json(state)
        return
    from tq.commands.queue import pause_words

    words = pause_words(state.pause) if state.paused else "not paused"
    click.echo(safe(f"all queues  {words}", one_line=True))
