"""Commands about schedules: schedule put, list, get, next, pause, resume, delete."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from tq.commands.base import (
    Command,
    Group,
    command,
    complete_queues,
    connect,
    each_of,
    json_option,
    node_options,
    note,
)
from tq.commands.telling import webhook_options
from tq.commands.unique import check_unique, unique_options, unique_words
from tq.commands.values import RETRY_FORMS, Duration, Retry

if TYPE_CHECKING:
    from tq.client import Client
    from tq.wire import Schedule

# What is passed on to the client under the same name: of the task, and of the schedule.
_OF_TASK = ("queue", "priority", "max_attempts", "lease_s", "timeout_s", "limit_key", "result_ttl_s")
_OF_SCHEDULE = (
    *("cron", "every_s", "time_zone", "dst_gap", "dst_overlap"),
    *("missed", "overlap", "paused", "expires_s"),
)
NEXT_DEFAULT = 10


class Name(click.ParamType[str]):
    """A schedule's name; the node says what else is wrong with it."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        # It becomes a part of a path, where these name something else.
        if not str(value).strip("."):
            self.fail(f"{value!r} names nothing", param, ctx)
        return str(value)


@click.group(
    "schedule",
    cls=Group,
    examples=(
        "tq schedule put nightly report --cron '30 2 * * *' --time-zone Europe/Berlin",
        "tq schedule list",
        "tq schedule pause nightly",
    ),
)
def schedule() -> None:
    """Enqueue tasks by the clock: put, show, pause and delete schedules."""


@command(
    "put",
    examples=(
        "tq schedule put nightly report --cron '30 2 * * *' --time-zone Europe/Berlin",
        """tq schedule put poll fetch '{"url": "http://a.example/"}' --every 90s --overlap skip""",
        "tq schedule put payday pay @staff.json --cron '0 9 LW * *' --missed all -q payroll",
    ),
)
@click.argument("name", type=Name())
@click.argument("kind")
@click.argument("payload", metavar="[JSON | @FILE | -]", required=False)
@click.option(
    "--cron", "-c", help="Minute, hour, day of month, month, day of week; six fields begin with the second."
)
@click.option("--every", "-e", "every_s", type=Duration(), help="Instead: so long after each other.")
@click.option("--time-zone", "-z", help="Of --cron, such as Europe/Berlin (default: UTC).")
@click.option(
    "--dst-gap",
    type=click.Choice(("run", "skip")),
    help="Times that clocks pass over: run when they have, or leave out (default: as cron does).",
)
@click.option(
    "--dst-overlap",
    type=click.Choice(("once", "twice")),
    help="Times that come twice when clocks go back (default: as cron does).",
)
@click.option(
    "--missed",
    type=click.Choice(("skip", "one", "all")),
    help="For times at which no node ran: no task, one for all of them, or one for each (default: one).",
)
@click.option(
    "--overlap",
    type=click.Choice(("allow", "skip", "replace")),
    help="While the last task has not ended: enqueue, don't, or cancel that one first (default: allow).",
)
@click.option("--paused/--running", default=None, help="Begin or stop to pause; else a pause stays.")
@click.option("--queue", "-q", shell_complete=complete_queues, help="The queue (default: default).")
@click.option("--priority", "-p", type=click.IntRange(0, 255), help="0 to 255, higher first (default: 128).")
@click.option("--max-attempts", type=click.IntRange(1, 1000), help="How often it is tried (default: 10).")
@click.option("--retry", type=Retry(), help=f"Waits between attempts: {RETRY_FORMS}.")
@click.option("--lease", "lease_s", type=Duration(), help="How long a worker may be silent (default: 30s).")
@click.option("--timeout", "timeout_s", type=Duration(), help="How long one attempt may take.")
@click.option(
    "--result-ttl", "result_ttl_s", type=Duration(), help="How long results are kept (default: as the tasks)."
)
@click.option(
    "--expires-in", "expires_s", type=Duration(), help="Each task is cancelled if it waits for so long."
)
@webhook_options
@click.option("--tag", "-t", "tags", multiple=True, help="A tag; may be repeated.")
@click.option("--meta", "-m", multiple=True, help="KEY=VALUE, may be repeated; or one JSON object.")
@click.option("--limit-key", help="What limits on claims know each task by.")
@unique_options
@json_option("the schedule as JSON")
def put(name: str, kind: str, payload: str | None, as_json: bool, **options: Any) -> None:
    """Make a schedule, or change the one of that name.

    At each of its times a task of KIND is enqueued. What is not said has its default, not what the
    schedule had before; only a pause stays. Said again as it is, a schedule stays as it is.
    """
    if (options["cron"] is None) == (options["every_s"] is None):
        raise click.UsageError("say either --cron or --every")
    check_unique(options)
    task = _task(kind, payload, options)
    chosen: Any = {key: options[key] for key in _OF_SCHEDULE if options[key] is not None}
    with connect() as client:
        _show(client.put_schedule(name, task, **chosen), as_json=as_json)


