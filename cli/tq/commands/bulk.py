"""Commands about many tasks at once: count, and bulk with what it can do to them."""

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from tq.commands.base import (
    Command,
    ExitCode,
    Failed,
    Group,
    command,
    complete_queues,
    connect,
    json_option,
    node_options,
    note,
)
from tq.commands.filters import filter_options, given

if TYPE_CHECKING:
    from tq.client import Client
    from tq.wire import Bulk

# The first answer comes soon, so that a bar can be drawn; each later look waits this long.
FIRST_WAIT_S = 0.5
LOOK_EVERY_S = 0.25
# What each is called while it is asked about, and when it is done.
DONE = {
    "cancel": "cancelled",
    "retry": "retried",
    "delete": "deleted",
    "move": "moved",
    "reprioritize": "reprioritized",
}
WHY = {
    "running": "they are running",
    "final": "they have ended",
    "blocked": "they wait on other tasks",
    "unchanged": "they are so already",
    "unique_conflict": "another task holds their unique key",
    "queue_full": "the queue is full",
}


@command(
    "count",
    examples=(
        "tq count --queue images --state dead",
        "tq count --where payload.user_id=42 --created-after 1d",
        "tq count --error-type TimeoutError --json | jq .count",
    ),
)
@filter_options
@json_option("the counts as JSON")
def count(as_json: bool, **filters: Any) -> None:
    """Count tasks.

    With ~ before it, a count is an estimate: there are too many tasks to look at each.
    """
    from tq.output import write_json

    with connect() as client:
        found = client.count(**_criteria(client, filters))
    if as_json:
        write_json(found)
    else:
        click.echo(_number(found.count, found.estimated))
        if found.estimated:
            note("an estimate, from samples: there are too many tasks to look at each")


@click.group(
    "bulk",
    cls=Group,
    examples=(
        "tq bulk retry --state dead --error-type TimeoutError",
        "tq bulk cancel --queue mail --where payload.campaign=spring --dry-run",
        "tq bulk move --queue slow --to fast --yes",
    ),
)
def bulk() -> None:
    """Do one thing to all tasks that match, slice by slice."""


def _action(name: str, help_text: str, examples: tuple[str, ...], *options: Any) -> Command:
    @filter_options
    @click.option("--all", "everything", is_flag=True, help="All tasks there are, without a filter.")
    @click.option("--dry-run", is_flag=True, help="Count the tasks, and do nothing.")
    @click.option("--yes", "-y", is_flag=True, help="Do not ask.")
    @click.option("--no-wait", is_flag=True, help="Begin it, print its id, and don't wait for the end.")
    @json_option("how it stands at the end, as JSON")
    def act(
        everything: bool, dry_run: bool, yes: bool, no_wait: bool, as_json: bool, **given_options: Any
    ) -> int:
        special: dict[str, Any] = {
            key: given_options.pop(key) for key in ("to", "priority") if key in given_options
        }
        with connect() as client:
            criteria = _criteria(client, given_options)
            if bool(criteria) == everything:
                raise click.UsageError(
                    "--all is for all tasks, without a filter"
                    if criteria
                    else "say which tasks: a filter, or --all for all there are"
                )
            chosen: dict[str, Any] = {"all": everything, **special, **criteria}
            if dry_run:
                _tell(client.bulk(_ACTIONS[name], **chosen, dry_run=True), as_json=as_json)
                return ExitCode.OK
            if not yes:
                _ask(name, lambda: client.bulk(_ACTIONS[name], **chosen, dry_run=True))
            begun = client.bulk(_ACTIONS[name], **chosen, wait_s=0 if no_wait else FIRST_WAIT_S)
            if not no_wait:
                begun = _followed(client, begun)
        if no_wait and not as_json:
            click.echo(begun.id)
        else:
            _tell(begun, as_json=as_json)
        return ExitCode.CANCELLED if begun.state == "cancelled" else ExitCode.OK

    for option in reversed(options):
        act = option(act)
    declare: Callable[..., Command] = click.command(name, cls=Command, examples=examples, help=help_text)
    return declare(act)


