"""Pages of tasks, newest first."""

import msgspec

from tqnode.queue import cursors
from tqnode.queue.rows import task_of
from tqnode.queue.search import Filters
from tqnode.sql import statement
from tqnode.store.readers import Reader
from tqnode.task import Task

_LIST = statement("list_tasks")
_FLOOR = statement("list_floor")
_FLOOR_OF_BODIES = statement("list_floor_of_bodies")

SCAN_MAX = 50_000
"""Rows one page looks at: what a filter does not match must not hold a reader for long."""
SCAN_BYTES_MAX = 64 * 1024 * 1024
"""Payloads, meta and errors one page looks through, if the filter is about these."""

PAGE_BYTES_MAX = 16 * 1024 * 1024
"""Payloads, results and notes on one page: it ends short rather than take any amount of memory."""

# Payload, meta, result, progress and errors, in a row of list_tasks.
_LARGE = (21, 22, 25, 26, 27)


class Page(msgspec.Struct, frozen=True):
    """``next_cursor`` is None on the last page; a page may be short, even empty, before that."""

    tasks: list[Task]
    next_cursor: str | None


def page(reader: Reader, filters: Filters, *, limit: int, cursor: str | None, bodies: bool) -> Page:
    """The newest ``limit`` matching tasks below the cursor.

    Args:
        bodies: with payloads and results.

    Raises:
        InvalidCursor: no page ended with this cursor.
    """
    before = cursors.seq_of(cursor)
    floor, more = _floor(reader, filters, before)
    if floor is None:
        return Page([], None)
    params = {**filters.params(), "before": before, "floor": floor, "bodies": bodies, "limit": limit}
    tasks: list[Task] = []
    size = 0
    for row in reader.each(_LIST, params):
        tasks.append(task_of(row))
        size += sum(len(row[column]) for column in _LARGE if row[column] is not None)
        if len(tasks) == limit or size >= PAGE_BYTES_MAX:
            return Page(tasks, cursors.of_seq(row[20]))
    return Page(tasks, cursors.of_seq(floor) if more else None)


def _floor(reader: Reader, filters: Filters, before: int) -> tuple[int | None, bool]:
    """How far down this page looks, None if nothing is there; and whether there may be more below."""
    params = {"before": before, "scan": SCAN_MAX}
    if filters.reads_bodies:
        floor, more = reader.one(_FLOOR_OF_BODIES, {**params, "bytes": SCAN_BYTES_MAX}) or (None, 0)
        return floor, bool(more)
    floor, seen = reader.one(_FLOOR, params) or (None, 0)
    return floor, seen == SCAN_MAX
