"""Batches for tests of the core: made, ended, looked at."""

from collections.abc import Sequence
from typing import Any

import msgspec

from tests.tqnode.nodes import Core, spec
from tqnode.queue.batches import Batch, BatchSpec
from tqnode.queue.membership import BatchEvent
from tqnode.queue.schedules import Template
from tqnode.task import TaskSpec

CALLBACKS = "callbacks"
"""The queue of the callbacks, so that no claim of members meets them."""
EVENTS = list(BatchEvent)


def callback(event: BatchEvent, **fields: Any) -> Template:
    """The task of an event, of the kind ``on_<event>``."""
    return Template(spec=spec(**{"kind": f"on_{event}", "queue": CALLBACKS, **fields}))


def batch_spec(*, open: bool = False, events: Sequence[BatchEvent] = EVENTS, **fields: Any) -> BatchSpec:
    return BatchSpec(open=open, callbacks={event: callback(event) for event in events}, **fields)


async def create(core: Core, *tasks: TaskSpec, **fields: Any) -> str:
    """A batch of these tasks; its id."""
    return (await core.queue.batcher.create(batch_spec(**fields), tasks)).id


async def of_plain(core: Core, size: int, **fields: Any) -> str:
    """A batch of so many tasks."""
    return await create(core, *[spec(max_attempts=1) for _ in range(size)], **fields)


async def counts(core: Core, batch_id: str) -> tuple[int, int, int, int]:
    """How many of its members are pending, succeeded, dead, cancelled."""
    batch = await core.queue.batcher.get(batch_id)
    assert batch.total == batch.pending + batch.succeeded + batch.dead + batch.cancelled
    return batch.pending, batch.succeeded, batch.dead, batch.cancelled


async def fired(core: Core) -> list[str]:
    """The events of any batch that have made their tasks, in order, once the sweeper had its turn."""
    await core.sweeper.sweep()
    rows = await core.rows(
        f"SELECT kind FROM task WHERE queue = '{CALLBACKS}' AND kind LIKE 'on_%' ORDER BY seq"
    )
    return [kind.removeprefix("on_") for (kind,) in rows]


async def told(core: Core) -> list[dict[str, Any]]:
    """What the callbacks' meta says of their batch, in order."""
    await core.sweeper.sweep()
    rows = await core.rows(
        f"SELECT meta FROM task JOIN task_body USING (seq) WHERE queue = '{CALLBACKS}' ORDER BY seq"
    )
    return [msgspec.json.decode(meta)["batch"] for (meta,) in rows]


async def get(core: Core, batch_id: str) -> Batch:
    return await core.queue.batcher.get(batch_id)
