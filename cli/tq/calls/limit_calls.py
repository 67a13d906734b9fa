"""The calls on limits as values, as :mod:`tq.calls` has those on all else; both clients make them."""

from __future__ import annotations

from typing import Any, TypedDict

import msgspec

from tq import wire
from tq.calls import Call, Repeat, _delete, _query, _read, _reader, _segment


class LimitOptions(TypedDict, total=False):
    """What a limit is on, and what it allows; what is absent or ``None`` is not limited."""

    queue: str | None
    """A queue. Without ``key`` the limit is on its tasks together; else it counts keys in it alone."""
    key: str | None
    """A limit key, or the beginning of keys and ``*``: the limit is on the tasks of each such key."""
    running: int | None
    """How many may run at a time."""
    rate: int | None
    """How many are claimed every ``per_s``;"""
    per_s: float | None
    """one second without it."""
    burst: int | None
    """How many of these may be claimed at once; default: ``rate``."""
    fair: bool
    """The queue's keys take turns."""


def put_limit(name: str, options: LimitOptions) -> Call[wire.Limit]:
    """Puts a limit.

    Raises:
        TypeError: an option that does not exist.
    """
    fields: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    return Call(
        method="PUT",
        path=_path(name),
        read=_reader(wire.Limit),
        # By its name the node knows it again; a second one of the same words changes nothing.
        repeat=Repeat.SAFE,
        body=msgspec.json.encode(wire.NewLimit(**fields)),
    )


def limit(name: str) -> Call[wire.Limit]:
    return _read(_path(name), wire.Limit)


def limit_page(*, limit: int | None, cursor: str | None) -> Call[wire.LimitPage]:
    return _read(f"/v1/limits{_query({'limit': limit, 'cursor': cursor})}", wire.LimitPage)


def delete_limit(name: str) -> Call[None]:
    return _delete(_path(name))


def _path(name: str) -> str:
    return f"/v1/limits/{_segment(name)}"
