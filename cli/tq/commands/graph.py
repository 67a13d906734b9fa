"""``tq graph``."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from tq.commands.base import command, connect, json_option, note, settings

if TYPE_CHECKING:
    from tq.wire import Graph, GraphNode

INDENT = "  "


@command(
    "graph",
    examples=(
        "tq graph 0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70",
        "tq graph --json 0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70 | jq '.nodes[].state'",
        "tq graph --at 1h 0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70",
    ),
    past=True,
)
@click.argument("task_id", metavar="ID")
@click.option("--limit", "-n", type=click.IntRange(1, 1000), help="How many tasks at most (default: 200).")
@json_option("the graph as JSON: nodes and edges")
def graph(task_id: str, limit: int | None, as_json: bool) -> None:
    """Show what a task waits for, and what waits for it.

    A tree of all tasks it was enqueued after and all that were enqueued after it, near and far: each
    stands below one that it waits or waited for, the task itself is marked with "*". One that waits for
    several stands below the first; below the others it is only named, with "^".
    """
    from tq.output import paint, safe, write_json

    with connect() as client:
        found = client.graph(task_id, limit=limit, at=settings().at)
    if as_json:
        write_json(found)
        return
    for depth, mark, node in rows(found):
        state = paint(safe(node.state, one_line=True), node.state)
        told = [safe(node.kind, one_line=True), node.id, state]
        if mark != "^":
            told += _remarks(node)
        click.echo(f"{INDENT * depth}{mark or '-'} {'  '.join(told)}")
    if found.truncated:
        note("there are more: --limit shows up to 1000")


def _remarks(node: "GraphNode") -> Iterator[str]:
    from tq.output import safe

    if node.reason:
        yield f"({safe(node.reason, one_line=True)})"
    if node.pending and node.state == "blocked":
        yield f"(waits for {node.pending})"
    if node.after_policy == "finished":
        yield "(whatever they come to)"


def rows(graph: "Graph") -> Iterator[tuple[int, str, "GraphNode"]]:
    """The tree, line by line: how deep, its mark, and the task.

    The mark is ``*`` for the task asked about, ``^`` for one that stands elsewhere with all below it.
    """
    nodes = {node.id: node for node in graph.nodes}
    children: dict[str, list[str]] = {}
    followers: set[str] = set()
    for edge in graph.edges:
        children.setdefault(edge.parent, []).append(edge.child)
        followers.add(edge.child)
    # Not a call for each level: a chain may be longer than calls may be deep.
    waiting = [(0, task_id) for task_id in reversed(nodes) if task_id not in followers]
    shown: set[str] = set()
    while waiting:
        depth, task_id = waiting.pop()
        again = task_id in shown
        shown.add(task_id)
        yield depth, "^" if again else "*" if task_id == graph.task else "", nodes[task_id]
        below: Sequence[str] = () if again else children.get(task_id, ())
        waiting += [(depth + 1, child) for child in reversed(below)]
