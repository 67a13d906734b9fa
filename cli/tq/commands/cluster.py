"""Commands about the nodes of a cluster."""

from typing import TYPE_CHECKING

import click

from tq.commands.base import Command, ExitCode, Failed, Group, connect, json_option, node_options, note

if TYPE_CHECKING:
    from tq.client import Client
    from tq.output import Column
    from tq.wire import Cluster, ClusterNode, HandedOver, LogPosition

SEE_CLUSTER = "`tq cluster` shows how each node is"
NO_LEADER = "a majority of the nodes must run and reach each other: start those that are missing"
# For a handover whose answer was lost.
WATCHED_S = 30.0
EVERY_S = 0.2


@click.group(
    "cluster",
    cls=Group,
    invoke_without_command=True,
    examples=("tq cluster", "tq cluster --json | jq -r .leader", "tq cluster handover node-b"),
)
@json_option("the cluster as JSON")
@click.pass_context
def cluster(ctx: click.Context, as_json: bool) -> int:
    """Show the nodes of the cluster, or have another one lead.

    LAST is the last entry of a node's log, as TERM:NUMBER. LAG is how many entries that are safe on a
    majority its database lacks. SEEN is how long ago the node that was asked heard from it. The exit
    code is 5 while no node leads.
    """
    if ctx.invoked_subcommand is not None:
        if as_json:
            raise click.UsageError(f"write --json after {ctx.invoked_subcommand}")
        return ExitCode.OK
    from tq.output import safe, write_json, write_table

    with connect() as client:
        found = client.cluster()
    if as_json:
        write_json(found)
    else:
        led = f"led by {found.leader}" if found.leader else "without a leader"
        click.echo(safe(f"term {found.term}, {led}, as {found.asked} sees it", one_line=True))
        columns = _columns(found)
        write_table(columns, [_row(node)[: len(columns)] for node in found.nodes])
    if found.leader is None:
        note(f"no node leads: {NO_LEADER}")
        return ExitCode.UNAVAILABLE
    return ExitCode.OK


cluster.params.extend(node_options())


@cluster.command(
    "handover", cls=Command, examples=("tq cluster handover", "tq cluster handover node-b --json")
)
@click.argument("name", metavar="[NODE]", required=False)
@json_option("who leads now as JSON")
def handover(name: str | None, as_json: bool) -> None:
    """Have another node lead, and wait until it serves.

    Without NODE it is the one that is furthest. Requests meanwhile are held up, not lost: clients that
    know several nodes go on by themselves.
    """
    from tq.errors import OutcomeUnknown
    from tq.output import safe, write_json

    with connect() as client:
        before = client.cluster()
        if _leads_already(before, name):
            note(f"{name} leads already")
            return
        try:
            done = client.handover(name)
        except OutcomeUnknown as error:
            done = _watch(client, before, name, error)
        # Whatever the cluster says of itself: it leads when it answers.
        client.page(limit=1)
    if as_json:
        write_json(done)
    else:
        took = f"{done.took_s:.2f} s"
        click.echo(safe(f"{done.leader} leads in term {done.term}; nobody served for {took}", one_line=True))


def _leads_already(found: "Cluster", name: str | None) -> bool:
    """Whether the node named leads.

    Raises:
        Failed: it cannot, or nobody leads.
    """
    if found.leader is None:
        raise Failed("no node leads, so none can hand over", hint=NO_LEADER, code=ExitCode.UNAVAILABLE)
    if len(found.nodes) == 1:
        raise Failed("this node has no others", hint="`peers` in its configuration makes it one of several")
    if name is None:
        return False
    node = next((node for node in found.nodes if node.name == name), None)
    if node is None:
        names = ", ".join(node.name for node in found.nodes)
        raise Failed(f"no node {name}; there are {names}", code=ExitCode.NOT_FOUND)
    why = {
        "witness": ("is a witness, which never leads", "name another node"),
        "joining": ("has not got all of the log yet", f"wait until it is a standby: {SEE_CLUSTER}"),
        "starting": ("is only just starting", f"wait until it is a standby: {SEE_CLUSTER}"),
        "unreachable": ("cannot be reached", "see that it runs and that its peers reach it"),
    }.get(node.role)
    if why is not None:
        raise Failed(f"{name} {why[0]}", hint=why[1])
    return name == found.leader


def _watch(client: "Client", before: "Cluster", name: str | None, error: Exception) -> "HandedOver":
    """Who leads after a handover whose answer was lost.

    Raises:
        Exception: ``error``, when no other node has come to lead in time.
    """
    from tq.clock import SystemClock
    from tq.errors import Busy, TqUnavailable
    from tq.wire import HandedOver

    clock = SystemClock()
    began = clock.monotonic()
    while clock.monotonic() - began < WATCHED_S:
        try:
            now = client.cluster()
        except (TqUnavailable, Busy) as away:
            note(str(away))
        else:
            if now.leader is not None and now.leader != before.leader and name in (None, now.leader):
                return HandedOver(leader=now.leader, term=now.term, took_s=clock.monotonic() - began)
        clock.pause(EVERY_S)
    raise error


def _columns(found: "Cluster") -> "list[Column]":
    from tq.output import Column

    columns = [
        Column("NAME", cut=True),
        Column("ROLE", state=True),
        Column("TERM", right=True, spare=3),
        Column("LAST", right=True),
        Column("LAG", right=True),
        Column("SEEN", right=True),
        Column("VERSION", spare=1),
        Column("URL", cut=True, spare=2),
    ]
    if any(node.trouble for node in found.nodes):
        columns.append(Column("TROUBLE", cut=True))
    return columns


def _row(node: "ClusterNode") -> list[str]:
    from tq.output import span

    return [
        node.name,
        node.role,
        str(node.term or ""),
        _position(node.last),
        "" if node.lag_entries is None else str(node.lag_entries),
        "" if node.last_contact_s is None else span(node.last_contact_s),
        node.version or "",
        node.url or "",
        node.trouble or "",
    ]


def _position(position: "LogPosition | None") -> str:
    return "" if position is None else f"{position.term}:{position.txid}"
