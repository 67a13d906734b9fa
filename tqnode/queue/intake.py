"""Brings the single enqueues together that wait for the writer: made as one batch, answered each on its own.

Called by the queue for tasks that come alone. Under load dozens of them wait while a transaction is on its
way to the disk; as one operation they cost the writer a third of what they cost it one by one.
"""

import asyncio
import threading
from collections.abc import Sequence
from functools import partial

from tqnode.errors import Overloaded, TqnodeError
from tqnode.queue.enqueue import Enqueuer
from tqnode.store import DISK_FAILURES, Store, Tx
from tqnode.task import Enqueued, TaskSpec

BATCH_MAX = 512
"""Tasks in one operation: as many as there may be operations in a transaction."""

GATHER_FROM = 16
"""Callers at a time from which on a batch waits for those that were just answered to come back."""
GATHER_S = 0.0005
"""How long at most. While the event loop is at work, each of the writer's statements waits for the
interpreter: many callers are served sooner by few large batches."""

_Answers = list[tuple["asyncio.Future[Enqueued]", Enqueued | BaseException]]


class _Batch:
    """Tasks and who waits for them; ``tried`` once the writer had it, which waits for ``wanted`` of them."""

    __slots__ = ("entries", "tried", "wanted")

    def __init__(self) -> None:
        self.entries: list[tuple[TaskSpec, asyncio.Future[Enqueued]]] = []
        self.tried = False
        self.wanted = 0


class Intake:
    """Takes single tasks in.

    Args:
        store: where they go.
        enqueuer: makes them.
        waiting_max: tasks that may wait; one more is :class:`~tqnode.errors.Overloaded`.
    """

    def __init__(self, store: Store, enqueuer: Enqueuer, *, waiting_max: int) -> None:
        self._store = store
        self._enqueuer = enqueuer
        self._waiting_max = waiting_max
        self._waiting = 0
        self._peak = 0
        """The most that waited at a time since the last batch was closed."""
        # Between the event loop, which adds to the open batch, and the writer, which closes it.
        self._lock = threading.Lock()
        self._gathered = threading.Condition(self._lock)
        self._open: _Batch | None = None

    def put(self, spec: TaskSpec) -> "asyncio.Future[Enqueued]":
        """Enqueues a task without a unique key; cancelling the future before its turn takes it back.

        The future may raise QueueFull, and whatever a write may raise.

        Raises:
            TqnodeError: as :meth:`tqnode.store.Store.submit`.
        """
        if self._waiting >= self._waiting_max:
            raise Overloaded(f"{self._waiting_max} tasks wait for the disk already")
        self._store.check_open()
        future: asyncio.Future[Enqueued] = asyncio.get_running_loop().create_future()
        with self._lock:
            batch = self._open
            fresh = batch is None or len(batch.entries) >= BATCH_MAX
            if batch is None or fresh:
                batch = self._open = _Batch()
            batch.entries.append((spec, future))
            self._peak = max(self._peak, self._waiting + 1)
            if len(batch.entries) == batch.wanted:
                self._gathered.notify()
        if fresh:
            self._submit(batch)
        self._waiting += 1
        return future

    def _submit(self, batch: _Batch) -> None:
        try:
            made = self._store.submit(partial(self._enqueue, batch))
        except TqnodeError:
            self._close(batch)
            raise
        made.add_done_callback(partial(self._answer, batch))

    def _close(self, batch: _Batch) -> None:
        with self._lock:
            if self._open is batch:
                self._open = None

    # -- the writer's thread ---------------------------------------------------------------

    def _gather(self, batch: _Batch) -> None:
        """Lets many callers come together in the batch, then closes it."""
        with self._lock:
            expected, self._peak = min(self._peak, BATCH_MAX), 0
            if self._open is batch and expected >= GATHER_FROM:
                batch.wanted = expected
                self._gathered.wait_for(lambda: len(batch.entries) >= expected, GATHER_S)
            if self._open is batch:
                self._open = None

    def _enqueue(self, batch: _Batch, tx: Tx) -> _Answers:
        self._gather(batch)
        asked = [entry for entry in batch.entries if not entry[1].cancelled()]
        if not asked:
            return []
        specs = [spec for spec, _ in asked]
        tx.joined += len(specs) - 1
        answers = None if batch.tried else self._together(tx, specs)
        batch.tried = True
        if answers is None:
            answers = [self._alone(tx, spec) for spec in specs]
        return [(future, answer) for (_, future), answer in zip(asked, answers, strict=True)]

    def _together(self, tx: Tx, specs: Sequence[TaskSpec]) -> Sequence[Enqueued | Exception] | None:
        """None if one of them can't be: the others must not pay for it."""
        mark = tx.effects.mark()
        try:
            return self._enqueuer.enqueue(tx, specs)
        except TqnodeError:
            tx.undo(mark)
            return None

    def _alone(self, tx: Tx, spec: TaskSpec) -> Enqueued | Exception:
        try:
            (made,) = tx.atomically(partial(self._enqueuer.enqueue, tx, [spec]))
        except DISK_FAILURES:
            raise
        except Exception as error:
            return error
        return made

    # -- the event loop's thread -----------------------------------------------------------

    def _answer(self, batch: _Batch, made: "asyncio.Future[_Answers]") -> None:
        """Hands on what the writer answered, once it has."""
        self._close(batch)  # which it is not if the writer never came to it
        self._waiting -= len(batch.entries)
        error = made.exception()
        answers = made.result() if error is None else [(future, error) for _, future in batch.entries]
        for future, answer in answers:
            if future.done():
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)
