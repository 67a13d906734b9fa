"""What a queue or the whole node was told to do: pause, drain, defaults and limits. Without I/O."""

import msgspec

from tqnode.task import UNSAID, Given, TaskSpec, TaskState

PRIORITY_MAX = 255


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """A time in which no tasks are given out."""

    since_ms: int
    until_ms: int | None = None
    """When it ends by itself; None: it does not."""
    reason: str | None = None

    def over(self, now_ms: int) -> bool:
        """Whether it has ended by itself."""
        return self.until_ms is not None and self.until_ms <= now_ms


class QueueSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one queue has of its own; None is the node's."""

    priority: int | None = None
    max_attempts: int | None = None
    lease_ms: int | None = None
    retry: bytes | None = None
    """A retry policy's JSON."""
    timeout_ms: int | None = None
    keep_succeeded_s: int | None = None
    """For how long its succeeded tasks are kept; -1 for ever."""
    keep_cancelled_s: int | None = None
    keep_dead_s: int | None = None
    depth_max: int | None = None
    """Most waiting tasks."""
    bytes_max: int | None = None
    """Most bytes of payload and meta in its waiting and running tasks."""
    age_milli: int | None = None
    """Thousandths of a priority that its ready tasks gain in a minute; None: they gain nothing."""

    @property
    def given(self) -> Given:
        """The part of it that is about new tasks."""
        return Given(
            priority=self.priority,
            max_attempts=self.max_attempts,
            lease_ms=self.lease_ms,
            retry=self.retry,
            timeout_ms=self.timeout_ms,
        )


def aged(priority: int, milli: int, waited_ms: int) -> int:
    """What a task's priority has grown to.

    Args:
        priority: its own.
        milli: thousandths of a priority that it gains in a minute.
        waited_ms: for how long it could have run; less than 0 while the clock is set back.
    """
    return min(PRIORITY_MAX, priority + max(0, waited_ms) * milli // 60_000_000)


NO_SETTINGS = QueueSettings()
KEPT = {
    TaskState.SUCCEEDED: "keep_succeeded_s",
    TaskState.CANCELLED: "keep_cancelled_s",
    TaskState.DEAD: "keep_dead_s",
}
"""The setting that says how long tasks of a final state are kept."""


class Controls(msgspec.Struct, frozen=True, kw_only=True):
    """All that the node and its queues were told, read from the database."""

    pause: Pause | None = None
    """Of the whole node."""
    pauses: dict[str, Pause] = {}
    draining: frozenset[str] = frozenset()
    settings: dict[str, QueueSettings] = {}
    given: dict[str, Given] = {}
    """Of the queues that have defaults of their own."""
    ages: dict[str, int] = {}
    """The ``age_milli`` of the queues that have it."""
    counted: frozenset[str] = frozenset()
    """The queues whose bytes are counted; the empty name is the node."""

    def stands_still(self, now_ms: int) -> bool:
        """Whether the whole node is paused."""
        return self.pause is not None and not self.pause.over(now_ms)

    def pauses_queue(self, queue: str, now_ms: int) -> bool:
        """Whether a queue that was paused still is."""
        pause = self.pauses.get(queue)
        return pause is not None and not pause.over(now_ms)

    def filled(self, spec: TaskSpec) -> tuple[TaskSpec, Given | None]:
        """A task with its queue's own defaults where its maker left them open, and what these gave."""
        given = self.given.get(spec.queue)
        if given is None or not spec.unsaid:
            return spec, None
        fields = {
            name: value
            for name, bit in UNSAID.items()
            if spec.unsaid & bit and (value := getattr(given, name)) is not None
        }
        if not fields:
            return spec, None
        return msgspec.structs.replace(spec, **fields), Given(**fields)

    def kept_s(self, state: TaskState) -> dict[str, int]:
        """For how long tasks of a final state are kept in the queues that say so themselves."""
        found = ((queue, getattr(mine, KEPT[state])) for queue, mine in self.settings.items())
        return {queue: kept_s for queue, kept_s in found if kept_s is not None}
