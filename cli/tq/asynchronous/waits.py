"""The calls by which one waits for tasks and reads what they tell; the async client has them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable
from typing import Any, TypeVar, overload

from tq import calls, wire
from tq.calls import waiting_calls
from tq.effects import Program
from tq.programs import Session
from tq.values import value

T = TypeVar("T")


class AsyncWaits(ABC):
    """The part of :class:`tq.AsyncClient` that is about ends and log lines of tasks."""

    _session: Session

    @abstractmethod
    async def _call(self, call: calls.Call[T]) -> T:
        """Makes a call."""

    @abstractmethod
    async def _run(self, program: Program[T]) -> T:
        """Carries out a program."""

    @abstractmethod
    def _iterate(self, program: Program[None]) -> AsyncGenerator[Any, None]:
        """Carries out a program that hands out items on its way."""

    @overload
    async def wait(  # type: ignore[overload-overlap]  # a str is an iterable of str, and means one id here
        self, ids: str, *, timeout_s: float | None = None
    ) -> wire.Task: ...

    @overload
    async def wait(self, ids: Iterable[str], *, timeout_s: float | None = None) -> list[wire.Task]: ...

    async def wait(
        self, ids: str | Iterable[str], *, timeout_s: float | None = None
    ) -> wire.Task | list[wire.Task]:
        """Waits until a task, or all of several, are final.

        The node answers when a task ends; one that restarts meanwhile, or another one that takes over, is
        waited for (without a timeout, five minutes at most).

        Args:
            ids: of the task or tasks.
            timeout_s: seconds to wait at most; ``None`` is without end.

        Returns:
            The task; of several a list in the order of ``ids``, whichever way they ended.

        Raises:
            WaitTimeout: its ``unfinished`` holds the ids of those that are not final.
            TaskNotFound: one does not exist, or was deleted meanwhile.
        """
        if isinstance(ids, str):
            return (await self._run(self._session.wait([ids], timeout_s=timeout_s)))[0]
        return await self._run(self._session.wait(ids, timeout_s=timeout_s))

    async def result(self, task_id: str, *, timeout_s: float | None = None, type: Any = Any) -> Any:
        """Waits for a task and answers its result as a Python value; ``None`` if it has none.

        Args:
            task_id: its id.
            timeout_s: seconds to wait at most; ``None`` is without end.
            type: what to make of the JSON, as for :func:`tq.value`.

        Raises:
            TaskDead: it is dead; ``ended`` is the task, with its errors.
            TaskCancelled: it was cancelled; ``ended`` is the task.
            ResultExpired: it succeeded, and its result was deleted after its ``result_ttl_s``.
            WaitTimeout: it is not final.
            TaskNotFound: it does not exist, or was deleted meanwhile.
        """
        task = await self._run(self._session.result(task_id, timeout_s=timeout_s))
        return value(task.result, type)

    def log(
        self, task_id: str, *, after: str | None = None, follow: bool = False
    ) -> AsyncGenerator[wire.LogLine, None]:
        """The lines that a task's attempts have told, oldest first.

        Args:
            task_id: its id.
            after: go on after this line: ``str(line.number)``, or a page's ``next_cursor``.
            follow: wait for more until the task has ended.

        Raises:
            TaskNotFound: it does not exist, or was deleted meanwhile.
        """
        return self._iterate(self._session.lines(task_id, after=after, follow=follow))

    async def log_page(
        self, task_id: str, *, after: str | None = None, limit: int | None = None, wait_s: float = 0.0
    ) -> wire.LogPage:
        """One page of a task's log lines, and how many lines before its last were dropped.

        Args:
            task_id: its id.
            after: ``next_cursor`` of the page before.
            limit: how many at most.
            wait_s: seconds to wait for the next lines, or the task's end, when there are none.
        """
        return await self._call(waiting_calls.log_page(task_id, after=after, limit=limit, wait_s=wait_s))

    async def append_lines(
        self, task_id: str, token: str, lines: Iterable[wire.NewLine | str], *, first: int | None = None
    ) -> int:
        """Adds lines to the log of a claimed task; answers the number of its last line.

        Args:
            task_id: of the task.
            token: of the claim.
            lines: texts, or lines with a level and a time.
            first: the place of the first one among all lines of this claim, from 0; with it the call can
                be repeated without doubling any, and is, when its answer is lost.

        Raises:
            LeaseLost: the token is not the task's current one.
        """
        return await self._call(waiting_calls.append_lines(task_id, token, lines, first=first))
