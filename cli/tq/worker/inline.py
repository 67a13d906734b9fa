"""Runs sync handlers right in their slot's thread."""

import contextvars

from tq.context import enter
from tq.wire import Outcome
from tq.worker.attempt import Attempt
from tq.worker.handlers import Handlers, context_of
from tq.worker.outcome import raised, returned


class InlineExecutor:
    """Calls the function in the calling thread.

    A thread cannot be ended from outside. A handler told to stop sees it in
    ``tq.current_task().cancelled``; past its time limit its task is reported without it, while it
    goes on in its slot.

    Args:
        handlers: what runs each kind.
    """

    patience_s = 0.0

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    def run(self, attempt: Attempt) -> Outcome:
        # A context of its own: what one handler sets is not seen by the next one in this thread.
        return contextvars.Context().run(self._run, attempt)

    def stop(self, attempt: Attempt) -> None:
        """The flag is set already; there is no more to be done."""

    def close(self) -> None:
        """Nothing is kept."""

    def _run(self, attempt: Attempt) -> Outcome:
        context = context_of(attempt)
        enter(context)
        try:
            return returned(attempt, self._handlers.call(attempt.task), context)
        except BaseException as error:  # whatever a handler raises ends its task, not the slot
            return raised(attempt, error)
