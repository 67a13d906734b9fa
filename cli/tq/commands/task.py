"""Commands about tasks that are known by id: get, cancel, retry, delete."""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from tq.commands.base import ExitCode, Failed, command, complain, connect, failure, json_option, settings
from tq.commands.values import ids

if TYPE_CHECKING:
    from tq.client import Client
    from tq.wire import Task

# An id has 36; beyond this it is some other file on standard input.
ID_CHARS_MAX = 100
PARTS = ("payload", "meta", "progress", "result")


def ids_argument() -> Callable[[Callable[..., None]], Callable[..., None]]:
    """One or more ids, ``-`` for standard input."""
    return click.argument("task_ids", metavar="ID...", nargs=-1, required=True)


def each_id(arguments: Sequence[str]) -> Iterator[str]:
    """The ids given, each once.

    Raises:
        click.UsageError: standard input has a line without an id.
    """
    seen: set[str] = set()
    try:
        for task_id in ids(arguments):
            if not task_id.strip(".") or len(task_id) > ID_CHARS_MAX:
                raise ValueError(f"{task_id[:ID_CHARS_MAX]!r} is no id")
            if task_id not in seen:
                seen.add(task_id)
                yield task_id
    except ValueError as error:
        raise click.UsageError(str(error)) from None


@command(
    "get",
    examples=(
        "tq get 0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70",
        "tq get --json 0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70 | jq .errors",
        "tq get --only result 0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70 > result.json",
        "tq get --at 2026-01-31T09:00:00Z 0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70",
    ),
    past=True,
)
@ids_argument()
@click.option("--only", type=click.Choice(PARTS), help="Print just this part, byte for byte.")
@json_option()
def get(task_ids: tuple[str, ...], only: str | None, as_json: bool) -> int:
    """Show tasks in full.

    ID may be given several times; "-" reads ids from standard input.
    """
    from tq.commands.detail import write_task
    from tq.commands.workers import WorkerNames
    from tq.output import write_json

    def show(client: "Client", task_id: str) -> None:
        task = client.get(task_id, at=settings().at)
        if only is not None:
            _write_part(task, only)
        elif as_json:
            write_json(task)
        else:
            name = WorkerNames(client).of(task.worker) if task.state == "running" else None
            write_task(task, worker_name=name)

    return on_each(task_ids, show, verb="get")


def _write_part(task: "Task", name: str) -> None:
    from msgspec import UNSET

    from tq.output import write_line

    raw = getattr(task, name)
    if raw is UNSET:
        raise Failed(f"the task has no {name}")
    write_line(bytes(raw))


@command(
    "cancel",
    examples=(
        "tq cancel 0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70",
        "tq list --queue images --state ready --ids --limit 0 | tq cancel -",
    ),
)
@ids_argument()
@json_option()
def cancel(task_ids: tuple[str, ...], as_json: bool) -> int:
    """Cancel tasks that have not ended.

    A waiting task is cancelled at once. The worker of a running one is told at its next heartbeat;
    until it stops, the task stays running.
    """

    def act(client: "Client", task_id: str) -> None:
        task = client.cancel(task_id)
        asked = task.state == "running" and task.cancel_requested_at is not None
        _tell(task, as_json=as_json, remark="its worker is told to stop" if asked else "")

    return on_each(task_ids, act, verb="cancel")


@command(
    "retry",
    examples=(
        "tq retry 0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70",
        "tq list --state dead --kind resize --ids --limit 0 | tq retry -",
    ),
)
@ids_argument()
@json_option()
def retry(task_ids: tuple[str, ...], as_json: bool) -> int:
    """Make ended tasks ready again.

    Works on dead, cancelled and succeeded tasks, and runs a scheduled one now.
    """
    return on_each(
        task_ids, lambda client, task_id: _tell(client.retry(task_id), as_json=as_json), verb="retry"
    )


@command(
    "delete",
    examples=(
        "tq delete 0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70",
        "tq list --state cancelled --ids --limit 0 | tq delete -",
    ),
)
@ids_argument()
@json_option()
def delete(task_ids: tuple[str, ...], as_json: bool) -> int:
    """Delete tasks that are not running.

    There is no way back: "tq export" keeps a copy.
    """
    from tq.output import write_json

    def act(client: "Client", task_id: str) -> None:
        client.delete(task_id)
        if as_json:
            write_json({"id": task_id, "state": "deleted"})
        else:
            click.echo(f"{task_id}  deleted")

    return on_each(task_ids, act, verb="delete")


def _tell(task: "Task", *, as_json: bool, remark: str = "") -> None:
    from tq.output import paint, safe, write_json

    if as_json:
        write_json(task)
    else:
        state = paint(safe(task.state, one_line=True), task.state)
        click.echo(f"{task.id}  {state}" + (f"  ({remark})" if remark else ""))


def on_each(arguments: Sequence[str], act: Callable[["Client", str], None], *, verb: str) -> int:
    """Does ``act`` for each id; one that fails is told and the rest go on.

    Returns:
        0, or the exit code that all the failures share, or 1.

    Raises:
        tq.errors.TqUnavailable: the node is away, so the rest would fail alike.
        tq.errors.Busy: the same, for now.
        tq.errors.OutcomeUnknown: nobody knows what became of one.
    """
    from tq.errors import ApiError, Busy

    codes: set[ExitCode] = set()
    with connect() as client:
        for task_id in each_id(arguments):
            try:
                act(client, task_id)
            except Busy:
                raise
            except (ApiError, Failed) as error:
                failed = error if isinstance(error, Failed) else failure(error)
                sys.stdout.flush()
                named = failed.message if task_id in failed.message else f"{task_id}: {failed.message}"
                complain(f"{verb}: {named}", failed.hint)
                codes.add(failed.code)
    if not codes:
        return ExitCode.OK
    return codes.pop() if len(codes) == 1 else ExitCode.FAILED
