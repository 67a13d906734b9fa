"""The calls by which queues, and the node as a whole, are steered, as values; both clients make them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypedDict

import msgspec

from tq import wire
from tq.calls import Call, Repeat, _read, _reader, _segment, _write


class QueueOptions(TypedDict, total=False):
    """Settings of one queue; what is absent stays as it is, ``None`` gives back to the node's."""

    priority: int | None
    max_attempts: int | None
    lease_s: float | None
    retry: wire.RetryPolicy | None
    timeout_s: float | None
    keep_succeeded_s: int | None
    """For how long its succeeded tasks are kept; -1 for ever."""
    keep_cancelled_s: int | None
    keep_dead_s: int | None
    depth_max: int | None
    """Most waiting tasks."""
    bytes_max: int | None
    """Most bytes of payload and meta in its waiting and running tasks."""
    age_per_minute: float | None
    """How much priority its ready tasks gain in each minute that they wait."""


def pause(
    name: str, *, for_s: float | None, until: datetime | None, reason: str | None
) -> Call[wire.QueueInfo]:
    return _write(f"{_path(name)}/pause", _pause(for_s, until, reason), wire.QueueInfo)


def resume(name: str) -> Call[wire.QueueInfo]:
    return _write(f"{_path(name)}/resume", None, wire.QueueInfo)


def drain(name: str) -> Call[wire.QueueInfo]:
    return _write(f"{_path(name)}/drain", None, wire.QueueInfo)


def set_queue(name: str, options: QueueOptions) -> Call[wire.QueueInfo]:
    """Changes settings.

    Raises:
        TypeError: a setting that does not exist.
    """
    fields: dict[str, Any] = {**options}
    return Call(
        method="PATCH",
        path=_path(name),
        read=_reader(wire.QueueInfo),
        # It says what is to be, not by how much: a second one of the same words changes nothing.
        repeat=Repeat.SAFE,
        body=msgspec.json.encode(wire.QueueChanges(**fields)),
    )


def settings(name: str) -> Call[wire.QueueSettings]:
    read = _reader(wire.QueueInfo)
    return Call(
        method="GET",
        path=_path(name),
        read=lambda body: read(body).settings or wire.QueueSettings(),
        repeat=Repeat.READ,
    )


def node_pause() -> Call[wire.NodePause]:
    return _read("/v1/pause", wire.NodePause)


def pause_all(*, for_s: float | None, until: datetime | None, reason: str | None) -> Call[wire.NodePause]:
    return _write("/v1/pause", _pause(for_s, until, reason), wire.NodePause)


def resume_all() -> Call[wire.NodePause]:
    return _write("/v1/resume", None, wire.NodePause)


def _path(name: str) -> str:
    return f"/v1/queues/{_segment(name)}"


def _pause(for_s: float | None, until: datetime | None, reason: str | None) -> wire.NewPause | None:
    if until is not None and until.tzinfo is None:
        raise ValueError("until has no time zone: use datetime.now(timezone.utc) or the like")
    if (for_s, until, reason) == (None, None, None):
        return None
    return wire.NewPause(for_s=for_s, until=until, reason=reason)
