"""``tq version``."""

import click

from tq.commands.base import command, connect, json_option


@command("version", examples=("tq version", "tq version --node"))
@click.option("--node", "ask_node", is_flag=True, help="The node's too.")
@json_option("the versions as JSON")
def version(ask_node: bool, as_json: bool) -> None:
    """Print the versions of tq and of the node."""
    from tq.version import VERSION

    found = {"tq": VERSION}
    if ask_node:
        with connect() as client:
            found["node"] = client.stats().version
    if as_json:
        from tq.output import write_json

        write_json(found)
        return
    from tq.output import safe

    for name, number in found.items():
        click.echo(safe(f"{name} {number}", one_line=True))
