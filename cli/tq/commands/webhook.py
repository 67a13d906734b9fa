"""Commands about webhooks: webhook test."""

import click

from tq.commands.base import Command, ExitCode, Group, complain, connect, json_option, node_options


@click.group(
    "webhook", cls=Group, examples=("tq webhook test shop", "tq webhook test https://example.com/hook")
)
def webhook() -> None:
    """Try out webhooks: to whom the ends of tasks are told."""


@webhook.command(
    "test",
    cls=Command,
    examples=(
        "tq webhook test shop",
        "tq webhook test https://example.com/hook --secret shop",
        "tq webhook test shop --json | jq .status",
    ),
)
@click.argument("target", metavar="NAME | URL")
@click.option("--secret", metavar="NAME", help="Of a URL: the node's secret that signs (default: default).")
@json_option("what came of it as JSON")
def test(target: str, secret: str | None, as_json: bool) -> int:
    """Have the node send a signed test event, and tell what came of it.

    NAME is one of the node's own webhooks, from its webhooks_file. The event is of type webhook.test; it goes
    the way that all others go, once. The exit code is 1 if the receiver did not take it.
    """
    from tq.new_tasks import is_url
    from tq.output import safe, write_json

    if secret is not None and not is_url(target):
        raise click.UsageError("--secret goes with a URL: the node knows the secret of each of its webhooks")
    with connect() as client:
        tested = client.test_webhook(target, secret=secret)
    if as_json:
        write_json(tested)
    elif tested.delivered:
        took = f"{tested.took_s:.3f} s"
        click.echo(safe(f"{target}  delivered: answered {tested.status} after {took}", one_line=True))
    if tested.delivered:
        return ExitCode.OK
    if not as_json:
        complain(f"{target} did not take it: {tested.error}")
    return ExitCode.FAILED


webhook.params.extend(node_options())
