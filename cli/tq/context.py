"""What a handler can ask about the task it runs, and what it can raise to end it otherwise."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ParamSpec, overload

if TYPE_CHECKING:
    from collections.abc import Callable

    from tq.app import TaskFunction
    from tq.wire import ClaimedTask, Input, Level, NewTask

P = ParamSpec("P")

THEN_MAX = 1_000
_LEVELS = ("debug", "info", "warning", "error")


class TaskContext:
    """The task a handler runs.

    Args:
        task: the claim.
        progress: sends a JSON-encodable value to the node with the next heartbeat.
        cancelled: whether the task was asked to stop, or its lease is gone.
        log: takes a log line: its text, level, and time in seconds since 1970.
    """

    def __init__(
        self,
        task: ClaimedTask,
        progress: Callable[[Any], None],
        cancelled: Callable[[], bool],
        log: Callable[[str, Level, float], None] | None = None,
    ) -> None:
        self.task = task
        self._log = log
        self._progress = progress
        self._cancelled = cancelled
        self._then: list[NewTask] = []
        self._ended = False

    @property
    def id(self) -> str:
        """The task's id."""
        return self.task.id

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self.task.attempt

    @property
    def batch(self) -> str | None:
        """The id of the batch that the task is a member of; ``None`` without one."""
        return self.task.batch

    @property
    def inputs(self) -> list[Input]:
        """What the tasks that this one was enqueued after came to, in the order of enqueueing.

        ``tq.value(input.result)`` is a result as a Python value. One too large to come with the claim is
        ``left_out``, and of very many tasks not all may be here (``task.inputs_truncated``): the client's
        ``get`` and ``graph`` have them all.
        """
        return self.task.inputs

    @property
    def cancelled(self) -> bool:
        """Whether the handler should stop: someone cancelled the task, or the worker lost it."""
        return self._cancelled()

    def progress(
        self,
        value: Any = None,
        message: str | None = None,
        *,
        done: float | None = None,
        total: float | None = None,
    ) -> None:
        """Shows how far the task is: only the newest is sent, within about a second.

        ::

            progress(0.4, "resizing")                 # {"percent": 40.0, "message": "resizing"}
            progress(done=3, total=12)                # {"done": 3, "total": 12}
            progress(message="connecting")            # {"message": "connecting"}
            progress({"page": 7})                     # anything JSON can hold, as it is

        Args:
            value: with a ``message`` the share done, from 0 to 1; alone, anything JSON can hold.
            message: what is being done, in a few words.
            done: how much is done,
            total: of how much.

        Raises:
            ValueError: the share is not from 0 to 1, or the whole is too large.
            TypeError: JSON cannot hold it, or a message comes with something else than a share.
        """
        self._progress(shape_progress(value, message, done=done, total=total))

    def log(self, text: str, level: Level = "info", *, at_s: float | None = None) -> None:
        """Adds a line to the task's log. Returns at once; the line is sent within about a second.

        Args:
            text: cut at 4000 characters.
            level: ``debug``, ``info``, ``warning`` or ``error``.
            at_s: its time in seconds since 1970; now, without one.
        """
        if level not in _LEVELS:
            raise ValueError(f"level is one of {', '.join(_LEVELS)}, not {level!r}")
        if self._log is not None:
            self._log(str(text), level, time.time() if at_s is None else at_s)

    @overload
    def then(self, task: NewTask) -> None: ...

    @overload
    def then(self, task: TaskFunction[P, Any], *args: P.args, **kwargs: P.kwargs) -> None: ...

    def then(self, task: Any, *args: Any, **kwargs: Any) -> None:
        """Has another task enqueued when this one succeeds: with its result, both or neither.

        Nothing comes of it when the handler raises, so an attempt that is made again names it anew.

        Args:
            task: a task function, called with the arguments that follow; or what :func:`tq.new_task` or
                a task function's ``new_task`` made, alone.
            args: its arguments.
            kwargs: its arguments.

        Raises:
            TypeError: the function does not take these arguments, or ``task`` is neither.
            ValueError: 1000 were named already.
            RuntimeError: the handler has returned.
        """
        from tq.app import TaskFunction
        from tq.wire import NewTask

        if isinstance(task, TaskFunction):
            made = task.new_task(*args, **kwargs)
        elif isinstance(task, NewTask) and not (args or kwargs):
            made = task
        else:
            raise TypeError("then() takes a task function and its arguments, or a new task alone")
        if self._ended:
            raise RuntimeError("the handler has returned: its task's end is told already")
        if len(self._then) >= THEN_MAX:
            raise ValueError(f"a task enqueues at most {THEN_MAX} others when it succeeds")
        self._then.append(made)

    def end(self) -> list[NewTask]:
        """The handler has returned; answers what is to be enqueued with that, in order."""
        self._ended = True
        return self._then


def shape_progress(value: Any, message: str | None, *, done: float | None, total: float | None) -> Any:
    """A progress as it is shown, from what :meth:`TaskContext.progress` was given."""
    told: dict[str, Any] = {}
    if done is not None:
        told["done"] = done
    if total is not None:
        told["total"] = total
    if value is not None and (told or message is not None):
        if told or isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError("a message goes with a share from 0 to 1, or with done and total")
        if not 0 <= value <= 1:
            raise ValueError(f"the share done is from 0 to 1, not {value}")
        told["percent"] = round(100 * value, 2)
    if message is not None:
        told["message"] = message
    return told or value


_current: ContextVar[TaskContext] = ContextVar("tq.current_task")


def current_task() -> TaskContext:
    """The task the calling handler runs.

    Raises:
        RuntimeError: outside a handler.
    """
    try:
        return _current.get()
    except LookupError:
        raise RuntimeError("current_task() has an answer only inside a task that a worker runs") from None


def find_task() -> TaskContext | None:
    """The task the calling handler runs; None outside a handler."""
    return _current.get(None)


def enter(context: TaskContext) -> None:
    """Makes ``context`` the answer of :func:`current_task` in the current :mod:`contextvars` context."""
    _current.set(context)


class Snooze(Exception):  # an order to the worker, not an error
    """Raised by a handler: give the task back and run it again in ``delay_s`` seconds, as if not tried."""

    def __init__(self, delay_s: float = 0.0) -> None:
        super().__init__(delay_s)
        self.delay_s = delay_s

    def __str__(self) -> str:
        return f"snooze for {self.delay_s:g} s"


class Reject(Exception):  # an order to the worker, not an error
    """Raised by a handler: fail for good; no attempt that is left would help."""


class RetryLater(Exception):  # an order to the worker, not an error
    """Raised by a handler: this attempt failed; try again in ``delay_s`` seconds.

    Args:
        delay_s: seconds until the next attempt; ``None`` leaves it to the task's retry policy.
        message: what people read in the task's errors.
    """

    def __init__(self, delay_s: float | None = None, message: str = "asked to be tried again later") -> None:
        # All arguments: a pickle, on its way out of a worker's child process, is made from them.
        super().__init__(delay_s, message)
        self.delay_s = delay_s
        self.message = message

    def __str__(self) -> str:
        return self.message


class Cancelled(Exception):  # an order to the worker, not an error
    """Raised by a handler: it saw :attr:`TaskContext.cancelled` and stopped."""
