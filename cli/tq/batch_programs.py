"""What takes more than one exchange with batches: large ones, long lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import chain, islice
from typing import Any

import msgspec

from tq import errors, wire
from tq.bounds import PAGE_ROWS
from tq.calls import Call, batch_calls
from tq.calls.batch_calls import BatchOptions
from tq.chunks import chunks
from tq.clock import Clock
from tq.effects import Program
from tq.ids import time_ordered_id

TASKS_MAX = 10_000
BYTES_MAX = 16 << 20
"""Tasks and bytes of one request; a node takes as many unless it was told otherwise."""


class BatchPrograms:
    """The programs.

    Args:
        exchange: makes a call.
        clock: time and chance.
    """

    def __init__(self, exchange: Callable[[Call[Any]], Program[Any]], clock: Clock) -> None:
        self._exchange = exchange
        self._clock = clock

    def create(
        self, tasks: Iterable[wire.NewTask], options: BatchOptions, *, key: str | None
    ) -> Program[wire.EnqueuedBatch]:
        parts = chunks(_rows(tasks), rows_max=TASKS_MAX, bytes_max=BYTES_MAX)
        first = next(parts, [])
        second = next(parts, None)
        whole = second is None
        asked: BatchOptions = options if whole else {**options, "open": True}
        call = batch_calls.create_batch(first, asked, key=key or time_ordered_id(self._clock))
        made: wire.EnqueuedBatch = yield from self._exchange(call)
        if second is None:
            return made
        results = list(made.results)
        try:
            for number, rows in enumerate(chain([second], parts), start=2):
                # A repeated call with a key of the user's own has to be known again in all its parts.
                part_key = f"{key[:190]}/{number}" if key else time_ordered_id(self._clock)
                call = batch_calls.add_to_batch(made.id, rows, key=part_key)
                results += (yield from self._exchange(call)).results
            if not options.get("open"):
                yield from self._exchange(batch_calls.close_batch(made.id))
        except errors.TqError:
            # Half a batch would wait for its other half for ever.
            with suppress(errors.TqError):
                yield from self._exchange(batch_calls.cancel_batch(made.id))
            raise
        return wire.EnqueuedBatch(id=made.id, results=results)

    def add(
        self, batch_id: str, tasks: Iterable[wire.NewTask], *, key: str | None
    ) -> Program[list[wire.Enqueued]]:
        rows = list(_rows(tasks))
        if not rows:
            return []
        call = batch_calls.add_to_batch(batch_id, rows, key=key or time_ordered_id(self._clock))
        made: wire.EnqueuedBatch = yield from self._exchange(call)
        return made.results

    def latest(self, *, limit: int | None) -> Program[list[wire.Batch]]:
        found: list[wire.Batch] = []
        cursor: str | None = None
        while limit is None or len(found) < limit:
            size = PAGE_ROWS if limit is None else min(PAGE_ROWS, limit - len(found))
            page = yield from self._exchange(batch_calls.batch_page(limit=size, cursor=cursor))
            found += page.batches
            cursor = page.next_cursor
            if cursor is None:
                break
        return list(islice(found, limit))


def _rows(tasks: Iterable[wire.NewTask]) -> Iterable[bytes]:
    for task in tasks:
        if not isinstance(task, wire.NewTask):
            raise TypeError(f"tasks are made by tq.new_task(...); got {type(task).__name__}")
        yield msgspec.json.encode(task)
