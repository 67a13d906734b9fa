"""How the demo shows its queues: a live table on a terminal, a line now and then elsewhere."""

import contextlib
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from tq.wire import QueueInfo

COLUMNS: Final = ("ready", "scheduled", "running", "succeeded", "dead")
LINE_EVERY_S: Final = 1.0


def totals(queues: Sequence[QueueInfo]) -> dict[str, int]:
    """Tasks by state over all queues."""
    return {state: sum(queue.counts.get(state, 0) for queue in queues) for state in COLUMNS}


class View(Protocol):
    """Shows the queues' counts as they change."""

    def __enter__(self) -> "View": ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, queues: Sequence[QueueInfo], *, after_s: float, progress: str) -> None:
        """Shows the counts.

        Args:
            queues: all queues.
            after_s: seconds since the tasks were enqueued.
            progress: of the long tasks that run.
        """
        ...


class Lines:
    """A line when something has changed, at most one a second."""

    def __init__(self) -> None:
        self._last_s = -LINE_EVERY_S
        self._last: object = None

    def __enter__(self) -> View:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, queues: Sequence[QueueInfo], *, after_s: float, progress: str) -> None:
        counts = totals(queues)
        finished = counts["succeeded"] + counts["dead"] == sum(counts.values())
        if (counts, progress) == self._last or (after_s - self._last_s < LINE_EVERY_S and not finished):
            return
        self._last, self._last_s = (counts, progress), after_s
        shown = "  ".join(f"{state} {count}" for state, count in counts.items())
        say(f"{after_s:5.1f} s  {shown}  {progress}".rstrip())


class LiveTable:
    """A table that is drawn anew in its place."""

    def __init__(self) -> None:
        from rich.live import Live

        self._live = Live(auto_refresh=False)
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> View:
        self._stack.enter_context(self._live)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def show(self, queues: Sequence[QueueInfo], *, after_s: float, progress: str) -> None:
        self._live.update(_table(queues, f"{after_s:.1f} s  {progress}".rstrip()), refresh=True)


def _table(queues: Sequence[QueueInfo], caption: str) -> Any:
    from rich.table import Table

    table = Table(caption=caption, caption_justify="left", show_footer=True)
    table.add_column("queue", footer="all", style="bold")
    for state, count in totals(queues).items():
        style = {"succeeded": "green", "dead": "red", "running": "yellow"}.get(state)
        table.add_column(state, footer=str(count), justify="right", style=style, min_width=9)
    for queue in sorted(queues, key=lambda queue: queue.queue):
        table.add_row(queue.queue, *(str(queue.counts.get(state, 0) or "") for state in COLUMNS))
    return table


def view() -> View:
    """The view that suits standard output."""
    return LiveTable() if sys.stdout.isatty() else Lines()


def say(line: str = "") -> None:
    """Prints a line at once, for those who follow through a pipe."""
    print(line, flush=True)  # noqa: T201  # the demo's output is for people


def things_to_try(url: str, file: Path) -> list[str]:
    """Commands that work against the demo's node; three with curl, then some with tq.

    Args:
        url: the node.
        file: one that the worker can hash.
    """
    tq = shlex.quote(str(Path(sys.executable).with_name("tq")))
    payload = json.dumps({"args": [str(file)], "kwargs": {}})
    task = f'{{"kind": "hash_file", "queue": "files", "priority": 255, "payload": {payload}}}'
    return [
        f"curl -s {url}/v1/stats",
        f"curl -s {url}/v1/tasks -H 'content-type: application/json' -d {shlex.quote(task)}",
        f"curl -s '{url}/v1/tasks?kind=stumble&state=succeeded&limit=1'",
        f"export TQ_URL={url}",
        f"{tq} queues",
        f"{tq} enqueue hash_file {shlex.quote(payload)} --queue files",
        f"{tq} list --state succeeded --limit 5",
        f"{tq} workers",
    ]
