"""Commands about batches: batch create, list, get, add, close, cancel, wait."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import click

from tq.commands.base import (
    Command,
    ExitCode,
    Failed,
    Group,
    command,
    complain,
    complete_queues,
    connect,
    each_of,
    json_option,
    node_options,
    note,
)
from tq.commands.telling import batch_webhook_of, batch_webhook_options
from tq.commands.values import Duration

if TYPE_CHECKING:
    from tq.client import Client
    from tq.wire import Batch, NewTask

EVENTS = ("on_failure", "on_finished", "on_success")
LIST_DEFAULT = 20


class Id(click.ParamType[str]):
    """A batch's id; the node says what else is wrong with it."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        # It becomes a part of a path, where these name something else.
        if not str(value).strip("."):
            self.fail(f"{value!r} names nothing", param, ctx)
        return str(value)


@click.group(
    "batch",
    cls=Group,
    examples=(
        "tq batch create images.ndjson --on-success publish --wait",
        "tq batch list",
        "tq batch wait 0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70",
    ),
)
def batch() -> None:
    """Enqueue tasks as one batch, watch it, and have a task run when it has ended."""


@command(
    "create",
    examples=(
        "tq batch create images.ndjson --on-success publish --on-failure alarm",
        "tq batch create - --name nightly --on-finished report --wait < tasks.ndjson",
        "id=$(tq batch create --open --on-success publish)",
        "tq batch create images.ndjson --webhook https://example.com/hook --webhook-on finished",
    ),
)
@click.argument("file", metavar="[FILE | -]", required=False)
@click.option("--name", "-n", help="What people call it.")
@click.option("--open", "is_open", is_flag=True, help="More tasks are to come: it waits for tq batch close.")
@click.option("--on-success", metavar="KIND", help="Enqueue a task of this kind when all have succeeded;")
@click.option("--on-finished", metavar="KIND", help="when all have ended, however;")
@click.option("--on-failure", metavar="KIND", help="when the first one is dead.")
@click.option(
    "--callback-queue", shell_complete=complete_queues, help="The queue of these (default: default)."
)
@click.option("--callback-payload", metavar="JSON | @FILE", help="The payload of these.")
@batch_webhook_options
@click.option("--wait", is_flag=True, help="Wait until it has ended; exits as tq batch wait does.")
@click.option("--wait-timeout", type=Duration(), help="Give up waiting after this long.")
@json_option("the batch's id and each task's as JSON")
def create(
    file: str | None,
    name: str | None,
    is_open: bool,
    wait: bool,
    wait_timeout: float | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Enqueue the tasks of a file as a batch.

    One task a line, as JSON in the form that "POST /v1/tasks" takes. All are enqueued or none, up to
    10,000. Prints the batch's id.
    """
    if wait_timeout is not None and not wait:
        raise click.UsageError("--wait-timeout needs --wait")
    if wait and is_open:
        raise click.UsageError("--open and --wait exclude each other: close it first")
    if file is None and not is_open:
        raise click.UsageError("name a file of tasks, or - for standard input; or say --open")
    callbacks, webhook = _callbacks(options), batch_webhook_of(options)
    tasks = [] if file is None else _tasks(file)
    with connect() as client:
        made = client.enqueue_batch(tasks, name=name, open=is_open, webhook=webhook, **callbacks)
        _tell_duplicates(sum(row.duplicate for row in made.results))
        if wait:
            note(f"batch {made.id}")
            return _wait(client, made.id, wait_timeout, as_json=as_json)
    _tell_made(made.id, made, as_json=as_json)
    return ExitCode.OK


def _callbacks(options: dict[str, Any]) -> Any:
    import msgspec

    from tq.commands.values import read_json
    from tq.wire import CallbackTask

    chosen = {event: options[event] for event in EVENTS if options[event] is not None}
    fields: dict[str, Any] = {}
    if options["callback_queue"] is not None:
        fields["queue"] = options["callback_queue"]
    try:
        payload = read_json(options["callback_payload"])
    except ValueError as error:
        raise click.UsageError(f"--callback-payload: {error}") from None
    if payload is not None:
        fields["payload"] = msgspec.Raw(payload)
    if fields and not chosen:
        raise click.UsageError(
            "--callback-queue and --callback-payload need --on-success, --on-finished or --on-failure"
        )
    return {event: CallbackTask(kind=kind, **fields) for event, kind in chosen.items()}


def _tasks(file: str) -> "list[NewTask]":
    """The tasks of a file of JSON lines.

    Raises:
        Failed: a line is no task; it says which.
    """
    import msgspec

    from tq.commands.ndjson import read_lines
    from tq.wire import NewTask

    tasks = []
    with click.open_file(file, "rb") as opened:
        for line in read_lines(cast("BinaryIO", opened), number=1, offset=0):
            if line.fault is not None:
                told = "standard input" if file == "-" else file
                raise Failed(f"{told}: line {line.number}: {line.fault}", code=ExitCode.USAGE)
            if not line.blank:
                tasks.append(msgspec.json.decode(line.task, type=NewTask))
    return tasks


def _tell_duplicates(count: int) -> None:
    if count:
        note(f"{count} of the tasks were there already, by their unique keys: these are no members")


def _tell_made(batch_id: str, made: Any, *, as_json: bool) -> None:
    from tq.output import write_json

    if as_json:
        write_json(made)
    else:
        click.echo(batch_id)


@command("add", examples=("tq batch add 0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70 more.ndjson",))
@click.argument("batch_id", metavar="ID", type=Id())
@click.argument("file", metavar="FILE | -")
@json_option("each task as JSON")
def add(batch_id: str, file: str, as_json: bool) -> None:
    """Add the tasks of a file to a batch that has not finished: all or none.

    Prints how many.
    """
    from tq.output import write_json

    tasks = _tasks(file)
    with connect() as client:
        results = client.add_to_batch(batch_id, tasks)
    duplicates = sum(row.duplicate for row in results)
    _tell_duplicates(duplicates)
    if as_json:
        for row in results:
            write_json(row)
    else:
        click.echo(str(len(results) - duplicates))


@command("list", examples=("tq batch list", "tq batch list --json | jq -r 'select(.pending > 0).id'"))
@click.option(
    "--limit",
    "-n",
    type=click.IntRange(0),
    default=LIST_DEFAULT,
    show_default=True,
    help="How many; 0 for all.",
)
@json_option()
def list_batches(limit: int, as_json: bool) -> None:
    """List the batches, newest first."""
    from tq.output import Column, age, write_json, write_table

    with connect() as client:
        found = client.batches(limit=limit or None)
    if as_json:
        for one in found:
            write_json(one)
    elif found:
        columns = [
            Column("ID"),
            Column("NAME", cut=True),
            Column("STATE"),
            Column("TOTAL", right=True),
            Column("PENDING", right=True),
            Column("SUCCEEDED", right=True),
            Column("DEAD", right=True),
            Column("CANCELLED", right=True, spare=2),
            Column("AGE", right=True, spare=1),
        ]
        rows = [
            [
                *(one.id, one.name or "·", one.state, str(one.total)),
                *(str(count or "·") for count in (one.pending, one.succeeded, one.dead, one.cancelled)),
                age(one.created_at),
            ]
            for one in found
        ]
        write_table(columns, rows)
    else:
        note("no batches: tq batch create makes one")


@command("get", examples=("tq batch get 0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70",))
@click.argument("batch_ids", metavar="ID...", nargs=-1, required=True, type=Id())
@json_option()
def get(batch_ids: tuple[str, ...], as_json: bool) -> int:
    """Show how batches stand, and which of their callbacks have come."""
    return each_of(
        batch_ids, lambda client, one: _show(client.batch(one), as_json=as_json), doing="batch get"
    )


def _steering(name: str, act: "Callable[[Client, str], Batch]", help_text: str) -> Command:
    @click.argument("batch_ids", metavar="ID...", nargs=-1, required=True, type=Id())
    @json_option("each batch as JSON")
    def steer(batch_ids: tuple[str, ...], as_json: bool) -> int:
        def one(client: "Client", batch_id: str) -> None:
            from tq.output import safe, write_json

            found = act(client, batch_id)
            if as_json:
                write_json(found)
            else:
                click.echo(safe(f"{found.id}  {summary(found)}", one_line=True))

        return each_of(batch_ids, one, doing=f"batch {name}")

    examples = (f"tq batch {name} 0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70",)
    declare: Callable[..., Command] = click.command(name, cls=Command, examples=examples, help=help_text)
    return declare(steer)


@command(
    "wait",
    examples=(
        "tq batch wait 0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70 --timeout 1h",
        'id=$(tq batch create images.ndjson) && tq batch wait "$id"',
    ),
)
@click.argument("batch_id", metavar="ID", type=Id())
@click.option("--timeout", "timeout_s", type=Duration(), help="Give up after this long.")
@json_option("the batch as JSON when it has ended")
def wait(batch_id: str, timeout_s: float | None, as_json: bool) -> int:
    """Wait until a batch has finished and nothing of it is pending.

    A node that goes away meanwhile is waited for. Exit code: 0 when every member succeeded; 1 when one
    is dead; 3 when one was cancelled and none is dead; 4 when --timeout passed; 6 when there is no such
    batch (any more).
    """
    with connect() as client:
        return _wait(client, batch_id, timeout_s, as_json=as_json)


def _wait(client: "Client", batch_id: str, timeout_s: float | None, *, as_json: bool) -> int:
    from tq.commands.batch_watch import watch

    found = watch(client, batch_id, timeout_s=timeout_s)
    if found.pending or found.state != "finished":
        complain(f"batch wait: timed out; {summary(found)}")
        return ExitCode.TIMED_OUT
    if as_json:
        _show(found, as_json=True)
    else:
        click.echo(f"{found.id}  {summary(found)}")
    if found.dead:
        return ExitCode.FAILED
    return ExitCode.CANCELLED if found.cancelled else ExitCode.OK


def summary(found: "Batch") -> str:
    """A batch on one line: its state and its counts."""
    counts = {
        "pending": found.pending,
        "succeeded": found.succeeded,
        "dead": found.dead,
        "cancelled": found.cancelled,
    }
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "empty"
    return f"{found.state}  {told} of {found.total}" if found.total else f"{found.state}  {told}"


def _show(found: "Batch", *, as_json: bool) -> None:
    from tq.output import write_json

    if as_json:
        write_json(found)
    else:
        from tq.commands.detail import write_facts

        write_facts(_facts(found))


def _facts(found: "Batch") -> Iterator[tuple[str, str]]:
    from tq.commands.detail import when
    from tq.commands.values import now

    at = now()
    yield "id", found.id
    if found.name is not None:
        yield "name", found.name
    yield "state", found.state
    yield "tasks", str(found.total)
    for label in ("pending", "succeeded", "dead", "cancelled"):
        if count := getattr(found, label):
            yield label, str(count)
    moments = {
        "created": found.created_at,
        "first death": found.failed_at,
        "cancelled at": found.cancelled_at,
        "finished": found.finished_at,
        "success": found.succeeded_at,
    }
    for label, moment in moments.items():
        if moment is not None:
            yield label, f"{moment}  ({when(moment, at)})"
    for event in EVENTS:
        callback = getattr(found, event)
        if callback is not None:
            what = f"{callback.kind} in {callback.queue}"
            yield event.replace("_", " "), f"{what}: task {callback.task}" if callback.task else what
    if found.webhook is not None:
        yield "webhook", f"{found.webhook.endpoint or found.webhook.url} ({', '.join(found.webhook.on)})"


batch.params.extend(node_options())
for _command in (
    create,
    add,
    list_batches,
    get,
    _steering(
        "close",
        lambda client, one: client.close_batch(one),
        "Let open batches finish once their members have ended.",
    ),
    _steering(
        "cancel",
        lambda client, one: client.cancel_batch(one),
        "Cancel what is left of batches.\n\nMembers that wait are cancelled, the workers of those that run"
        " are asked to stop. on_finished comes when they have ended, on_success no more.",
    ),
    wait,
):
    batch.add_command(_command)
