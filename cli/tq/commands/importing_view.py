"""What ``tq import`` shows meanwhile: a bar on a terminal, and each line that it left out."""

import sys
from types import TracebackType
from typing import TYPE_CHECKING

from tq.output import console, safe

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from tq.commands.checkpoint import Progress
    from tq.commands.ndjson import Line

REASON_CHARS_MAX = 500


class View:
    """Progress on standard error.

    Args:
        name: of the input.
        size: of the file in bytes; None for a stream, of which only the count is shown.
        progress: what is counted.
    """

    def __init__(self, name: str, size: int | None, progress: "Progress") -> None:
        self._name = name
        self._size = size
        self._progress = progress
        self._bar: Bar | None = None
        self._console = console(stderr=True)

    def __enter__(self) -> "View":
        if sys.stderr.isatty():
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

            bar = Progress(
                TextColumn(safe(self._name, one_line=True), markup=False),
                BarColumn(),
                DownloadColumn(binary_units=True),
                TextColumn("{task.fields[tasks]} tasks", markup=False),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._task = bar.add_task(
                "", total=self._size, completed=self._progress.offset, tasks=self._progress.imported
            )
            bar.start()
            self._bar = bar
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def moved(self) -> None:
        """Redraws the bar."""
        if self._bar is not None:
            progress = self._progress
            self._bar.update(self._task, completed=progress.offset, tasks=f"{progress.imported:,}")

    def skipped(self, line: "Line", reason: str) -> None:
        """Tells that ``line`` was left out and why."""
        from rich.text import Text

        told = safe(f"skipped line {line.number}: {reason[:REASON_CHARS_MAX]}", one_line=True)
        self._console.print(Text(told), soft_wrap=True)
