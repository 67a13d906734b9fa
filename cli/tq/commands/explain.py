"""``tq explain``."""

from typing import TYPE_CHECKING

import click

from tq.commands.base import command, json_option
from tq.commands.task import ids_argument, on_each

if TYPE_CHECKING:
    from tq.client import Client
    from tq.wire import Explanation

INDENT = "  "


@command(
    "explain",
    examples=(
        "tq explain 0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70",
        "tq explain --json 0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70 | jq -r '.reasons[].code'",
        "tq list --state ready --ids -n 3 | tq explain -",
    ),
)
@ids_argument()
@json_option("each explanation as JSON: summary, and reasons with code, text and facts")
def explain(task_ids: tuple[str, ...], as_json: bool) -> int:
    """Say why tasks run, or do not.

    The first line says where the task is and what that is due to; the others what else there is to know.
    ID may be given several times; "-" reads ids from standard input.
    """
    from tq.output import write_json

    def show(client: "Client", task_id: str) -> None:
        found = client.explain(task_id)
        if as_json:
            write_json(found)
        else:
            _write(found)

    return on_each(task_ids, show, verb="explain")


def _write(found: "Explanation") -> None:
    """The task and its state, then a line for each reason."""
    from tq.output import paint, safe

    click.echo(f"{found.id}  {paint(safe(found.state, one_line=True), found.state)}")
    for reason in found.reasons:
        click.echo(f"{INDENT}{safe(reason.text, one_line=True)}  [{safe(reason.code, one_line=True)}]")
