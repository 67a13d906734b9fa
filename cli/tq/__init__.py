"""The Python SDK and the ``tq`` command.

``import tq`` loads nothing but this file; each name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module

# Type checkers take it for the one in typing, whose import would be most of the time this one takes.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from msgspec import UNSET, Raw

    from tq import errors, wire
    from tq.app import App, TaskFunction, task
    from tq.async_client import AsyncClient
    from tq.calls import new_task
    from tq.client import Client
    from tq.context import Cancelled, Reject, RetryLater, Snooze, TaskContext, current_task
    from tq.errors import TqError
    from tq.logs import TaskLogHandler
    from tq.sse import Event
    from tq.values import value
    from tq.version import VERSION as __version__
    from tq.wire import Exponential, Fixed, Linear, Listed, NewTask, Unique

__all__ = [
    "UNSET",
    "App",
    "AsyncClient",
    "Cancelled",
    "Client",
    "Event",
    "Exponential",
    "Fixed",
    "Linear",
    "Listed",
    "NewTask",
    "Raw",
    "Reject",
    "RetryLater",
    "Snooze",
    "TaskContext",
    "TaskFunction",
    "TaskLogHandler",
    "TqError",
    "Unique",
    "__version__",
    "current_task",
    "errors",
    "new_task",
    "task",
    "value",
    "wire",
]

_HOMES = {
    "UNSET": "msgspec",
    "App": "tq.app",
    "AsyncClient": "tq.async_client",
    "Cancelled": "tq.context",
    "Client": "tq.client",
    "Event": "tq.sse",
    "Exponential": "tq.wire",
    "Fixed": "tq.wire",
    "Linear": "tq.wire",
    "Listed": "tq.wire",
    "NewTask": "tq.wire",
    "Raw": "msgspec",
    "Reject": "tq.context",
    "RetryLater": "tq.context",
    "Snooze": "tq.context",
    "TaskContext": "tq.context",
    "TaskFunction": "tq.app",
    "TaskLogHandler": "tq.logs",
    "TqError": "tq.errors",
    "Unique": "tq.wire",
    "current_task": "tq.context",
    "new_task": "tq.calls",
    "task": "tq.app",
    "value": "tq.values",
}


def __getattr__(name: str) -> Any:
    if name in ("errors", "wire"):
        return import_module(f"tq.{name}")
    if name == "__version__":
        return import_module("tq.version").VERSION
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'tq' has no attribute {name!r}")
    found = getattr(import_module(home), name)
    # Next time without this function.
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
