"""What a bulk operation does to the tasks of one slice: to each what a person's operation on it would do."""

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from tqnode.clock import Clock
from tqnode.errors import Overloaded, QueueFull, UniqueConflict
from tqnode.queue.bulks import Action, BulkSpec
from tqnode.queue.enqueue import Enqueuer
from tqnode.queue.manage import Manager, find
from tqnode.queue.moves import counts
from tqnode.queue.remove import remove
from tqnode.queue.rows import listed
from tqnode.queue.sliced import SLICE_S
from tqnode.sql import statement
from tqnode.store import TaskEvent, Tx
from tqnode.store.tx import Row
from tqnode.task import FINAL, WAITING, Reason, TaskState

_CANCEL_WAITING = statement("cancel_waiting")
_REQUEST_CANCELS = statement("request_cancels")
_MOVE = statement("move_tasks")
_MARK_KEYED_BY = statement("mark_keyed_by")
_REPRIORITIZE = statement("reprioritize_tasks")

FINAL_SKIP = "final"
RUNNING_SKIP = "running"
UNCHANGED_SKIP = "unchanged"
BLOCKED_SKIP = "blocked"
CONFLICT_SKIP = "unique_conflict"
FULL_SKIP = "queue_full"


class Matching(msgspec.Struct, frozen=True):
    """A task that a slice found: a row of ``bulk_slice``. ``tied``: others wait for it, or it for others."""

    seq: int
    packed: bytes
    queue: str
    kind: str
    state: TaskState
    attempt: int
    priority: int
    tied: bool


class Treated(msgspec.Struct):
    """What came of a slice.

    Args:
        tasks: how many of its tasks, from the first on, were dealt with.
        done: of these, how many it was done to.
        asked: of those done, running ones that were asked to stop.
        skips: how many were left as they were, for each reason.
    """

    tasks: int = 0
    done: int = 0
    asked: int = 0
    skips: Counter[str] = msgspec.field(default_factory=Counter)


