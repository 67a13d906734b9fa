"""Limits on claims: what is put, and how they are read."""

from typing import Annotated

from msgspec import Meta

from tq.wire.names import Answer, KeyPattern, Name, Request, Stamp

Count = Annotated[int, Meta(ge=1, le=1_000_000)]


class NewLimit(Request, kw_only=True):
    """A limit on the tasks of a ``queue`` together, or on those of each key that ``key`` is a pattern of.

    ``running``: how many may run at a time. ``rate``: how many are claimed every ``per_s``, and ``burst``
    of them at once; as many as ``rate`` says if it is absent. ``fair``: the queue's keys take turns.
    """

    queue: Name | None = None
    key: KeyPattern | None = None
    running: Annotated[int, Meta(ge=0, le=100_000)] | None = None
    rate: Count | None = None
    per_s: Annotated[float, Meta(ge=0.001, le=31_536_000)] | None = None
    burst: Count | None = None
    fair: bool = False


class Limit(Answer, kw_only=True):
    """A limit as it stands; what is absent is not limited."""

    name: Name
    queue: Name | None = None
    key: KeyPattern | None = None
    running: int | None = None
    rate: int | None = None
    per_s: float | None = None
    burst: int | None = None
    fair: bool = False
    created_at: Stamp
    updated_at: Stamp


class LimitPage(Answer, kw_only=True):
    """``next_cursor`` is absent on the last page."""

    limits: list[Limit]
    next_cursor: str | None = None
