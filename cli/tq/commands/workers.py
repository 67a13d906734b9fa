"""Commands about the workers a node knows."""

from typing import TYPE_CHECKING

import click

from tq.commands.base import Command, Failed, Group, connect, json_option, node_options, note
from tq.commands.task import on_each

if TYPE_CHECKING:
    from collections.abc import Callable

    from tq.client import Client
    from tq.output import Column
    from tq.wire import Worker, WorkerState


def worker_columns() -> "list[Column]":
    """The columns of a table of workers."""
    from tq.output import Column

    return [
        Column("ID"),
        Column("NAME", cut=True),
        Column("STATE", state=True),
        Column("BUSY", right=True),
        Column("SEEN", right=True),
        Column("UP", right=True, spare=2),
        Column("QUEUES", cut=True),
        Column("HOST", cut=True, spare=1),
    ]


def worker_row(worker: "Worker") -> list[str]:
    """One worker as a row of such a table."""
    from tq.output import age

    where = worker.host or ""
    return [
        worker.id,
        worker.name,
        worker.state,
        f"{worker.running}/{worker.concurrency}",
        age(worker.last_heartbeat_at),
        age(worker.started_at),
        ",".join(worker.queues) or "default",
        f"{where}:{worker.pid}" if worker.pid else where,
    ]


@click.group(
    "workers",
    cls=Group,
    invoke_without_command=True,
    examples=("tq workers", "tq workers --json | jq -r .name", "tq workers quiet worker-3"),
)
@json_option()
@click.pass_context
def workers(ctx: click.Context, as_json: bool) -> None:
    """List the workers, or steer them.

    BUSY is how many tasks a worker runs, of how many it can. SEEN is the age of its last heartbeat.
    """
    if ctx.invoked_subcommand is not None:
        if as_json:
            raise click.UsageError(f"write --json after {ctx.invoked_subcommand}")
        return
    from tq.output import write_json, write_table

    with connect() as client:
        found = client.workers()
    if as_json:
        for worker in found:
            write_json(worker)
    elif found:
        write_table(worker_columns(), [worker_row(worker) for worker in found])
    else:
        note("no workers are registered; start one with `tq worker`")


workers.params.extend(node_options())


class WorkerNames:
    """What people call the registered workers; the node is asked once, when a name is first wanted.

    Args:
        client: of the node.
    """

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._workers: list[Worker] | None = None

    def of(self, worker: str | None) -> str | None:
        """The name of the worker of that id; ``worker`` itself when none is registered under it."""
        if worker is None:
            return None
        return next((known.name for known in self._known() if known.id == worker), worker)

    def id_of(self, name: str) -> str:
        """The id of the one worker of that name or id; ``name`` itself when none is registered under it.

        Raises:
            Failed: several workers have that name.
        """
        found = [known.id for known in self._known() if name in (known.id, known.name)]
        if len(found) > 1:
            raise Failed("several workers have that name", hint="give the id that `tq workers` shows")
        return found[0] if found else name

    def _known(self) -> "list[Worker]":
        if self._workers is None:
            self._workers = self._client.workers()
        return self._workers


def _steering(name: str, state: "WorkerState", help_text: str) -> Command:
    @click.argument("names", metavar="WORKER...", nargs=-1, required=True)
    @json_option("each worker as JSON")
    def steer(names: tuple[str, ...], as_json: bool) -> int:
        from tq.output import safe, write_json

        known: list[WorkerNames] = []

        def act(client: "Client", name: str) -> None:
            if not known:
                known.append(WorkerNames(client))
            worker = client.steer_worker(known[0].id_of(name), state)
            if as_json:
                write_json(worker)
            else:
                click.echo(safe(f"{worker.id}  {worker.name}  {worker.state}", one_line=True))

        return on_each(names, act, verb=f"workers {name}")

    examples = (f"tq workers {name} worker-3", f"tq workers --json | jq -r .id | tq workers {name} -")
    declare: Callable[..., Command] = click.command(name, cls=Command, examples=examples, help=help_text)
    return declare(steer)


_BY_ID_OR_NAME = 'WORKER is an id or a name, as `tq workers` shows them; "-" reads them from standard input.'
for _name, _state, _help in (
    ("quiet", "quiet", "Let workers finish what they have and claim nothing more."),
    ("terminate", "terminate", "Let workers stop: what they have is finished or given back."),
    ("run", "run", "Let quiet workers claim again."),
):
    workers.add_command(_steering(_name, _state, f"{_help}\n\n{_BY_ID_OR_NAME}"))  # type: ignore[arg-type]  # each is a state
