"""``tq list``."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from tq.commands.base import command, connect, json_option, note, settings
from tq.commands.filters import filter_options, given

if TYPE_CHECKING:
    from tq.client import Client
    from tq.output import Column
    from tq.wire import Task

LIMIT_DEFAULT = 50
PRIORITY_DEFAULT = 128
# Tables are laid out this many rows at a time, so that a long list comes as a stream.
ROWS_AT_ONCE = 500
PAGE = 500
# With payloads a page can be large: one of 1 MiB each at this size still fits in memory easily.
PAGE_WITH_PAYLOADS = 50


@command(
    "list",
    examples=(
        "tq list --queue images --state ready --state running",
        "tq list --state dead --finished-after 1d --json --payload --limit 0 > dead.ndjson",
        "tq list --state dead --kind resize --ids --limit 0 | tq retry -",
        "tq --at 2026-01-31T09:00:00Z list --state running",
    ),
    past=True,
)
@filter_options
@click.option(
    "--limit",
    "-n",
    type=click.IntRange(min=0),
    default=LIMIT_DEFAULT,
    show_default=True,
    help="At most this many; 0 for all.",
)
@click.option("--payload", is_flag=True, help="Payloads and results too.")
@click.option("--ids", "ids_only", is_flag=True, help="Print nothing but ids.")
@json_option()
def list_tasks(limit: int, payload: bool, ids_only: bool, as_json: bool, **filters: Any) -> None:
    """List tasks, newest first."""
    from tq.output import write_json

    with connect() as client:
        # One more than asked for tells whether there is more.
        asked = limit + 1 if limit else 0
        shown = Limited(each_task(client, given(filters), payload=payload, at_most=asked), limit)
        if ids_only:
            for task in shown:
                click.echo(task.id)
        elif as_json:
            for task in shown:
                write_json(task)
        else:
            _write_tables(_with_names(client, shown), payload=payload)
    if not as_json and not ids_only:
        if shown.count == 0:
            note("no such tasks")
        elif shown.more:
            note(f"the newest {limit}; there are more: --limit 0 shows all")


class Limited:
    """An iterable of at most ``limit`` items that knows afterwards whether there were more.

    Args:
        items: where they come from.
        limit: how many at most; 0 for no limit.
    """

    def __init__(self, items: "Iterable[Task]", limit: int) -> None:
        self._items = items
        self._limit = limit
        self.count = 0
        self.more = False

    def __iter__(self) -> "Iterator[Task]":
        for item in self._items:
            if self._limit and self.count >= self._limit:
                self.more = True
                return
            self.count += 1
            yield item


def each_task(
    client: "Client", filters: dict[str, Any], *, payload: bool, at_most: int = 0
) -> "Iterator[Task]":
    """All tasks that match, page by page, newest first.

    Args:
        client: of the node.
        filters: which tasks; a worker by its id or its name.
        payload: whether with payloads and results.
        at_most: how many will be read, so that no more are asked for; 0 for all.
    """
    from tq.commands.workers import WorkerNames

    cursor: str | None = None
    if "worker" in filters:
        filters = filters | {"worker": WorkerNames(client).id_of(filters["worker"])}
    while True:
        options: dict[str, Any] = {"payload": True} if payload else {}
        if (moment := settings().at) is not None:
            options["at"] = moment
        rows = PAGE_WITH_PAYLOADS if payload else PAGE
        page = client.page(**filters, **options, limit=min(rows, at_most or rows), cursor=cursor)
        yield from page.tasks
        cursor = page.next_cursor
        if cursor is None:
            return


def _with_names(client: "Client", tasks: "Iterable[Task]") -> "Iterator[Task]":
    """The tasks, with the names of their workers in place of the ids, which tell people nothing."""
    from msgspec.structs import replace

    from tq.commands.workers import WorkerNames

    names = WorkerNames(client)
    for task in tasks:
        # Others' workers are not shown, and so not asked for.
        yield replace(task, worker=names.of(task.worker)) if task.state == "running" else task


def _write_tables(tasks: "Iterable[Task]", *, payload: bool) -> None:
    from tq.output import on_terminal, write_table

    cells = PAYLOAD_CELLS if payload else CELLS
    rows = iter(tasks)
    header = True
    while chunk := list(itertools.islice(rows, ROWS_AT_ONCE)):
        if header and on_terminal():
            # A terminal is narrow: no room for what is the same everywhere.
            cells = [cell for cell in cells if not cell.dull or any(not cell.dull(task) for task in chunk)]
        columns = [cell.column() for cell in cells]
        write_table(columns, [[cell.text(task) for cell in cells] for task in chunk], header=header)
        header = False


def _remark(task: "Task") -> str:
    """What is most worth knowing about a task in its state."""
    from tq.output import age, brief

    if task.reason:
        return task.reason
    if task.state == "scheduled":
        return age(task.run_at)
    if task.state == "blocked":
        return f"waits for {task.pending}"
    if task.state == "running":
        asked = "cancelling, " if task.cancel_requested_at else ""
        done = brief(task.progress)
        return f"{asked}{task.worker or ''}" + (f" {done}" if done else "")
    return ""


def _priority(task: "Task") -> str:
    return str(task.priority)


def _tries(task: "Task") -> str:
    return f"{task.attempt}/{task.max_attempts}"


def _age(task: "Task") -> str:
    from tq.output import age

    return age(task.created_at)


def _brief(name: str) -> "Callable[[Task], str]":
    def text(task: "Task") -> str:
        from tq.output import brief

        return brief(getattr(task, name))

    return text


class Cell(NamedTuple):
    """A column of the table of tasks.

    Args:
        title: its heading.
        text: what it shows of a task.
        dull: whether that is not worth showing.
        right: as for :class:`tq.output.Column`.
        cut: likewise.
        state: likewise.
        spare: likewise.
    """

    title: str
    text: "Callable[[Task], str]"
    dull: "Callable[[Task], bool] | None" = None
    right: bool = False
    cut: bool = False
    state: bool = False
    spare: int = 0

    def column(self) -> "Column":
        """Its heading and how it is laid out."""
        from tq.output import Column

        return Column(self.title, right=self.right, cut=self.cut, state=self.state, spare=self.spare)


_ID = Cell("ID", lambda task: task.id)
_STATE = Cell("STATE", lambda task: task.state, state=True)
_KIND = Cell("KIND", lambda task: task.kind, cut=True)
CELLS = [
    _ID,
    _STATE,
    Cell("QUEUE", lambda task: task.queue, cut=True),
    _KIND,
    Cell("PRI", _priority, lambda task: task.priority == PRIORITY_DEFAULT, right=True, spare=3),
    Cell("TRY", _tries, lambda task: not task.attempt, right=True, spare=2),
    Cell("AGE", _age, right=True, spare=1),
    Cell("NOTE", _remark, lambda task: not _remark(task), cut=True),
]
PAYLOAD_CELLS = [
    _ID,
    _STATE,
    _KIND,
    Cell("PAYLOAD", _brief("payload"), cut=True),
    Cell("RESULT", _brief("result"), lambda task: not _brief("result")(task), cut=True, spare=1),
]
