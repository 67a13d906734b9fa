"""Claimed tasks for the tests of the worker's parts."""

from typing import Any

from msgspec import Raw

from tq.wire import ClaimedTask
from tq.worker.attempt import Attempt


def task_id(number: int) -> str:
    return f"01900000-0000-7000-8000-{number:012d}"


def claimed(number: int = 1, **fields: Any) -> ClaimedTask:
    """The task of that number, as a node hands it out."""
    values: dict[str, Any] = {
        "id": task_id(number),
        "token": f"token-{number}",
        "queue": "default",
        "kind": "add",
        "payload": Raw(b'{"args": [1, 2], "kwargs": {}}'),
        "priority": 128,
        "attempt": 1,
        "max_attempts": 10,
        "lease_s": 30.0,
        "lease_expires_at": "2026-01-01T00:00:30.000Z",
        "created_at": "2026-01-01T00:00:00.000Z",
        "run_at": "2026-01-01T00:00:00.000Z",
    }
    return ClaimedTask(**{**values, **fields})


def attempt(number: int = 1, *, received_at: float = 0.0, **fields: Any) -> Attempt:
    """An attempt at the task of that number."""
    return Attempt(claimed(number, **fields), received_at=received_at)
