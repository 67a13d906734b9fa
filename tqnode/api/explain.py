"""Why a task runs, or does not."""

from typing import Any

from tq import wire
from tqnode.api.call import Call, Reply, json_reply
from tqnode.api.route import Route
from tqnode.api.stamps import MOMENT_MAX_MS, stamp
from tqnode.api.views import seconds


async def explain(call: Call) -> Reply:
    """What keeps a task from running, or who runs it, or how it ended."""
    found = await call.context.queue.explainer.explain(call.uuid())
    reasons = [
        wire.ExplainedReason(code=cause.code, text=cause.text, facts=facts_of(cause.facts))
        for cause in found.causes
    ]
    return json_reply(
        200,
        wire.Explanation(id=found.id, state=found.state.value, summary=found.summary, reasons=reasons),
    )


def facts_of(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts as answers have them: moments as texts, durations in seconds; without what is not known."""
    told: dict[str, Any] = {}
    for name, value in facts.items():
        if value is None:
            continue
        if isinstance(value, dict):
            told[name] = facts_of(value)
        elif name == "at_ms" or name.endswith("_at_ms"):
            told[name.removesuffix("_ms")] = stamp(min(value, MOMENT_MAX_MS))
        elif name.endswith("_ms"):
            told[f"{name.removesuffix('_ms')}_s"] = seconds(value)
        else:
            told[name] = value
    return told


ROUTES = [
    Route(
        method="GET",
        path="/v1/tasks/{id}/explain",
        handler=explain,
        name="explain_task",
        about="Why the task runs or does not: in words, and with the facts.",
        answers={200: wire.Explanation},
        errors=["task_not_found"],
    ),
]
