"""Limits for tests of the core."""

from typing import Any

from tests.tqnode.nodes import Core, ids_of
from tqnode.queue.limits import LimitSpec
from tqnode.queue.limits.rules import Rule


async def limit(core: Core, **fields: Any) -> Rule:
    """Puts a limit; on one running task of each key unless it says otherwise."""
    usual: dict[str, Any] = {"name": "few"}
    if not {"queue", "key"} & set(fields):
        usual["key"] = "*"
    if not {"running", "rate", "fair"} & set(fields):
        usual["running"] = 1
    if "rate" in fields:
        usual |= {"per_ms": 1000, "burst": fields["rate"]}
    rule, _ = await core.queue.limits.put(LimitSpec(**usual | fields))
    return rule


async def enqueue(core: Core, *keys: str | None, **fields: Any) -> list[str]:
    """A task for each of the keys, one after the other; their ids."""
    return [await core.enqueue(limit_key=key, **fields) for key in keys]


async def claimed(core: Core, *queues: str, **fields: Any) -> list[str]:
    """The ids of what a claim gets, ten at most."""
    return ids_of(await core.claim(*queues, **{"max": 10} | fields))
