"""What the queue should do, in as few words as possible: no storage, no events, no time of its own."""

from dataclasses import dataclass, field

from tests.tqnode.nodes import FakeClock
from tqnode.task import FINAL, WAITING, TaskState

READY, SCHEDULED, RUNNING = TaskState.READY, TaskState.SCHEDULED, TaskState.RUNNING
SUCCEEDED, DEAD, CANCELLED = TaskState.SUCCEEDED, TaskState.DEAD, TaskState.CANCELLED

BACKOFF_MS = 1_500
LEASE_MS = 2_000
CRASHES_MAX = 3


@dataclass
class ModelTask:
    """One task. ``order`` is its place among all that were enqueued."""

    id: str
    order: int
    queue: str
    priority: int
    state: TaskState
    run_at_ms: int
    max_attempts: int
    expires_at_ms: int | None
    key: str | None
    key_states: frozenset[TaskState]
    reason: str | None = None
    attempt: int = 0
    crashes: int = 0
    cancel: bool = False
    lease_ends_ms: int = 0
    tokens: list[str] = field(default_factory=list)
    receipt: tuple[str, object] | None = None
    """Outcome and answer of the last finish with the last token."""

    @property
    def facts(self) -> tuple[object, ...]:
        """What must agree with the stored task."""
        return (
            self.state,
            self.reason,
            self.queue,
            self.priority,
            self.run_at_ms,
            self.attempt,
            self.max_attempts,
            self.crashes,
            self.key,
        )


class Model:
    """All tasks.

    Args:
        clock: the same one as the queue's.
    """

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.tasks: dict[str, ModelTask] = {}
        self.paused: set[str] = set()
        self.queues: set[str] = set()

    @property
    def now_ms(self) -> int:
        return self._clock.now_ms()

    def holder(self, key: str | None, *, but: ModelTask | None = None) -> ModelTask | None:
        """Who holds a key now."""
        held = [
            task
            for task in self.tasks.values()
            if key is not None and task.key == key and task.state in task.key_states and task is not but
        ]
        assert len(held) <= 1
        return held[0] if held else None

    def move(self, task: ModelTask, state: TaskState, reason: str | None = None) -> None:
        """Moves a task; one that comes back to a key another holds by now goes on without it."""
        if state in task.key_states and self.holder(task.key, but=task):
            task.key = None
        task.state, task.reason = state, reason

    def entry(self, run_at_ms: int | None) -> tuple[TaskState, int]:
        """State and run_at of a task enqueued for then."""
        if run_at_ms is None or run_at_ms <= self.now_ms:
            return READY, self.now_ms
        return SCHEDULED, run_at_ms

    def claimable(self, queues: tuple[str, ...], wanted: int) -> list[str]:
        """Whom a claim must get, in order."""
        found: list[str] = []
        for queue in queues:
            ready = [
                task
                for task in self.tasks.values()
                if task.state is READY
                and task.queue == queue
                and queue not in self.paused
                and (task.expires_at_ms is None or task.expires_at_ms > self.now_ms)
            ]
            ready.sort(key=lambda task: (-task.priority, task.run_at_ms, task.order))
            found += [task.id for task in ready][: wanted - len(found)]
        return found

    def claimed(self, task: ModelTask, token: str) -> None:
        self.move(task, RUNNING)
        task.attempt += 1
        task.tokens.append(token)
        task.receipt = None
        task.lease_ends_ms = self.now_ms + LEASE_MS

    def complete(self, task: ModelTask) -> None:
        self.move(task, SUCCEEDED)
        task.crashes = 0

    def fail(self, task: ModelTask, *, retry: bool, delay_ms: int | None) -> None:
        task.crashes = 0
        if task.cancel:
            self.move(task, CANCELLED, "requested")
        elif not retry:
            self.move(task, DEAD, "failed_for_good")
        elif task.attempt >= task.max_attempts:
            self.move(task, DEAD, "attempts_exhausted")
        else:
            self._put_back(task, self.now_ms + (BACKOFF_MS if delay_ms is None else delay_ms))

    def snooze(self, task: ModelTask, delay_ms: int) -> None:
        task.crashes = 0
        if task.cancel:
            self.move(task, CANCELLED, "requested")
            return
        task.attempt -= 1
        self._put_back(task, self.now_ms + delay_ms if delay_ms else task.run_at_ms)

    def _put_back(self, task: ModelTask, run_at_ms: int) -> None:
        task.run_at_ms = run_at_ms
        self.move(task, SCHEDULED if run_at_ms > self.now_ms else READY)

    def cancel(self, task: ModelTask) -> None:
        if task.state is RUNNING:
            task.cancel = True
        elif task.state in WAITING:
            self.move(task, CANCELLED, "requested")
            task.crashes = 0

    def retry(self, task: ModelTask) -> bool:
        """Whether it may be retried."""
        if task.state not in FINAL | {SCHEDULED}:
            return True
        if self.holder(task.key, but=task):
            return False
        task.max_attempts = max(task.max_attempts, task.attempt + 1)
        task.run_at_ms, task.crashes, task.cancel = self.now_ms, 0, False
        if task.expires_at_ms is not None and task.expires_at_ms <= self.now_ms:
            task.expires_at_ms = None
        self.move(task, READY)
        return True

    def sweep(self) -> None:
        """What time has done by now."""
        for task in sorted(self.tasks.values(), key=lambda task: (task.lease_ends_ms, task.order)):
            if task.state is RUNNING and task.lease_ends_ms <= self.now_ms:
                self._crash(task)
        for task in self.tasks.values():
            if task.state is SCHEDULED and task.run_at_ms <= self.now_ms:
                self.move(task, READY)
        for task in self.tasks.values():
            expired = task.expires_at_ms is not None and task.expires_at_ms <= self.now_ms
            if task.state in WAITING and expired:
                self.move(task, CANCELLED, "expired")
                task.crashes = 0

    def _crash(self, task: ModelTask) -> None:
        task.crashes += 1
        task.receipt = None
        if task.cancel:
            self.move(task, CANCELLED, "requested")
        elif task.crashes >= CRASHES_MAX:
            self.move(task, DEAD, "crashed")
        elif task.attempt >= task.max_attempts:
            self.move(task, DEAD, "attempts_exhausted")
        else:
            self._put_back(task, task.run_at_ms)
