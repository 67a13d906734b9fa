"""``tq enqueue``."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from tq.commands.base import ExitCode, command, complete_queues, connect, json_option, note
from tq.commands.telling import webhook_of, webhook_options
from tq.commands.unique import check_unique, unique_of, unique_options
from tq.commands.values import RETRY_FORMS, Duration, Moment, Retry, now, parse_meta, read_json

if TYPE_CHECKING:
    from tq.client import Client
    from tq.wire import Task

# What is passed on to the client under the same name.
_SAME = (
    *("queue", "priority", "delay_s", "run_at", "max_attempts", "lease_s", "timeout_s"),
    *(
        "after_policy",
        "limit_key",
        "result_ttl_s",
    ),
)


@command(
    "enqueue",
    examples=(
        """tq enqueue resize '{"file": "a.png", "width": 800}' --queue images --priority 200""",
        "tq enqueue report @may.json --run-at '2026-06-01 06:00' --retry exponential:60,2,6h",
        "jq -c .order order.json | tq enqueue ship - --unique-key order-4711 --wait",
        """tq enqueue digest '{"user_id": 7}' --unique-field user_id --unique-period 1h""",
        'a=$(tq enqueue fetch) && tq enqueue parse --after "$a"',
    ),
)
@click.argument("kind")
@click.argument("payload", metavar="[JSON | @FILE | -]", required=False)
@click.option("--queue", "-q", shell_complete=complete_queues, help="The queue (default: default).")
@click.option("--priority", "-p", type=click.IntRange(0, 255), help="0 to 255, higher first (default: 128).")
@click.option("--delay", "delay_s", type=Duration(), help="Not before this long from now: 90s, 5m, 1h30m.")
@click.option("--run-at", type=Moment(), help="Not before this time; local unless it has an offset.")
@click.option("--max-attempts", type=click.IntRange(1, 1000), help="How often it is tried (default: 10).")
@click.option("--retry", type=Retry(), help=f"Waits between attempts: {RETRY_FORMS}.")
@click.option("--lease", "lease_s", type=Duration(), help="How long a worker may be silent (default: 30s).")
@click.option("--timeout", "timeout_s", type=Duration(), help="How long one attempt may take.")
@click.option(
    "--result-ttl", "result_ttl_s", type=Duration(), help="How long its result is kept after its end."
)
@click.option("--expires-at", type=Moment(), help="Cancelled if it has not begun by then.")
@click.option("--expires-in", type=Duration(), help="The same, from now.")
@click.option(
    "--after", "-a", multiple=True, metavar="ID", help="Wait until this task has succeeded; may be repeated."
)
@click.option(
    "--after-policy",
    type=click.Choice(("succeeded", "finished")),
    help="What the tasks waited for must come to: succeed, or just end (default: succeeded).",
)
@webhook_options
@click.option("--tag", "-t", "tags", multiple=True, help="A tag; may be repeated.")
@click.option("--meta", "-m", multiple=True, help="KEY=VALUE, may be repeated; or one JSON object.")
@unique_options
@click.option("--limit-key", help="What limits on claims know it by.")
@click.option("--idempotency-key", help="The node makes the task once however often this key comes.")
@click.option("--wait", is_flag=True, help="Wait until it has ended; exits as tq wait does.")
@click.option("--wait-timeout", type=Duration(), help="Give up waiting after this long.")
@json_option("the task as JSON")
def enqueue(kind: str, payload: str | None, wait: bool, as_json: bool, **options: Any) -> int:
    """Enqueue one task.

    The payload is JSON: the argument itself, the contents of a file after "@", or standard input for
    "-". It is stored byte for byte. Prints the task's id.
    """
    _check(wait, options)
    fields = _fields(payload, options)
    from tq.output import write_json

    with connect() as client:
        task = client.enqueue(kind, **fields)
        if task.duplicate:
            note(_told(task, options["on_conflict"]))
        if wait:
            return _wait(client, task.id, options["wait_timeout"], as_json=as_json)
    if as_json:
        write_json(task)
    else:
        click.echo(task.id)
    return ExitCode.OK


def _told(task: "Task", on_conflict: str | None) -> str:
    """What became of a task whose key another one holds."""
    if on_conflict in (None, "skip"):
        return f"not enqueued: task {task.id} ({task.state}) holds the key"
    return f"task {task.id} ({task.state}) holds the key and has the new content"


def _check(wait: bool, options: dict[str, Any]) -> None:
    both = (
        ("delay_s", "--delay", "run_at", "--run-at"),
        ("expires_at", "--expires-at", "expires_in", "--expires-in"),
    )
    for one, one_name, other, other_name in both:
        if options[one] is not None and options[other] is not None:
            raise click.UsageError(f"{one_name} and {other_name} exclude each other")
    check_unique(options)
    if options["after_policy"] is not None and not options["after"]:
        raise click.UsageError("--after-policy needs --after")
    if options["wait_timeout"] is not None and not wait:
        raise click.UsageError("--wait-timeout needs --wait")


def _fields(payload: str | None, options: dict[str, Any]) -> dict[str, Any]:
    fields = content_of(payload, options)
    fields |= {name: options[name] for name in (*_SAME, "idempotency_key") if options[name] is not None}
    if options["after"]:
        fields["after"] = list(options["after"])
    expires_at = _expiry(options["expires_at"], options["expires_in"])
    if expires_at is not None:
        fields["expires_at"] = expires_at
    return fields


def content_of(payload: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """Payload, meta, tags, retry policy, unique key and webhook as the client takes them, if they were said.

    Raises:
        UsageError: one of them can't be read.
    """
    import msgspec

    fields: dict[str, Any] = {}
    try:
        raw = read_json(payload)
        meta = parse_meta(options["meta"])
        if options["retry"] is not None:
            fields["retry"] = _policy(options["retry"])
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if raw is not None:
        fields["payload"] = msgspec.Raw(raw)
    if meta is not None:
        fields["meta"] = msgspec.Raw(meta)
    if options["tags"]:
        fields["tags"] = list(options["tags"])
    unique = unique_of(options)
    if unique is not None:
        fields["unique"] = unique
    webhook = webhook_of(options)
    if webhook is not None:
        fields["webhook"] = webhook
    return fields


def _expiry(at: datetime | None, in_s: float | None) -> datetime | None:
    return at if in_s is None else now() + timedelta(seconds=in_s)


def _policy(fields: dict[str, Any]) -> Any:
    """A retry policy as the client takes it.

    Raises:
        ValueError: a field is wrong.
    """
    import msgspec

    from tq.wire import RetryPolicy

    try:
        return msgspec.convert(fields, RetryPolicy)
    except msgspec.ValidationError as error:
        raise ValueError(f"--retry: {error}") from None


def _wait(client: "Client", task_id: str, timeout_s: float | None, *, as_json: bool) -> int:
    from tq.commands.wait import wait_for

    note(f"enqueued {task_id}")
    return wait_for(client, [task_id], timeout_s=timeout_s, as_json=as_json)
