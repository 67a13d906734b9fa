"""The Python functions that run tasks, and what they can ask about the one they run."""

import inspect
from typing import Any

from msgspec import Raw

from tq.app import App
from tq.context import TaskContext
from tq.values import encode
from tq.wire import ClaimedTask, Level
from tq.worker.attempt import Attempt
from tq.worker.lines import line_of

PROGRESS_BYTES_MAX = 16 * 1024


class Handlers:
    """The functions of an app by kind.

    Args:
        app: the registry.
    """

    def __init__(self, app: App) -> None:
        self._tasks = dict(app.tasks)
        self._coroutines = frozenset(
            kind for kind, task in self._tasks.items() if inspect.iscoroutinefunction(task.function)
        )

    @property
    def kinds(self) -> list[str]:
        """Every kind there is a function for."""
        return sorted(self._tasks)

    @property
    def coroutines(self) -> frozenset[str]:
        """The kinds whose function is ``async``."""
        return self._coroutines

    def call(self, task: ClaimedTask) -> Any:
        """Calls the function of the task's kind; what an ``async`` one returns is still to be awaited.

        Raises:
            Exception: whatever the function raises, or that the payload does not fit it.
        """
        handler = self._tasks[task.kind]
        args, kwargs = handler.arguments(task.payload)
        return handler.function(*args, **kwargs)


def context_of(attempt: Attempt) -> TaskContext:
    """What :func:`tq.current_task` answers while ``attempt`` runs in this process."""

    def progress(value: Any) -> None:
        attempt.report_progress(encode_progress(value))

    def log(text: str, level: Level, at_s: float) -> None:
        attempt.lines.add(line_of(text, level, at_s))

    return TaskContext(attempt.task, progress, attempt.asked_to_stop, log)


def encode_progress(value: Any) -> Raw:
    """JSON of a progress.

    Raises:
        TypeError: JSON cannot hold it.
        ValueError: it is over ``PROGRESS_BYTES_MAX`` bytes as JSON, or holds a NaN or the like.
    """
    raw = encode(value, name="progress")
    if len(raw) > PROGRESS_BYTES_MAX:
        raise ValueError(f"progress is {len(raw)} bytes of JSON; at most {PROGRESS_BYTES_MAX} are kept")
    return raw
