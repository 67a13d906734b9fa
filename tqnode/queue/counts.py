"""What was done with tasks since the node started; the queue has it told of each committed group."""

from prometheus_client import Counter

from tqnode.metrics import Metrics
from tqnode.store import Effects
from tqnode.task import TaskState

_S = TaskState
_OPERATION: dict[tuple[TaskState | None, TaskState | None], str] = {
    (None, _S.READY): "enqueued",
    (None, _S.SCHEDULED): "enqueued",
    (None, _S.BLOCKED): "enqueued",
    (_S.READY, _S.RUNNING): "claimed",
    (_S.RUNNING, _S.READY): "returned",
    (_S.RUNNING, _S.SCHEDULED): "retried",
    (_S.SCHEDULED, _S.READY): "due",
    (_S.BLOCKED, _S.READY): "released",
    (_S.BLOCKED, _S.SCHEDULED): "released",
}
_NAMES: dict[TaskState | None, str] = {None: "deleted", _S.READY: "requeued"}


class Counts:
    """Counts tasks by operation.

    Args:
        metrics: gets the same counts.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._counters: dict[str, Counter] = {}
        self.since_start: dict[str, int] = {}

    def note(self, effects: Effects) -> None:
        """Counts what a group did."""
        counts: dict[str, int] = {}
        for _, before, after, tasks in effects.moves:
            name = _OPERATION.get((before, after)) or _NAMES.get(after, str(after))
            counts[name] = counts.get(name, 0) + tasks
        for name, tasks in counts.items():
            counter = self._counters.get(name)
            if counter is None:
                # Looked up once: that takes longer than to count.
                counter = self._counters[name] = self._metrics.operations.labels(name)
            counter.inc(tasks)
            self.since_start[name] = self.since_start.get(name, 0) + tasks
