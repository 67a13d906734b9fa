"""``tq wait``, and the waiting that ``tq enqueue --wait`` does."""

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from tq.commands.base import ExitCode, command, complain, connect, failure, json_option
from tq.commands.task import each_id, ids_argument
from tq.commands.values import Duration

if TYPE_CHECKING:
    from tq.client import Client
    from tq.clock import Clock
    from tq.wire import Task

FINAL = ("succeeded", "dead", "cancelled")
# A short task should be told at once; a long one should not be asked about all the time.
PAUSE_FIRST_S = 0.05
PAUSE_GROWTH = 1.4
PAUSE_MAX_S = 1.0
# Where nobody watches, the node holds the answer about one task back for so long.
HELD_S = 30.0
# Waiting for very many tasks must not keep the node busy: so long between two questions at least.
PAUSE_PER_TASK_S = 0.01
# So often the picture is redrawn, and the time looked at, while all tasks are asked about.
QUESTIONS_BETWEEN = 20


@command(
    "wait",
    examples=(
        "tq wait 0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70 --timeout 5m",
        "tq list --queue images --ids --limit 0 | tq wait -",
        """id=$(tq enqueue report '{"month": 5}') && tq wait "$id" && tq get --only result "$id\"""",
    ),
)
@ids_argument()
@click.option("--timeout", "timeout_s", type=Duration(), help="Give up after this long.")
@json_option("each task as JSON as it ends")
def wait(task_ids: tuple[str, ...], timeout_s: float | None, as_json: bool) -> int:
    """Wait until tasks have ended.

    Prints a line for each as it ends. A node that goes away meanwhile is waited for. Exit code: 0 when
    all succeeded; 1 when one is dead; 3 when one was cancelled and none is dead; 4 when --timeout
    passed; 6 when one does not exist (any more).
    """
    with connect() as client:
        return wait_for(client, list(each_id(task_ids)), timeout_s=timeout_s, as_json=as_json)


def wait_for(client: "Client", task_ids: Sequence[str], *, timeout_s: float | None, as_json: bool) -> int:
    """Waits for the tasks, showing on a terminal how far they are, and tells each one's end.

    Args:
        client: of the node that has them.
        task_ids: each once.
        timeout_s: seconds to wait; None is without end.
        as_json: whether ends are told as JSON.

    Returns:
        The exit code.
    """
    from tq.clock import SystemClock
    from tq.commands.waiting_view import View

    watch = Watch(client, task_ids, SystemClock(), shown=sys.stderr.isatty())
    with View(len(task_ids), as_json=as_json) as view:
        for task in watch.until_final(timeout_s):
            view.show(task, watch)
        view.close()
    for task_id in watch.missing:
        complain(f"wait: no task {task_id}", "it was deleted, or never was")
    if watch.pending:
        shown = ", ".join(list(watch.pending)[:3]) + (", …" if len(watch.pending) > 3 else "")
        complain(f"wait: timed out; not ended: {shown}")
    return watch.exit_code()


class Watch:
    """Asks about tasks until each is final or gone.

    Args:
        client: of the node.
        task_ids: each once.
        clock: time, and pauses between questions.
        shown: whether somebody sees how far the tasks are, and not their ends alone.
    """

    def __init__(
        self, client: "Client", task_ids: Sequence[str], clock: "Clock", *, shown: bool = True
    ) -> None:
        self._shown = shown
        self._client = client
        self._clock = clock
        self.began = clock.monotonic()
        self.pending: dict[str, Task | None] = dict.fromkeys(task_ids)
        self.missing: list[str] = []
        self.counts = dict.fromkeys(FINAL, 0)
        self.trouble: str | None = None

    def elapsed_s(self) -> float:
        """Seconds since the waiting began."""
        return self._clock.monotonic() - self.began

    def until_final(self, timeout_s: float | None) -> "Iterator[Task | None]":
        """Yields each task as it is found final, and None after each round of questions.

        Raises:
            tq.errors.TqError: the first questions were not answered. Later on, a node that is away is
                waited for, and ``trouble`` says so: a restart of the node must not end a long wait.
        """
        from tq.errors import Busy, TqUnavailable

        until = None if timeout_s is None else self.began + timeout_s
        pause = PAUSE_FIRST_S
        asked = False
        while True:
            try:
                yield from self._round(until)
            except (TqUnavailable, Busy) as error:
                if not asked:
                    raise
                self.trouble = failure(error).message
            else:
                asked, self.trouble = True, None
            yield None
            left = None if until is None else until - self._clock.monotonic()
            if not self.pending or (left is not None and left <= 0):
                return
            wait_s = max(pause, PAUSE_PER_TASK_S * len(self.pending))
            if len(self.pending) == 1 and not self._shown and self.trouble is None:
                wait_s = HELD_S
            self._rest(wait_s if left is None else min(wait_s, left))
            pause = min(pause * PAUSE_GROWTH, PAUSE_MAX_S)

    def _rest(self, wait_s: float) -> None:
        """Lets time pass; the end of the task whose turn is next cuts it short."""
        from tq.errors import TqError

        until = self._clock.monotonic() + wait_s
        if self.trouble is None:
            try:
                if self._client.get(next(iter(self.pending)), wait_s=wait_s).state in FINAL:
                    return
            except TqError:
                # The next question tells what is wrong; a node that is away is not asked at once again.
                until = min(until, self._clock.monotonic() + PAUSE_MAX_S)
        self._clock.pause(max(0.0, until - self._clock.monotonic()))

    def _round(self, until: float | None) -> "Iterator[Task | None]":
        """Asks about each task once, as far as the time allows."""
        from tq.errors import TaskNotFound

        for number, task_id in enumerate(list(self.pending), start=1):
            if number % QUESTIONS_BETWEEN == 0:
                yield None
                if until is not None and self._clock.monotonic() >= until:
                    return
            try:
                task = self._client.get(task_id)
            except TaskNotFound:
                del self.pending[task_id]
                self.missing.append(task_id)
                continue
            if task.state in FINAL:
                del self.pending[task_id]
                self.counts[task.state] += 1
                yield task
            else:
                self.pending[task_id] = task

    def exit_code(self) -> ExitCode:
        """How it ended, the worst first."""
        if self.pending:
            return ExitCode.TIMED_OUT
        if self.counts["dead"]:
            return ExitCode.FAILED
        if self.missing:
            return ExitCode.NOT_FOUND
        return ExitCode.CANCELLED if self.counts["cancelled"] else ExitCode.OK