class Treatment:
    """Does it.

    Args:
        manager: does the same to single tasks.
        enqueuer: knows how many tasks a queue takes.
        clock: measures how long a slice takes.
    """

    def __init__(self, *, manager: Manager, enqueuer: Enqueuer, clock: Clock) -> None:
        self._manager = manager
        self._enqueuer = enqueuer
        self._clock = clock
        self._of: dict[Action, Callable[[Tx, BulkSpec, Sequence[Matching]], Treated]] = {
            Action.CANCEL: self._cancel,
            Action.RETRY: self._retry,
            Action.DELETE: self._delete,
            Action.MOVE: self._move,
            Action.REPRIORITIZE: self._reprioritize,
        }

    def treat(self, tx: Tx, spec: BulkSpec, rows: Sequence[Row]) -> Treated:
        """Does what ``spec`` says to tasks, the first ones at least.

        Args:
            rows: of ``bulk_slice``.
        """
        tasks = [
            Matching(seq, packed, queue, kind, TaskState(state), attempt, priority, bool(tied))
            for seq, packed, queue, kind, state, attempt, priority, tied in rows
        ]
        return self._of[spec.action](tx, spec, tasks)

    # -- cancel ----------------------------------------------------------------------------

    def _cancel(self, tx: Tx, _spec: BulkSpec, tasks: Sequence[Matching]) -> Treated:
        # One that ends may take others with it that come later in the slice.
        if any(task.tied for task in tasks):
            return self._cancel_each(tx, tasks)
        waiting = [task for task in tasks if task.state in WAITING]
        if waiting:
            # A task that waits holds its key already: none has to give it up for another.
            tx.run(_CANCEL_WAITING, {"seqs": listed([task.seq for task in waiting]), "now_ms": tx.now_ms})
            for (queue, state), count in counts([(task.queue, task.state) for task in waiting]).items():
                tx.moved(queue, state, TaskState.CANCELLED, count)
            tx.effects.events.extend(
                [_event(tx, task, TaskState.CANCELLED, Reason.REQUESTED) for task in waiting]
            )
        running = [task for task in tasks if task.state is TaskState.RUNNING]
        asked = 0
        if running:
            seqs = listed([task.seq for task in running])
            asked = tx.run(_REQUEST_CANCELS, {"seqs": seqs, "now_ms": tx.now_ms})
        treated = Treated(tasks=len(tasks), done=len(waiting) + asked, asked=asked)
        _skip(treated, UNCHANGED_SKIP, len(running) - asked)
        _skip(treated, FINAL_SKIP, len(tasks) - len(waiting) - len(running))
        return treated

    def _cancel_each(self, tx: Tx, tasks: Sequence[Matching]) -> Treated:
        def cancel(task: Matching, treated: Treated) -> str | None:
            found = find(tx, task.seq, task.packed)
            if found is None:
                return FINAL_SKIP
            held, row = found
            if not self._manager.cancel_held(tx, held, row):
                return UNCHANGED_SKIP if held.state is TaskState.RUNNING else FINAL_SKIP
            treated.asked += held.state is TaskState.RUNNING
            return None

        return self._each(tasks, cancel)

    # -- retry -----------------------------------------------------------------------------

    def _retry(self, tx: Tx, _spec: BulkSpec, tasks: Sequence[Matching]) -> Treated:
        def retry(task: Matching, _treated: Treated) -> str | None:
            if task.state is TaskState.BLOCKED:
                return BLOCKED_SKIP
            found = find(tx, task.seq, task.packed)
            if found is None:
                return UNCHANGED_SKIP
            try:
                if self._manager.retry_held(tx, *found):
                    return None
            except UniqueConflict:
                return CONFLICT_SKIP
            return RUNNING_SKIP if task.state is TaskState.RUNNING else UNCHANGED_SKIP

        return self._each(tasks, retry)

    def _each(
        self, tasks: Sequence[Matching], treat_one: Callable[[Matching, Treated], str | None]
    ) -> Treated:
        """One task after the other, for as long as a slice may take; each gives the reason for a skip."""
        treated = Treated()
        began = self._clock.monotonic()
        for task in tasks:
            try:
                reason = treat_one(task, treated)
            except Overloaded:
                # It is this task's turn again once those who waited for it know how it ended.
                break
            treated.tasks += 1
            if reason is None:
                treated.done += 1
            else:
                treated.skips[reason] += 1
            if self._clock.monotonic() - began > SLICE_S:
                break
        return treated

    # -- delete, move, reprioritize --------------------------------------------------------

    def _delete(self, tx: Tx, _spec: BulkSpec, tasks: Sequence[Matching]) -> Treated:
        at_rest = [task for task in tasks if task.state is not TaskState.RUNNING]
        remove(tx, [msgspec.structs.astuple(task) for task in at_rest])
        treated = Treated(tasks=len(tasks), done=len(at_rest))
        _skip(treated, RUNNING_SKIP, len(tasks) - len(at_rest))
        return treated

    def _move(self, tx: Tx, spec: BulkSpec, tasks: Sequence[Matching]) -> Treated:
        target = str(spec.queue)
        waiting, treated = _waiting(tasks)
        elsewhere = [task for task in waiting if task.queue != target]
        _skip(treated, UNCHANGED_SKIP, len(waiting) - len(elsewhere))
        try:
            room = self._enqueuer.room(tx, target) if elsewhere else 0
        except QueueFull:
            room = 0
        moved = elsewhere[:room]
        _skip(treated, FULL_SKIP, len(elsewhere) - len(moved))
        treated.done = len(moved)
        if not moved:
            return treated
        seqs = listed([task.seq for task in moved])
        tx.run(_MOVE, {"seqs": seqs, "queue": target})
        tx.run(_MARK_KEYED_BY, {"seqs": seqs, "queue": target})
        for (queue, state), count in counts([(task.queue, task.state) for task in moved]).items():
            tx.moved(queue, state, None, count)
            tx.moved(target, None, state, count)
        for task in moved:
            tx.effects.events.append(
                TaskEvent(task.packed, target, task.kind, task.state, tx.now_ms, task.attempt)
            )
            if task.state is TaskState.READY:
                tx.effects.ready.append((target, task.kind, task.priority))
        return treated

    def _reprioritize(self, tx: Tx, spec: BulkSpec, tasks: Sequence[Matching]) -> Treated:
        priority = int(spec.priority or 0)
        waiting, treated = _waiting(tasks)
        changed = [task for task in waiting if task.priority != priority]
        _skip(treated, UNCHANGED_SKIP, len(waiting) - len(changed))
        treated.done = len(changed)
        if not changed:
            return treated
        tx.run(_REPRIORITIZE, {"seqs": listed([task.seq for task in changed]), "priority": priority})
        for task in changed:
            tx.effects.events.append(_event(tx, task, task.state))
            if task.state is TaskState.READY:
                # Claims may wait for what is urgent enough.
                tx.effects.ready.append((task.queue, task.kind, priority))
        return treated


def _waiting(tasks: Sequence[Matching]) -> tuple[list[Matching], Treated]:
    """Those that wait, and the skips of those that don't."""
    treated = Treated(tasks=len(tasks))
    _skip(treated, RUNNING_SKIP, sum(task.state is TaskState.RUNNING for task in tasks))
    _skip(treated, FINAL_SKIP, sum(task.state in FINAL for task in tasks))
    return [task for task in tasks if task.state in WAITING], treated


def _skip(treated: Treated, reason: str, tasks: int) -> None:
    if tasks:
        treated.skips[reason] += tasks


def _event(tx: Tx, task: Matching, state: TaskState, reason: Reason | None = None) -> TaskEvent:
    return TaskEvent(task.packed, task.queue, task.kind, state, tx.now_ms, task.attempt, reason)
