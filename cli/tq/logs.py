"""Python's logging, told to the task whose handler logs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tq.context import find_task

if TYPE_CHECKING:
    from tq.wire import Level


class TaskLogHandler(logging.Handler):
    """A :class:`logging.Handler` that adds each record to the log of the task that is running.

    Records from outside a task, and from threads that a task has started without its
    :func:`contextvars.copy_context`, are left out: give the logger another handler for these.
    It waits for nothing: lines are kept in memory within bounds, and sent with the worker's heartbeats and
    with the task's outcome; of too many the oldest are dropped, and the log says how many.

    Args:
        level: the least severity it takes.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Adds a record's text, as the formatter makes it, to the current task's log."""
        context = find_task()
        if context is None:
            return
        try:
            context.log(self.format(record), level=level_of(record.levelno), at_s=record.created)
        except Exception:  # what logging does with an error in a handler is for its user to choose
            self.handleError(record)


def level_of(number: int) -> Level:
    """The level of a log line for one of :mod:`logging`."""
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"
