"""The call that asks why a task runs, or does not; the blocking client has it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

from tq import calls, wire
from tq.calls import explain_calls

T = TypeVar("T")


class Explaining(ABC):
    """The part of :class:`tq.Client` that explains."""

    @abstractmethod
    def _call(self, call: calls.Call[T]) -> T:
        """Makes a call."""

    def explain(self, task_id: str) -> wire.Explanation:
        """Why a task runs, or does not: in words, and with the facts.

        Args:
            task_id: its id.

        Raises:
            TaskNotFound: there is none.
        """
        return self._call(explain_calls.explain(task_id))
