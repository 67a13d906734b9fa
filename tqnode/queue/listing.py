"""Pages of tasks, newest first."""

import base64
import binascii
from collections.abc import Sequence

import msgspec

from tqnode import ids
from tqnode.errors import InvalidCursor
from tqnode.queue.rows import task_of
from tqnode.sql import statement
from tqnode.store.readers import Reader
from tqnode.task import Task, TaskState

_LIST = statement("list_tasks")
_FLOOR = statement("list_floor")

SCAN_MAX = 50_000
"""Rows one page looks at: what a filter does not match must not hold a reader for long."""

PAGE_BYTES_MAX = 16 * 1024 * 1024
"""Payloads, results and notes on one page: it ends short rather than take any amount of memory."""

LAST = 1 << ids.SEQ_BITS
"""Above every row number."""
_CURSOR_BYTES = 6
# Payload, meta, result, progress and errors, in a row of list_tasks.
_LARGE = (21, 22, 25, 26, 27)


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks; an empty filter matches all. Times in ms, ``after`` inclusive, ``before`` exclusive."""

    queues: Sequence[str] = ()
    states: Sequence[TaskState] = ()
    kinds: Sequence[str] = ()
    tag: str | None = None
    worker: str | None = None
    limit_key: str | None = None
    batch: int | None = None
    """A batch's row number."""
    min_priority: int = 0
    max_priority: int = 255
    created_after_ms: int | None = None
    created_before_ms: int | None = None
    finished_after_ms: int | None = None
    finished_before_ms: int | None = None


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
    before = LAST if cursor is None else read_cursor(cursor)
    floor, seen = reader.one(_FLOOR, {"before": before, "scan": SCAN_MAX}) or (None, 0)
    if floor is None:
        return Page([], None)
    params = {
        "before": before,
        "floor": floor,
        "bodies": bodies,
        "limit": limit,
        "queues": _array(filters.queues),
        "states": _array(filters.states),
        "kinds": _array(filters.kinds),
        "tag": filters.tag,
        "worker": filters.worker,
        "limit_key": filters.limit_key,
        "batch": filters.batch,
        "min_priority": filters.min_priority,
        "max_priority": filters.max_priority,
        "created_after_ms": filters.created_after_ms,
        "created_before_ms": filters.created_before_ms,
        "finished_after_ms": filters.finished_after_ms,
        "finished_before_ms": filters.finished_before_ms,
    }
    tasks: list[Task] = []
    size = 0
    for row in reader.each(_LIST, params):
        tasks.append(task_of(row))
        size += sum(len(row[column]) for column in _LARGE if row[column] is not None)
        if len(tasks) == limit or size >= PAGE_BYTES_MAX:
            return Page(tasks, write_cursor(row[20]))
    return Page(tasks, write_cursor(floor) if seen == SCAN_MAX else None)


def _array(values: Sequence[str]) -> str | None:
    return msgspec.json.encode(values).decode() if values else None


def write_cursor(seq: int) -> str:
    """The cursor of a page that ended with this row number."""
    return base64.urlsafe_b64encode(seq.to_bytes(_CURSOR_BYTES, "big")).decode()


def read_cursor(cursor: str) -> int:
    """The row number a page ended with.

    Raises:
        InvalidCursor: no page ended with this cursor.
    """
    try:
        packed = base64.b64decode(cursor, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        packed = b""
    seq = int.from_bytes(packed, "big")
    if len(packed) != _CURSOR_BYTES or not 0 < seq <= LAST:
        raise InvalidCursor("the cursor is not one this node gave", field="cursor")
    return seq