def _task(kind: str, payload: str | None, options: dict[str, Any]) -> Any:
    from tq.calls import new_task
    from tq.commands.enqueue import content_of

    fields = content_of(payload, options)
    fields |= {key: options[key] for key in _OF_TASK if options[key] is not None}
    return new_task(kind, **fields)


@command("list", examples=("tq schedule list", "tq schedule list --json | jq -r 'select(.paused).name'"))
@json_option()
def list_schedules(as_json: bool) -> None:
    """List the schedules.

    NEXT is when each is due, LAST how long ago it made its last task.
    """
    from tq.output import Column, age, write_json, write_table

    with connect() as client:
        found = client.schedules()
    if as_json:
        for one in found:
            write_json(one)
    elif found:
        columns = [
            Column("NAME", cut=True),
            Column("WHEN", cut=True),
            Column("KIND", cut=True),
            Column("QUEUE", cut=True, spare=1),
            Column("NEXT", right=True),
            Column("LAST", right=True),
            Column("TASKS", right=True, spare=2),
            Column("LEFT OUT", right=True, spare=3),
        ]
        rows = [
            [
                one.name,
                _times(one),
                one.task.kind,
                one.task.queue,
                "paused" if one.paused else age(one.next_runs[0] if one.next_runs else None),
                age(one.last_run),
                str(one.fires),
                str(one.skips or "·"),
            ]
            for one in found
        ]
        write_table(columns, rows)
    else:
        note("no schedules yet: tq schedule put makes one")


@command("get", examples=("tq schedule get nightly", "tq schedule get nightly --json | jq .next_runs"))
@click.argument("names", metavar="NAME...", nargs=-1, required=True, type=Name())
@json_option()
def get(names: tuple[str, ...], as_json: bool) -> int:
    """Show schedules in full."""
    return each_of(
        names, lambda client, name: _show(client.schedule(name), as_json=as_json), doing="schedule get"
    )


@command("next", examples=("tq schedule next nightly", "tq schedule next nightly -n 50"))
@click.argument("name", type=Name())
@click.option(
    "--count", "-n", type=click.IntRange(1, 100), default=NEXT_DEFAULT, show_default=True, help="How many."
)
@json_option("a JSON array of times")
def next_runs(name: str, count: int, as_json: bool) -> None:
    """Show when a schedule is due next.

    Times are in UTC. A paused schedule has none.
    """
    from tq.output import Column, age, write_json, write_table

    with connect() as client:
        found = client.schedule(name, next_runs=count)
    if as_json:
        write_json(found.next_runs)
    elif found.next_runs:
        columns = [Column("TIME"), Column("", right=True)]
        write_table(columns, [[run, age(run)] for run in found.next_runs], header=False)
    else:
        note("the schedule is paused" if found.paused else "no time to come is like that")