# The types of the client are closed, those of a command line are text.
_ACTIONS: dict[str, Any] = {name: name for name in DONE}


def _criteria(client: "Client", filters: dict[str, Any]) -> dict[str, Any]:
    """The filters that were given; a worker's name stands for its id."""
    chosen = given(filters)
    if "worker" in chosen:
        from tq.commands.workers import WorkerNames

        chosen["worker"] = WorkerNames(client).id_of(chosen["worker"])
    return chosen


def _ask(name: str, preview_of: "Callable[[], Bulk]") -> None:
    """Returns once a person has agreed to what would be done."""
    if not sys.stdin.isatty():
        raise click.UsageError(f"{name} asks before it changes tasks; without a terminal, say --yes")
    preview = preview_of()
    counts = ", ".join(f"{tasks:,} {state}" for state, tasks in preview.states.items())
    which = f" ({counts})" if counts else ""
    number = _number(preview.matched, preview.estimated)
    if not click.confirm(f"{preview.action} {number} tasks{which}{_target(preview)}?", err=True):
        raise Failed("nothing was changed")


def _target(found: "Bulk") -> str:
    if found.queue is not None:
        return f" to {found.queue}"
    return "" if found.priority is None else f" to {found.priority}"


def _number(tasks: int, estimated: bool) -> str:
    return f"~{tasks:,}" if estimated else str(tasks)


def _followed(client: "Client", begun: "Bulk") -> "Bulk":
    """The operation at its end; until then, a bar on a terminal shows how far it is."""
    from tq.clock import SystemClock

    if begun.state != "running" or begun.id is None:
        return begun
    clock = SystemClock()
    with _bar(begun) as moved:
        while begun.state == "running":
            clock.pause(LOOK_EVERY_S)
            begun = client.bulk_operation(str(begun.id))
            moved(begun)
    return begun


class _bar:
    """Shows progress on standard error, if that is a terminal.

    Args:
        begun: the operation.
    """

    def __init__(self, begun: "Bulk") -> None:
        self._begun = begun
        self._bar: Any = None

    def __enter__(self) -> "Callable[[Bulk], None]":
        if sys.stderr.isatty():
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            from tq.output import console

            self._bar = Progress(
                TextColumn(self._begun.action, markup=False),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f} %", markup=False),
                TextColumn("{task.fields[done]} tasks", markup=False),
                TimeRemainingColumn(),
                console=console(stderr=True),
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._task = self._bar.add_task("", total=1.0, done="0")
            self._bar.start()
        return self._moved

    def _moved(self, found: "Bulk") -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=found.progress, done=f"{found.done:,}")

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def _tell(found: "Bulk", *, as_json: bool) -> None:
    from tq.output import safe, write_json

    if as_json:
        write_json(found)
        return
    if found.state == "dry_run":
        counts = ", ".join(f"{tasks} {state}" for state, tasks in found.states.items())
        number = _number(found.matched, found.estimated)
        click.echo(f"{number} tasks match" + (f": {counts}" if counts else ""))
        return
    asked = f", {found.asked} of them running: they were asked to stop" if found.asked else ""
    click.echo(safe(f"{DONE[found.action]} {found.done}{_target(found)}{asked}", one_line=True))
    for reason, tasks in found.skips.items():
        note(f"left {tasks} as they are: {WHY.get(reason, reason)}")
    if found.state != "done":
        note(f"{found.state}: {found.progress:.0%} of the tasks were looked at")


@command("list", examples=("tq bulk list", "tq bulk list --json | jq -r 'select(.state == \"running\").id'"))
@json_option()
def list_bulks(as_json: bool) -> None:
    """List bulk operations, newest first."""
    from tq.output import Column, age, write_json, write_table

    with connect() as client:
        found = client.bulk_operations()
    if as_json:
        for one in found:
            write_json(one)
    elif found:
        columns = [
            Column("ID"),
            Column("ACTION"),
            Column("STATE"),
            Column("SEEN", right=True),
            Column("DONE", right=True),
            Column("LEFT", right=True, spare=1),
            Column("AGE", right=True, spare=2),
        ]
        rows = [
            [
                str(one.id),
                one.action,
                one.state,
                f"{one.progress:.0%}",
                str(one.done),
                str(one.skipped or "·"),
                age(one.created_at),
            ]
            for one in found
        ]
        write_table(columns, rows)
    else:
        note("no bulk operations yet: tq bulk cancel begins one")


