"""The options by which a task's end, or what a batch comes to, is told to somebody."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


ENDS = ("succeeded", "dead", "cancelled")
BATCH_EVENTS = ("failure", "finished", "success")


def webhook_options(function: F) -> F:
    """``--webhook`` and its like, of a task."""
    return _declared(function, ENDS, told="its end is", what="end")


def batch_webhook_options(function: F) -> F:
    """The same of a batch."""
    return _declared(function, BATCH_EVENTS, told="its events are", what="event")


def _declared(function: F, choices: Sequence[str], *, told: str, what: str) -> F:
    options = (
        click.option("--webhook", metavar="NAME | URL", help=f"To whom {told} told: see tq webhook."),
        click.option("--webhook-secret", metavar="NAME", help="With a URL: the node's secret that signs."),
        click.option(
            "--webhook-on",
            multiple=True,
            type=click.Choice(choices),
            help=f"With a URL: which {what} is told; may be repeated (default: every {what}).",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def webhook_of(options: dict[str, Any]) -> Any:
    """What they say of a task, as the client takes it; None if they say nothing.

    Raises:
        UsageError: they contradict each other.
    """
    from tq.wire import Webhook

    return _given(options, Webhook)


def batch_webhook_of(options: dict[str, Any]) -> Any:
    """What they say of a batch.

    Raises:
        UsageError: they contradict each other.
    """
    from tq.wire import NewBatchWebhook

    return _given(options, NewBatchWebhook)


def _given(options: dict[str, Any], form: type[Any]) -> Any:
    from tq.new_tasks import is_url

    webhook: str | None = options["webhook"]
    if webhook is None or not is_url(webhook):
        if options["webhook_secret"] or options["webhook_on"]:
            raise click.UsageError("--webhook-secret and --webhook-on need --webhook with a URL")
        return webhook
    given: dict[str, Any] = {"url": webhook, "secret": options["webhook_secret"]}
    if options["webhook_on"]:
        given["on"] = list(options["webhook_on"])
    return form(**given)
