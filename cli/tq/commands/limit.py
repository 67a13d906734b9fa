"""Commands about limits: limit put, list, get, delete."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from tq.commands.base import (
    ExitCode,
    Group,
    command,
    complete_queues,
    connect,
    each_of,
    json_option,
    node_options,
    note,
)
from tq.commands.schedule import Name
from tq.commands.values import Duration

if TYPE_CHECKING:
    from tq.client import Client
    from tq.wire import Limit

_PER = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Rate(click.ParamType[tuple[int, float]]):
    """Tasks in a time, such as 10/s or 3/90s."""

    name = "rate"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, float]:
        if isinstance(value, tuple):
            return value
        count, _, per = str(value).partition("/")
        if not (count.isascii() and count.isdigit() and int(count) and per):
            self.fail(f"{value!r} is no rate: write 10/s, 100/m, 1000/h or 3/90s", param, ctx)
        return int(count), _PER.get(per) or Duration().convert(per, param, ctx)


@click.group(
    "limit",
    cls=Group,
    examples=(
        "tq limit put per-customer --key 'customer:*' --running 2",
        "tq limit put api --key api.example.com --rate 100/m --burst 10",
        "tq limit list",
    ),
)
def limit() -> None:
    """Limit how many tasks run at a time, or begin in a time."""


@command(
    "put",
    examples=(
        "tq limit put per-customer --key 'customer:*' --running 2",
        "tq limit put api --key api.example.com --rate 100/m --burst 10",
        "tq limit put images --queue images --running 8 --fair",
    ),
)
@click.argument("name", type=Name())
@click.option("--queue", "-q", shell_complete=complete_queues, help="Of this queue's tasks alone.")
@click.option("--key", "-k", help="For each such limit key by itself: a key, or its beginning and *.")
@click.option("--running", "-n", type=click.IntRange(0, 100_000), help="How many may run at a time.")
@click.option("--rate", "-r", type=Rate(), help="How many begin in a time: 10/s, 100/m, 1000/h, 3/90s.")
@click.option(
    "--burst", type=click.IntRange(1, 1_000_000), help="How many of those at once (default: as many)."
)
@click.option("--fair", is_flag=True, help="Keys take turns in the queue.")
@json_option("the limit as JSON")
def put(name: str, rate: tuple[int, float] | None, as_json: bool, **options: Any) -> int:
    """Make a limit, or replace the one of that name.

    With --queue alone it is on the queue's tasks together, with --key on those of each key by itself. It
    holds from the next claim on; what runs already goes on.
    """
    if options["queue"] is None and options["key"] is None:
        raise click.UsageError("say what it is on: --queue, --key or both")
    if options["fair"] and options["key"] is not None:
        raise click.UsageError("--fair goes with --queue alone")
    if options["running"] is None and rate is None and not options["fair"]:
        raise click.UsageError("say what it allows: --running, --rate or --fair")
    if options["burst"] is not None and rate is None:
        raise click.UsageError("--burst needs --rate")
    if rate is not None:
        options["rate"], options["per_s"] = rate
    with connect() as client:
        _show(client.put_limit(name, **options), as_json=as_json)
    return ExitCode.OK


@command("list", examples=("tq limit list", "tq limit list --json | jq -r .name"))
@json_option()
def list_limits(as_json: bool) -> None:
    """List the limits.

    RUNNING is how many tasks may run at a time, RATE how many may begin in a time.
    """
    from tq.output import Column, write_json, write_table

    with connect() as client:
        found = client.limits()
    if as_json:
        for one in found:
            write_json(one)
    elif found:
        columns = [
            Column("NAME", cut=True),
            Column("QUEUE", cut=True),
            Column("KEY", cut=True),
            Column("RUNNING", right=True),
            Column("RATE", right=True),
            Column("BURST", right=True),
            Column(""),
        ]
        rows = [
            [
                one.name,
                one.queue or "·",
                one.key or "·",
                "·" if one.running is None else str(one.running),
                _rate(one) or "·",
                str(one.burst or "·"),
                "fair" if one.fair else "",
            ]
            for one in found
        ]
        write_table(columns, rows)
    else:
        note("no limits yet: tq limit put makes one")


@command("get", examples=("tq limit get per-customer", "tq limit get api --json | jq .rate"))
@click.argument("names", metavar="NAME...", nargs=-1, required=True, type=Name())
@json_option()
def get(names: tuple[str, ...], as_json: bool) -> int:
    """Show limits in full."""
    return each_of(names, lambda client, name: _show(client.limit(name), as_json=as_json), doing="limit get")


@command("delete", examples=("tq limit delete per-customer",))
@click.argument("names", metavar="NAME...", nargs=-1, required=True, type=Name())
@json_option()
def delete(names: tuple[str, ...], as_json: bool) -> int:
    """Delete limits.

    What they held back may run at once.
    """
    from tq.output import safe, write_json

    def act(client: "Client", name: str) -> None:
        client.delete_limit(name)
        if as_json:
            write_json({"name": name, "state": "deleted"})
        else:
            click.echo(safe(f"{name}  deleted", one_line=True))

    return each_of(names, act, doing="limit delete")


def _show(found: "Limit", *, as_json: bool) -> None:
    from tq.output import write_json

    if as_json:
        write_json(found)
    else:
        from tq.commands.detail import write_facts

        write_facts(_facts(found))


def _rate(found: "Limit") -> str | None:
    from tq.output import span

    if found.rate is None or found.per_s is None:
        return None
    unit = next((unit for unit, per_s in _PER.items() if per_s == found.per_s), span(found.per_s))
    return f"{found.rate}/{unit}"


def _facts(found: "Limit") -> Iterator[tuple[str, str]]:
    yield "name", found.name
    yield "queue", found.queue or "every queue"
    yield "keys", f"{found.key}, each by itself" if found.key else "all tasks together"
    if found.running is not None:
        yield "running", f"{found.running} at a time"
    rate = _rate(found)
    if rate is not None:
        yield "rate", f"{rate}, {found.burst} at once"
    if found.fair:
        yield "fair", "keys take turns"
    yield "since", found.created_at
    if found.updated_at != found.created_at:
        yield "changed", found.updated_at


limit.params.extend(node_options())
for _command in (put, list_limits, get, delete):
    limit.add_command(_command)
