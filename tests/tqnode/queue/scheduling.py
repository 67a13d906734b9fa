"""Schedules for tests of the core: what is usual, and what their ticks have made."""

from datetime import datetime
from typing import Any

import msgspec

from tests.tqnode.nodes import START_MS, Core, spec
from tqnode.queue.schedules import Schedule, ScheduleSpec, Template
from tqnode.timing import Every

EVERY_MS = 10_000


def schedule_spec(**fields: Any) -> ScheduleSpec:
    """A schedule to put; every ten seconds from the beginning of a test's world unless it says otherwise."""
    task = fields.pop("task", {})
    usual: dict[str, Any] = {
        "name": "often",
        "timing": Every(every_ms=fields.pop("every_ms", EVERY_MS), anchor_ms=START_MS),
        "template": Template(spec=spec(**task), expires_ms=fields.pop("expires_ms", None)),
        "missed": "one",
        "overlap": "allow",
    }
    return ScheduleSpec(**usual | fields)


async def put(core: Core, **fields: Any) -> Schedule:
    """Puts a schedule."""
    schedule, _ = await core.queue.scheduler.put(schedule_spec(**fields))
    return schedule


async def get(core: Core, name: str = "often") -> Schedule:
    return await core.queue.scheduler.get(name)


async def made(core: Core) -> list[tuple[dict[str, Any], str]]:
    """What the ticks have made, in order: what each task's meta says of its schedule, and its state."""
    rows = await core.rows("SELECT meta, state FROM task JOIN task_body USING (seq) ORDER BY seq")
    return [(msgspec.json.decode(meta)["schedule"], state) for meta, state in rows if meta]


def second(about: dict[str, Any]) -> float:
    """Seconds from the beginning of the world to the tick that a task's meta names."""
    return datetime.fromisoformat(about["at"]).timestamp() - START_MS / 1000


async def ticks(core: Core) -> list[float]:
    """The ticks that have made a task, in the order of these, in seconds from the beginning of the world."""
    return [second(about) for about, _ in await made(core)]
