"""What takes more than one exchange: many tasks, long lists, waiting, the stream of events."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from tq import calls, errors, wire
from tq.batch_programs import BatchPrograms
from tq.bounds import PAGE_ROWS, Bounds
from tq.chunks import chunks
from tq.clock import Clock
from tq.config import Settings
from tq.effects import Emit, Program
from tq.endings import Endings
from tq.exchange import Exchange
from tq.gates import Gate, ThreadGate
from tq.gathering import Gathering
from tq.ids import time_ordered_id
from tq.stream import EventStream

T = TypeVar("T")

# With payloads a row may hold megabytes.
PAGE_ROWS_WITH_PAYLOAD = 50


class Session:
    """The programs that the blocking and the async client run.

    Args:
        settings: the nodes, and the token.
        timeout_s: seconds for one exchange in all.
        retries: how often to try an exchange again at most.
        clock: time and chance.
        gate: where one caller waits for another.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        timeout_s: float,
        retries: int,
        clock: Clock,
        gate: type[Gate] = ThreadGate,
    ) -> None:
        self._exchange = Exchange(settings, timeout_s=timeout_s, retries=retries, clock=clock)
        self._clock = clock
        self._bounds = Bounds()
        self.batches = BatchPrograms(self._exchange.run, clock)
        self._endings = Endings(self._exchange, clock)
        self._gathering = Gathering(self._exchange, self._bounds, timeout_s=timeout_s, clock=clock, gate=gate)

    @property
    def urls(self) -> list[str]:
        return list(self._exchange.targets.urls)

    @property
    def url(self) -> str:
        return self._exchange.targets.current

    def exchange(self, call: calls.Call[T]) -> Program[T]:
        return self._exchange.run(call)

    def enqueue(self, task: wire.NewTask, *, key: str | None) -> Program[wire.Task]:
        if not key:
            return self._gathering.enqueue(task)
        return self._exchange.run(calls.enqueue(task, key=key))

    def enqueue_many(self, tasks: Iterable[wire.NewTask], *, partial: bool) -> Program[list[wire.Enqueued]]:
        def call(rows: list[bytes]) -> calls.Call[list[wire.Enqueued]]:
            return calls.enqueue_rows(rows, partial=partial, key=time_ordered_id(self._clock))

        results: list[wire.Enqueued] = []
        try:
            yield from self._in_chunks(_task_rows(tasks), call, results)
        except errors.TqError as error:
            error.enqueued = tuple(results)
            error.field = _shifted(error.field, len(results))
            raise
        # An error in the place of a task says where in its own request that was.
        return [_shifted_row(row, index) if row.error else row for index, row in enumerate(results)]

    def enqueue_together(
        self, tasks: Iterable[wire.NewTask], *, key: str | None
    ) -> Program[list[wire.Enqueued]]:
        rows = [msgspec.json.encode(task) for task in _checked(tasks)]
        if not rows:
            return []
        call = calls.enqueue_rows(rows, partial=False, key=key or time_ordered_id(self._clock))
        return (yield from self._exchange.run(call))

    def outcomes(self, outcomes: Iterable[wire.Outcome]) -> Program[list[wire.OutcomeAnswer]]:
        answers: list[wire.OutcomeAnswer] = []
        yield from self._in_chunks(map(msgspec.json.encode, outcomes), calls.outcome_rows, answers)
        return answers

    def list_tasks(self, filters: Mapping[str, Any], *, limit: int | None) -> Program[None]:
        """Emits tasks."""
        left, cursor = limit, None
        while left is None or left > 0:
            size = PAGE_ROWS_WITH_PAYLOAD if filters.get("payload") else PAGE_ROWS
            rows = min(size, self._bounds.page, size if left is None else left)
            try:
                page = yield from self._exchange.run(calls.page(filters, limit=rows, cursor=cursor))
            except errors.InvalidField as error:
                if error.field != "limit" or not self._bounds.narrow_page(error.limit):
                    raise
                continue
            for task in page.tasks[:left]:
                yield Emit(task)
            left = None if left is None else left - len(page.tasks)
            cursor = page.next_cursor
            if cursor is None:
                return

    def wait(self, ids: Iterable[str], *, timeout_s: float | None) -> Program[list[wire.Task]]:
        return self._endings.wait(ids, timeout_s=timeout_s)

    def wait_batch(self, batch_id: str, *, timeout_s: float | None) -> Program[wire.Batch]:
        return self._endings.wait_batch(batch_id, timeout_s=timeout_s)

    def result(self, task_id: str, *, timeout_s: float | None) -> Program[wire.Task]:
        return self._endings.result(task_id, timeout_s=timeout_s)

    def lines(self, task_id: str, *, after: str | None, follow: bool) -> Program[None]:
        """Emits log lines."""
        return self._endings.lines(task_id, after=after, follow=follow)

    def events(
        self, *, last_event_id: str | None, queue: str | None, kind: str | None, ids: Iterable[str] | None
    ) -> Program[None]:
        """Emits events."""
        path = calls.events_path(queue=queue, kind=kind, ids=ids)
        return EventStream(self._exchange, self._clock).run(path, last_event_id=last_event_id)

    def _in_chunks(
        self,
        rows: Iterable[bytes],
        call: Callable[[list[bytes]], calls.Call[list[T]]],
        results: list[T],
    ) -> Program[None]:
        """Sends rows in requests as large as the node takes; adds their results to ``results``."""
        for chunk in chunks(rows, rows_max=self._bounds.rows, bytes_max=self._bounds.bytes):
            if not self._bounds.exceeded(chunk):
                try:
                    results.extend((yield from self._exchange.run(call(chunk))))
                    continue
                except (errors.BatchTooLarge, errors.BodyTooLarge) as error:
                    # Nothing of it was done. The node takes less than most do: from now on it gets less.
                    self._bounds.narrow(error)
                    if not self._bounds.exceeded(chunk):
                        raise
            yield from self._in_chunks(chunk, call, results)


def _task_rows(tasks: Iterable[wire.NewTask]) -> Iterator[bytes]:
    for task in _checked(tasks):
        if task.ref is not None:
            raise ValueError("tasks with a ref have to go in one request: use enqueue_together()")
        yield msgspec.json.encode(task)


def _checked(tasks: Iterable[wire.NewTask]) -> Iterator[wire.NewTask]:
    for task in tasks:
        if not isinstance(task, wire.NewTask):
            raise TypeError(f"tasks are made by tq.new_task(...); got {type(task).__name__}")
        yield task


def _shifted(field: str | None, offset: int) -> str | None:
    """``[3].priority`` of one request, as the position in the whole list."""
    if field is None:
        return None
    return re.sub(r"\A\[(\d+)\]", lambda match: f"[{int(match[1]) + offset}]", field)


def _shifted_row(row: wire.Enqueued, index: int) -> wire.Enqueued:
    problem = row.error
    if problem is None or problem.field is None:
        return row
    field = re.sub(r"\A\[\d+\]", f"[{index}]", problem.field)
    return msgspec.structs.replace(row, error=msgspec.structs.replace(problem, field=field))