def _steering(name: str, act: "Callable[[Client, str], Schedule]", help_text: str) -> Command:
    @click.argument("names", metavar="NAME...", nargs=-1, required=True, type=Name())
    @json_option("each schedule as JSON")
    def steer(names: tuple[str, ...], as_json: bool) -> int:
        def one(client: "Client", schedule: str) -> None:
            from tq.output import age, safe, write_json

            found = act(client, schedule)
            if as_json:
                write_json(found)
            else:
                due = "paused" if found.paused else f"next {age(next(iter(found.next_runs), None))}"
                click.echo(safe(f"{found.name}  {due}", one_line=True))

        return each_of(names, one, doing=f"schedule {name}")

    examples = (f"tq schedule {name} nightly",)
    declare: Callable[..., Command] = click.command(name, cls=Command, examples=examples, help=help_text)
    return declare(steer)


@command("delete", examples=("tq schedule delete nightly",))
@click.argument("names", metavar="NAME...", nargs=-1, required=True, type=Name())
@json_option()
def delete(names: tuple[str, ...], as_json: bool) -> int:
    """Delete schedules.

    The tasks they have made stay. A schedule that is put anew under the name begins anew.
    """
    from tq.output import safe, write_json

    def act(client: "Client", name: str) -> None:
        client.delete_schedule(name)
        if as_json:
            write_json({"name": name, "state": "deleted"})
        else:
            click.echo(safe(f"{name}  deleted", one_line=True))

    return each_of(names, act, doing="schedule delete")


def _show(found: "Schedule", *, as_json: bool) -> None:
    from tq.output import write_json

    if as_json:
        write_json(found)
    else:
        from tq.commands.detail import write_facts

        write_facts(_facts(found))


def _times(found: "Schedule") -> str:
    from tq.output import span

    if found.every_s is not None:
        return f"every {span(found.every_s)}"
    return f"{found.cron} {found.time_zone}"


def _facts(found: "Schedule") -> Iterator[tuple[str, str]]:
    from tq.commands.detail import policy_words, when
    from tq.commands.values import now
    from tq.output import pretty, span

    at = now()
    yield "name", found.name
    yield "times", _times(found)
    if found.cron is not None:
        yield "clocks", f"those passed over: {found.dst_gap}, those that come again: {found.dst_overlap}"
    yield "missed", found.missed
    yield "overlap", found.overlap
    if found.paused:
        yield "paused", "yes"
    for index, run in enumerate(found.next_runs):
        yield "" if index else "next", f"{run}  ({when(run, at)})"
    if found.last_run is not None:
        yield "last", f"{found.last_run}  ({when(found.last_run, at)})"
        yield "last task", found.last_task or ""
    yield "tasks", f"{found.fires} made, {found.skips} times left out"
    task = found.task
    yield "kind", task.kind
    yield "queue", task.queue
    yield "priority", str(task.priority)
    yield "attempts", str(task.max_attempts)
    yield "lease", span(task.lease_s)
    bounds = (
        ("timeout", task.timeout_s),
        ("expires in", task.expires_s),
        ("result for", task.result_ttl_s),
    )
    for label, seconds in bounds:
        if seconds is not None:
            yield label, span(seconds)
    if task.retry is not None:
        yield "retry", policy_words(task.retry)
    if task.unique is not None:
        yield "unique key", unique_words(task.unique)
    if task.limit_key is not None:
        yield "limit key", task.limit_key
    if task.tags:
        yield "tags", ", ".join(task.tags)
    for label in ("payload", "meta"):
        if text := pretty(getattr(task, label)):
            yield label, text


schedule.params.extend(node_options())
for _command in (
    put,
    list_schedules,
    get,
    next_runs,
    _steering(
        "pause",
        lambda client, name: client.pause_schedule(name),
        "Make no tasks from schedules.\n\nTimes that pass meanwhile are not made up for.",
    ),
    _steering(
        "resume",
        lambda client, name: client.resume_schedule(name),
        "Make tasks from paused schedules again, from their next time on.",
    ),
    delete,
):
    schedule.add_command(_command)
