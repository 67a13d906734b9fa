"""Which tasks: the filters that lists, counts and bulk operations share, and how far one look may go."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from tqnode import ids
from tqnode.queue.rows import Reads
from tqnode.sql import statement
from tqnode.task import TaskState

_REACH = statement("search_reach")
_REACH_OF_BODIES = statement("search_reach_of_bodies")

Scalar = str | int | float | bool | None

CONDITIONS_MAX = 10
"""Conditions on one task's payload, and as many on its meta."""

_STEP = r'[^."\\\[\]\x00-\x1f]+'
_INDEX = r"\[\d{1,9}\]"
_PATH = re.compile(rf"(?:{_STEP}(?:{_INDEX})*|(?:{_INDEX})+)(?:\.{_STEP}(?:{_INDEX})*)*")
_PIECE = re.compile(rf"{_INDEX}|{_STEP}")


class Condition(msgspec.Struct, frozen=True):
    """What a JSON value must hold.

    Args:
        path: where, as in ``user.emails[0]``: keys with dots between them, places in arrays in brackets.
        value: what must stand there. Numbers are equal by their value, however they are written; nothing
            else is equal to a value of another type, and what is not there equals nothing, not even null.
    """

    path: str
    value: Scalar


class Filters(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which tasks; an empty filter matches all. Times in ms, ``after`` inclusive, ``before`` exclusive."""

    queues: Sequence[str] = ()
    states: Sequence[TaskState] = ()
    kinds: Sequence[str] = ()
    tag: str | None = None
    worker: str | None = None
    limit_key: str | None = None
    batch: str | None = None
    """A batch's id."""
    min_priority: int = 0
    max_priority: int = 255
    created_after_ms: int | None = None
    created_before_ms: int | None = None
    finished_after_ms: int | None = None
    finished_before_ms: int | None = None
    text: str | None = None
    """In the kind or in a tag, whatever the case of ASCII letters."""
    error_type: str | None = None
    """Of the last error."""
    payload: Sequence[Condition] = ()
    meta: Sequence[Condition] = ()

    @property
    def reads_bodies(self) -> bool:
        """Whether more than a task's row is looked at, which may be large."""
        return bool(self.payload or self.meta or self.error_type is not None)

    @property
    def tallied(self) -> bool:
        """Whether the tallies know how many match."""
        return msgspec.structs.replace(self, queues=(), states=()).params() == _ALL

    def params(self) -> dict[str, Any]:
        """The parameters of what every statement with a filter has in it."""
        return {
            "queues": _array(self.queues),
            "states": _array(self.states),
            "kinds": _array(self.kinds),
            "tag": self.tag,
            "worker": self.worker,
            "limit_key": self.limit_key,
            "batch": None if self.batch is None else ids.seq_of(ids.parse(self.batch)),
            "min_priority": self.min_priority,
            "max_priority": self.max_priority,
            "created_after_ms": self.created_after_ms,
            "created_before_ms": self.created_before_ms,
            "finished_after_ms": self.finished_after_ms,
            "finished_before_ms": self.finished_before_ms,
            "text": self.text,
            "error_type": self.error_type,
            "payload": _conditions(self.payload),
            "meta": _conditions(self.meta),
        }


def is_path(text: str) -> bool:
    """Whether a condition may have this path."""
    return _PATH.fullmatch(text) is not None


def reach(
    reader: Reads, filters: Filters, *, after: int, last: int, scan: int, bytes_max: int
) -> tuple[int | None, int]:
    """How far up one look goes: the last row number, None if there is no more row; and how many rows.

    Args:
        filters: what is looked for.
        after: the row number to begin behind.
        last: the row number to end with.
        scan: the most rows.
        bytes_max: the most bytes of payloads, meta and errors, if the filter reads these; one task may
            have more.
    """
    params = {"after": after, "last": last, "scan": scan, "bytes": bytes_max}
    row = reader.one(_REACH_OF_BODIES if filters.reads_bodies else _REACH, params)
    return (row[0], row[1]) if row else (None, 0)


def _array(values: Sequence[str]) -> str | None:
    return msgspec.json.encode(values).decode() if values else None


def _conditions(conditions: Sequence[Condition]) -> str | None:
    if not conditions:
        return None
    rows = [{"path": _place(one.path), **_judgement(one.value)} for one in conditions]
    return msgspec.json.encode(rows).decode()


def _place(path: str) -> str:
    """The path in SQLite's words."""
    pieces = _PIECE.findall(path)
    return "$" + "".join(piece if piece.startswith("[") else f'."{piece}"' for piece in pieces)


def _judgement(value: Scalar) -> dict[str, Scalar]:
    if value is None:
        return {"type": "null"}
    if isinstance(value, bool):
        return {"type": "true" if value else "false"}
    return {"type": "text" if isinstance(value, str) else "number", "value": value}


_ALL = Filters().params()
