"""Explanations, for tests."""

from typing import Any

from tests.tqnode.nodes import Core
from tqnode.queue.explain import Explanation


async def explained(core: Core, task_id: str) -> Explanation:
    return await core.queue.explainer.explain(task_id)


async def codes(core: Core, task_id: str) -> list[str]:
    """The codes of all that is said of a task, in their order."""
    return [cause.code for cause in (await explained(core, task_id)).causes]


async def facts(core: Core, task_id: str, code: str) -> dict[str, Any]:
    """The facts that come with one of them."""
    (found,) = [cause for cause in (await explained(core, task_id)).causes if cause.code == code]
    return found.facts


async def text(core: Core, task_id: str, code: str) -> str:
    """The sentence of one of them."""
    (found,) = [cause for cause in (await explained(core, task_id)).causes if cause.code == code]
    return found.text
