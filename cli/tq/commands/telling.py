"""The options by which a task's end is told to somebody."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def webhook_options(function: F) -> F:
    """``--webhook`` and its like."""
    options = (
        click.option("--webhook", metavar="NAME | URL", help="To whom its end is told: see tq webhook."),
        click.option("--webhook-secret", metavar="NAME", help="With a URL: the node's secret that signs."),
        click.option(
            "--webhook-on",
            multiple=True,
            type=click.Choice(("succeeded", "dead", "cancelled")),
            help="With a URL: an end that is told; may be repeated (default: every end).",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def webhook_of(options: dict[str, Any]) -> Any:
    """What they say, as the client takes it; None if they say nothing.

    Raises:
        UsageError: they contradict each other.
    """
    from tq.new_tasks import is_url
    from tq.wire import Webhook

    webhook: str | None = options["webhook"]
    if webhook is None or not is_url(webhook):
        if options["webhook_secret"] or options["webhook_on"]:
            raise click.UsageError("--webhook-secret and --webhook-on need --webhook with a URL")
        return webhook
    given: dict[str, Any] = {"url": webhook, "secret": options["webhook_secret"]}
    if options["webhook_on"]:
        given["on"] = list(options["webhook_on"])
    return Webhook(**given)