@command("get", examples=("tq bulk get 0198c0de-0000-7000-8000-000000000000",))
@click.argument("bulk_id", metavar="ID")
@json_option("it as JSON")
def get(bulk_id: str, as_json: bool) -> None:
    """Show a bulk operation in full."""
    with connect() as client:
        _show(client.bulk_operation(bulk_id), as_json=as_json)


@command("stop", examples=("tq bulk stop 0198c0de-0000-7000-8000-000000000000",))
@click.argument("bulk_id", metavar="ID")
@json_option("it as JSON")
def stop(bulk_id: str, as_json: bool) -> None:
    """End a bulk operation where it stands.

    What was done stays done.
    """
    with connect() as client:
        _show(client.cancel_bulk(bulk_id), as_json=as_json)


def _show(found: "Bulk", *, as_json: bool) -> None:
    from tq.output import write_json

    if as_json:
        write_json(found)
    else:
        from tq.commands.detail import write_facts

        write_facts(_facts(found))


def _facts(found: "Bulk") -> Iterator[tuple[str, str]]:
    import msgspec

    yield "id", str(found.id)
    yield "action", f"{found.action}{_target(found)}"
    yield "filter", msgspec.json.encode(found.filter).decode() if found.filter else "all tasks"
    yield "state", found.state
    yield "looked at", f"{found.progress:.0%} of the tasks"
    yield "matched", str(found.matched)
    yield "done", str(found.done)
    if found.asked:
        yield "", f"{found.asked} of them running: they were asked to stop"
    for reason, tasks in found.skips.items():
        yield "left", f"{tasks}: {WHY.get(reason, reason)}"
    yield "created", str(found.created_at)
    if found.finished_at is not None:
        yield "ended", found.finished_at


bulk.params.extend(node_options())
for _command in (
    _action(
        "cancel",
        "Cancel tasks that wait, and ask running ones to stop.\n\nTasks that have ended stay as they are.",
        (
            "tq bulk cancel --queue mail --state ready",
            "tq bulk cancel --where payload.user_id=42 --dry-run",
            "tq bulk cancel --all --yes",
        ),
    ),
    _action(
        "retry",
        "Make tasks that have ended, or that wait for their time, ready now.\n\nEach gets one more attempt "
        "if its attempts are spent. Running, ready and blocked tasks stay as they are, and those whose "
        "unique key another task holds by now.",
        (
            "tq bulk retry --state dead --error-type TimeoutError",
            "tq bulk retry --state dead --finished-after 1d --queue images --yes",
        ),
    ),
    _action(
        "delete",
        'Delete tasks that are not running.\n\nThere is no way back: "tq export" keeps a copy.',
        ("tq bulk delete --state succeeded --finished-before 12h", "tq bulk delete --tag import --dry-run"),
    ),
    _action(
        "move",
        "Move tasks that wait to another queue.\n\nThey keep their priority, their time and their place "
        "among each other. Running tasks and those that have ended stay where they are; so do those for "
        "which the other queue has no room.",
        ("tq bulk move --queue slow --to fast", "tq bulk move --kind resize --to images --yes"),
        click.option(
            "--to", required=True, shell_complete=complete_queues, metavar="QUEUE", help="Where they go."
        ),
    ),
    _action(
        "reprioritize",
        "Give tasks that wait another priority.\n\nRunning tasks and those that have ended keep theirs.",
        ("tq bulk reprioritize --where meta.tenant=acme --priority 200",),
        click.option(
            "--priority",
            "-p",
            required=True,
            type=click.IntRange(0, 255),
            help="0 to 255, higher first.",
        ),
    ),
    list_bulks,
    get,
    stop,
):
    bulk.add_command(_command)
