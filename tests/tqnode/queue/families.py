"""Tasks that wait for others, for tests: made, ended, looked at."""

from collections.abc import Sequence
from typing import Any

from tests.tqnode.nodes import Core, fail, ids_of, spec
from tqnode import ids
from tqnode.task import Needs, TaskSpec, TaskState


def child(*parents: str | int, needs: Needs = Needs.SUCCEEDED, **fields: Any) -> TaskSpec:
    """A task that waits for stored tasks, by id, or for others of its request, by place."""
    after = tuple(ids.parse(parent) if isinstance(parent, str) else parent for parent in parents)
    return spec(after=after, needs=needs, **{"queue": "children", **fields})


async def enqueue(core: Core, *specs: TaskSpec) -> list[str]:
    return ids_of(await core.queue.enqueue(specs))


async def enqueue_child(core: Core, *parents: str, **fields: Any) -> str:
    (made,) = await enqueue(core, child(*parents, **fields))
    return made


async def states(core: Core, task_ids: Sequence[str]) -> list[TaskState]:
    return [await core.state(task_id) for task_id in task_ids]


async def succeed(core: Core, *queues: str) -> None:
    await core.complete(await core.claim_one(*queues or ("default",)))


async def fail_for_good(core: Core, *queues: str) -> None:
    await core.finish(fail(await core.claim_one(*queues or ("default",)), retry=False))
