"""What ``tq wait`` shows while it waits: the tasks' progress on a terminal, and a line for each end."""

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tq.commands.base import note
from tq.output import COLOURS, brief, console, json_line, on_terminal, safe, span

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from tq.commands.wait import Watch
    from tq.wire import Task

ROWS_MAX = 10
BAR_CHARS = 20


class View:
    """Where ends are told and progress is shown.

    Progress goes to standard error when that is a terminal, so that the ends alone are piped on.

    Args:
        total: how many tasks are waited for.
        as_json: whether ends are told as JSON.
    """

    def __init__(self, total: int, *, as_json: bool) -> None:
        self._total = total
        self._as_json = as_json
        self._live: Live | None = None
        self._trouble = False

    def __enter__(self) -> "View":
        if sys.stderr.isatty():
            from rich.live import Live

            # Both on the terminal: one console must draw both, or they would write over each other.
            self._live = Live(
                console=console(stderr=not on_terminal()),
                transient=True,
                auto_refresh=False,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Takes the progress off the screen."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def show(self, task: "Task | None", watch: "Watch") -> None:
        """Tells the end of ``task``, or for None shows how far the others are."""
        if task is not None:
            self._tell(task)
        elif self._live is not None:
            self._live.update(_progress(watch, self._total), refresh=True)
        elif watch.trouble and not self._trouble:
            note(f"{watch.trouble}; still waiting")
        self._trouble = watch.trouble is not None

    def _tell(self, task: "Task") -> None:
        from rich.text import Text

        line = json_line(task).decode("utf-8", "replace") if self._as_json else _ending(task)
        if on_terminal():
            text = Text(safe(line, one_line=True))
            if not self._as_json:
                text.stylize(COLOURS[task.state], len(task.id) + 2, len(task.id) + 2 + len(task.state))
            screen = self._live.console if self._live is not None else console()
            screen.print(text, soft_wrap=True)
        else:
            out = sys.stdout.buffer
            out.write((json_line(task) if self._as_json else safe(line, one_line=True).encode()) + b"\n")
            out.flush()


def _ending(task: "Task") -> str:
    words = [task.id, task.state]
    if task.state != "succeeded" and task.errors:
        last = task.errors[-1]
        words.append(f"{last.type}: {last.message}")
    elif task.reason:
        words.append(task.reason)
    return "  ".join(words)


def _progress(watch: "Watch", total: int) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    ended = total - len(watch.pending)
    shown = Table.grid(padding=(0, 2, 0, 0))
    for name, task in list(watch.pending.items())[:ROWS_MAX]:
        state = task.state if task is not None else "?"
        attempt = f"try {task.attempt}/{task.max_attempts}" if task is not None and task.attempt else ""
        progress = "" if task is None else progress_text(task)
        cells = (Text(name), Text(state, style=COLOURS.get(state, "")), Text(attempt), Text(progress))
        shown.add_row(*cells)
    more = len(watch.pending) - ROWS_MAX
    if more > 0:
        shown.add_row(Text(f"… and {more} more"), Text(), Text(), Text())
    if total > 1:
        tally = "  ".join(f"{count} {state}" for state, count in watch.counts.items() if count)
        shown.add_row(Text(f"{bar(ended / total)} {ended}/{total}  {tally}"), Text(), Text(), Text())
    if watch.trouble:
        shown.add_row(Text(safe(watch.trouble, one_line=True), style="red"), Text(), Text(), Text())
    shown.add_row(Text(f"waited {span(watch.elapsed_s())}", style="dim"), Text(), Text(), Text())
    return shown


def progress_text(task: "Task") -> str:
    """A task's progress on one line: a bar when it says how much is done, and its message or its JSON."""
    import msgspec

    if isinstance(task.progress, msgspec.UnsetType):
        return ""
    progress = msgspec.json.decode(task.progress)
    share = done_share(progress)
    text = safe(_words(progress) or brief(task.progress), one_line=True)
    return text if share is None else f"{bar(share)} {share:.0%} {text}"


def _words(progress: Any) -> str | None:
    """What a progress of the usual shape says besides the share; None for one of another shape."""
    if not isinstance(progress, dict) or not isinstance(progress.get("message"), str):
        return None
    if not progress.keys() <= {"percent", "done", "total", "message"}:
        return None
    count = f" ({progress['done']} of {progress['total']})" if {"done", "total"} <= progress.keys() else ""
    return f"{progress['message']}{count}"


def done_share(progress: Any) -> float | None:
    """The share done that ``progress`` tells, in 0 to 1: ``{"done": 3, "total": 4}``, ``{"percent": 75}``."""
    match progress:
        case {"done": int() | float() as done, "total": int() | float() as total} if total > 0:
            share = done / total
        case {"percent": int() | float() as percent}:
            share = percent / 100
        case _:
            return None
    return min(max(share, 0.0), 1.0)


def bar(share: float) -> str:
    """A bar for a share in 0 to 1."""
    full = round(share * BAR_CHARS)
    return "█" * full + "░" * (BAR_CHARS - full)
