"""The calls on many tasks as values, as :mod:`tq.calls` has those on all else; both clients make them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tq import wire
from tq.calls import Call, _checked_key, _parameter, _query, _read, _segment, _write, flat

_SEVERAL = ("queue", "state", "kind")


def count(criteria: Mapping[str, Any]) -> Call[wire.TaskCount]:
    return _read(f"/v1/tasks/count{_query(flat(criteria))}", wire.TaskCount)


def begin(
    action: wire.BulkAction,
    criteria: Mapping[str, Any],
    *,
    everything: bool,
    to: str | None,
    priority: int | None,
    dry_run: bool,
    wait_s: float,
    key: str,
) -> Call[wire.Bulk]:
    """Begins a bulk operation.

    Args:
        action: what is done to each task.
        criteria: to which tasks, see :class:`tq.calls.Criteria`; what is ``None`` is not said.
        everything: whether all tasks are meant.
        to: the queue of a move.
        priority: the priority to set.
        dry_run: whether to count and do nothing.
        wait_s: seconds the answer may wait for the end.
        key: by which the node knows the call again.

    Raises:
        TypeError: a criterion that does not exist.
    """
    chosen = {_NAMES.get(name, name): _value(name, value) for name, value in criteria.items()}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    body = wire.NewBulk(
        action=action,
        filter=wire.BulkFilter(**chosen) if chosen else None,
        all=everything,
        queue=to,
        priority=priority,
        dry_run=dry_run,
        wait_s=wait_s,
    )
    call = _write("/v1/bulk", body, wire.Bulk, idempotency_key=_checked_key(key))
    return Call(**{name: getattr(call, name) for name in call.__struct_fields__} | {"wait_s": wait_s})


_NAMES = {"payload_has": "payload", "meta_has": "meta"}


def _value(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return _parameter(name, value)
    if name in _SEVERAL and value is not None and not isinstance(value, str):
        return list(value)
    return value


def get(bulk_id: str) -> Call[wire.Bulk]:
    return _read(f"/v1/bulk/{_segment(bulk_id)}", wire.Bulk)


def page(*, limit: int | None, cursor: str | None) -> Call[wire.BulkPage]:
    return _read(f"/v1/bulk{_query({'limit': limit, 'cursor': cursor})}", wire.BulkPage)


def cancel(bulk_id: str) -> Call[wire.Bulk]:
    return _write(f"/v1/bulk/{_segment(bulk_id)}/cancel", None, wire.Bulk)
