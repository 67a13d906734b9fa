"""Bulk operations and counts: what is asked for, and how they stand."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from tq.wire.names import Answer, Id, Moment, Name, Priority, Request, Stamp, State, Tag

BulkAction = Literal["cancel", "retry", "delete", "move", "reprioritize"]
BulkState = Literal["running", "done", "cancelled", "dry_run"]
Scalar = str | int | float | bool | None

BulkNames = Annotated[list[Name], Meta(min_length=1, max_length=100)]
BulkStates = Annotated[list[State], Meta(min_length=1, max_length=100)]
# The node looks into these: of a union of texts and lists that have constraints, msgspec 0.22 makes a decoder
# that it frees wrongly, so that one process in three crashes as it ends.
_OneOrMore = str | list[str] | None
_Text = Annotated[str, Meta(min_length=1)]
# An empty object would be no condition, which whoever sent it may not have meant.
_Conditions = Annotated[dict[str, Scalar], Meta(min_length=1, max_length=10)]


class BulkFilter(Request, kw_only=True):
    """Which tasks: those that match all of it. The words are those of a list's parameters.

    ``payload`` and ``meta`` say what must stand there, by path: ``{"user.id": 42, "items[0].kind": "a"}``.
    """

    queue: _OneOrMore = None
    state: _OneOrMore = None
    kind: _OneOrMore = None
    tag: Tag | None = None
    worker: _Text | None = None
    limit_key: _Text | None = None
    batch: _Text | None = None
    min_priority: Priority | None = None
    max_priority: Priority | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None
    finished_after: Moment | None = None
    finished_before: Moment | None = None
    text: _Text | None = None
    error_type: _Text | None = None
    payload: _Conditions | None = None
    meta: _Conditions | None = None


class NewBulk(Request, kw_only=True):
    """A bulk operation. ``queue`` is where a move goes, ``priority`` what a reprioritize sets.

    A filter that matches all tasks needs ``all``. ``dry_run`` counts and does nothing. The answer waits for
    the end of the operation, up to ``wait_s``.
    """

    action: BulkAction
    filter: BulkFilter | None = None
    all: bool = False
    queue: Name | None = None
    priority: Priority | None = None
    dry_run: bool = False
    wait_s: Annotated[float, Meta(ge=0, le=60)] = 5.0


class Bulk(Answer, kw_only=True):
    """A bulk operation as it stands.

    ``progress`` is the part of the tasks that was looked at, from 0 to 1. ``matched`` of these matched: to
    ``done`` of them it was done (``asked`` of those are running tasks that were asked to stop), ``skipped``
    were left as they are, ``skips`` says why. Of a dry run ``matched`` is how many match, ``states`` how many
    of them in each state; with ``estimated``, reckoned from samples.
    """

    id: Id | None = None
    action: BulkAction
    filter: dict[str, Any]
    queue: Name | None = None
    priority: Priority | None = None
    state: BulkState
    progress: float
    matched: int
    done: int = 0
    asked: int = 0
    skipped: int = 0
    skips: dict[str, int] = {}
    states: dict[str, int] = {}
    estimated: bool = False
    created_at: Stamp | None = None
    finished_at: Stamp | None = None


class BulkPage(Answer, kw_only=True):
    """``next_cursor`` is absent on the last page."""

    bulks: list[Bulk]
    next_cursor: str | None = None


class TaskCount(Answer, kw_only=True):
    """How many tasks match, in all and in each state; with ``estimated``, reckoned from samples."""

    count: int
    states: dict[str, int]
    estimated: bool
