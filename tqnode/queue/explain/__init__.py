"""Why a task runs, or does not: an answer for people, with the facts for programs.

Each rule in :data:`RULES` looks at one thing and yields what it has to say of it. To add one, write such a
function and put it where it belongs in the order: what comes first is what the summary says.
"""

from collections.abc import Sequence

import msgspec

from tqnode.clock import Clock
from tqnode.config import Config
from tqnode.queue.explain.ended import ended, retention
from tqnode.queue.explain.held import limited, node_paused, queue_paused
from tqnode.queue.explain.key import key_held, key_taken
from tqnode.queue.explain.running import cancel_requested, crashes, lease_over, overtime, running
from tqnode.queue.explain.view import Cause, Rule, View
from tqnode.queue.explain.waiting import ahead, expired, expires, not_due, parents
from tqnode.queue.explain.workers import workers
from tqnode.store import Store
from tqnode.task import TaskState

RULES: Sequence[Rule] = (
    # What alone is enough comes first,
    expired,
    parents,
    not_due,
    node_paused,
    queue_paused,
    limited,
    workers,
    ahead,
    lease_over,
    running,
    ended,
    # then what else is to be known.
    cancel_requested,
    overtime,
    crashes,
    key_taken,
    key_held,
    expires,
    retention,
)

_LEADS = {
    TaskState.BLOCKED: "Blocked.",
    TaskState.SCHEDULED: "Scheduled.",
    TaskState.READY: "Ready, and not claimed yet.",
    TaskState.RUNNING: "Running.",
    TaskState.SUCCEEDED: "Succeeded.",
    TaskState.DEAD: "Dead.",
    TaskState.CANCELLED: "Cancelled.",
}


class Explanation(msgspec.Struct, frozen=True):
    """Why a task is where it is; the first cause is in the summary."""

    id: str
    state: TaskState
    summary: str
    causes: list[Cause]


class Explainer:
    """Explains tasks, each from one snapshot.

    Args:
        store: where they are.
        clock: the node's clock.
        config: the limits, and how long things are kept.
    """

    def __init__(self, store: Store, *, clock: Clock, config: Config) -> None:
        self._store = store
        self._clock = clock
        self._config = config

    async def explain(self, task_id: str) -> Explanation:
        """Why a task runs, or does not.

        Raises:
            NotFound: there is no such task.
        """
        now_ms = self._clock.now_ms()
        return await self._store.read(
            lambda reader: explanation(View(reader, task_id, now_ms=now_ms, config=self._config))
        )


def explanation(view: View) -> Explanation:
    """What the rules have to say of a task."""
    causes = [cause for rule in RULES for cause in rule(view)]
    state = view.task.state
    summary = f"{_LEADS[state]} {causes[0].text}" if causes else _LEADS[state]
    return Explanation(view.task.id, state, summary, causes)
