"""Enqueues of one task each that meet at one client, gathered into requests of many.

The first one is sent at once. Those that come while it is under way make a batch, which goes when that one is
answered; those that come meanwhile make the next, and so on. There is no thread for it: the first caller of a
batch sends it for all. Should that caller be stopped (an interrupt, a cancelled task), the next one of the
batch sends the same request again, under the same idempotency key, so that nothing is made twice or lost. The
task of one that is stopped is as that of any call that is: not enqueued if its request had not been sent, and
else perhaps.

A batch is all or nothing. One that the node refuses made nothing: each of its callers then sends its own task
singly and gets its own answer or error.
"""

from __future__ import annotations

import copy
import os
import threading
from collections import deque
from collections.abc import Callable
from enum import Enum

import msgspec

from tq import calls, errors, wire
from tq.bounds import Bounds
from tq.clock import Clock
from tq.effects import Program, Wait
from tq.exchange import Exchange
from tq.gates import Gate
from tq.ids import time_ordered_id
from tq.receipts import Terms, as_read, told

# One that hangs must not hold up the others for longer.
PATIENCE_S = 0.5
# Those that were just answered together often come back together: so long the first of them waits for the
# rest, and no longer than their request took. Else every second request would hold one task.
REUNION_S = 0.002
# A caller whose batch should have had its answer by then is not held any longer.
OVERDUE_S = 5.0


class Alone(Enum):
    """The fate of a task that its caller is to send singly."""

    ALONE = "alone"


Fate = wire.Task | errors.TqError | Alone


class Caller:
    """One call of ``enqueue``.

    Args:
        task: as the node will read it.
        row: its JSON.
        gate: where it waits.
        began: the monotonic time of the call.
    """

    __slots__ = ("batch", "began", "gate", "row", "task")

    def __init__(self, task: wire.NewTask, row: bytes, gate: Gate, began: float) -> None:
        self.task = task
        self.row = row
        self.gate = gate
        self.began = began
        self.batch: Batch | None = None


class Batch:
    """Callers whose tasks go in one request.

    Attributes:
        waiting: those who still wait, the one that is to send it first.
        size: the bytes of their rows, commas included.
        sealed: whose rows are in the request, once that is settled.
        call: the request, once it was made.
        terms: what the node gave tasks that leave it open when that was settled.
        sealed_at: the monotonic time of that.
        sender: who is at it.
        doubt: somebody sent it who was stopped before there was an answer.
        fates: what became of each task. Set at one stroke: whoever sends may be stopped anywhere.
        told: whether all who wait know it.
    """

    __slots__ = (
        *("call", "doubt", "fates", "sealed", "sealed_at"),
        *("sender", "size", "terms", "told", "waiting"),
    )

    def __init__(self) -> None:
        self.waiting: list[Caller] = []
        self.size = 0
        self.sealed: list[Caller] | None = None
        self.sealed_at = 0.0
        self.call: calls.Call[list[wire.Enqueued]] | None = None
        self.terms = Terms()
        self.sender: Caller | None = None
        self.doubt = False
        self.fates: dict[Caller, Fate] | None = None
        self.told = False


class Line:
    """Whose turn it is, and who waits. Safe to use from several threads; never blocks for long.

    Args:
        bounds: of a request.
        timeout_s: seconds that a call may take.
    """

    def __init__(self, bounds: Bounds, timeout_s: float) -> None:
        self.process = os.getpid()
        self.inside: set[int] = set()
        self._bounds = bounds
        self._timeout_s = timeout_s
        self._patience_s = min(PATIENCE_S, timeout_s / 10)
        # Collecting garbage may end a caller that was dropped, wherever this thread just is.
        self._guard = threading.RLock()
        self._batches: deque[Batch] = deque()
        self._turn: Caller | Batch | None = None
        self._turn_at = 0.0
        self._crowd = 1
        self._crowd_until = 0.0

    def enter(self, caller: Caller) -> bool:
        """Whether it is the caller's turn at once; otherwise it has a place in a batch."""
        with self._guard:
            if self._turn is None and not self._crowd_is_coming(caller.began):
                self._give_turn(caller, caller.began)
                return True
            batch = self._batches[-1] if self._batches else None
            if batch is None or not self._fits(batch, caller):
                batch = Batch()
                self._batches.append(batch)
            batch.waiting.append(caller)
            batch.size += len(caller.row) + 1
            caller.batch = batch
            if self._turn is None:
                self._give_turn(batch, caller.began)
            elif self._turn is batch and len(batch.waiting) >= self._crowd:
                batch.waiting[0].gate.open()
            return False

    def next_step(self, caller: Caller, now: float, terms: Terms) -> Fate | Batch | float:
        """What a caller with a place in a batch does next.

        Args:
            caller: who asks.
            now: the monotonic time.
            terms: as far as the node has told them.

        Returns:
            Its fate; or the batch that it is to send now; or for how many seconds to wait at its gate.

        Raises:
            TqUnavailable: its time was over before its turn came.
            OutcomeUnknown: whoever sends its batch is long overdue.
        """
        batch = caller.batch
        if batch is None:
            return Alone.ALONE
        if batch.fates is not None:
            # Without the lock, for which all those who wake together would have to line up again.
            return batch.fates[caller]
        with self._guard:
            if batch.fates is not None:
                return batch.fates[caller]
            left_s = caller.began + self._timeout_s - now
            if batch.sealed is not None:
                left_s += OVERDUE_S
            if batch.waiting[0] is caller and batch.sender is None and left_s > 0:
                left_s = min(left_s, self._left_s(batch, caller, now))
                return left_s if left_s > 0 else self._sealed(batch, now, terms)
            if left_s > 0:
                return left_s
            if batch.sealed is not None:
                raise errors.OutcomeUnknown("the request that holds the task has had no answer in time")
        raise errors.TqUnavailable("not sent: this client's calls before it took all the time it had")

    def settle(self, batch: Batch, fates: list[Fate], now: float) -> None:
        """Tells the callers of a batch that was sent what became of their tasks."""
        with self._guard:
            self._crowd = len(fates)
            self._crowd_until = now + min(REUNION_S, now - batch.sealed_at)
            batch.fates = dict(zip(batch.sealed or (), fates, strict=True))
        self._tell(batch, now)

    def leave(self, caller: Caller, now: float) -> None:
        """Forgets a caller that has its answer, or gave up. A batch that it was to send falls to the next."""
        batch = caller.batch
        if batch is not None and batch.fates is not None:
            if batch.sender is caller and not batch.told:
                self._tell(batch, now)
            return
        with self._guard:
            if batch is not None and caller in batch.waiting:
                led = batch.waiting[0] is caller
                self._take_out(caller, batch)
                if led:
                    batch.sender = None
                    batch.doubt = batch.call is not None
                if not batch.waiting:
                    self._pass_on(batch, now)
                elif led:
                    batch.waiting[0].gate.open()
            self._pass_on(caller, now)

    def _tell(self, batch: Batch, now: float) -> None:
        for caller in batch.sealed or ():
            caller.gate.open()
        with self._guard:
            # After they were told: they come back with their next tasks before the next batch is sealed.
            self._pass_on(batch, now)
            batch.told = True

    def _crowd_is_coming(self, now: float) -> bool:
        return self._crowd > 1 and now < self._crowd_until

    def _fits(self, batch: Batch, caller: Caller) -> bool:
        bytes_left = self._bounds.bytes - batch.size
        return len(batch.waiting) < self._bounds.rows and len(caller.row) < bytes_left

    def _left_s(self, batch: Batch, caller: Caller, now: float) -> float:
        """How long the batch's first caller still waits before it sends."""
        if batch.sealed is not None:
            return 0.0
        if self._turn is not batch:
            return max(caller.began, self._turn_at) + self._patience_s - now
        return self._crowd_until - now if len(batch.waiting) < self._crowd else 0.0

    def _sealed(self, batch: Batch, now: float, terms: Terms) -> Batch | Alone:
        """Nobody comes to the batch any more: it is sent now, by its first caller."""
        if batch.sealed is None:
            first = batch.waiting[0]
            if len(batch.waiting) == 1 or not all(terms.cover(caller.task) for caller in batch.waiting):
                # If there are others, its answer says what they need; till then they stay in line.
                self._take_out(first, batch)
                if batch.waiting:
                    batch.waiting[0].gate.open()
                # Of a request that hangs the turn is taken away.
                self._give_turn(first, now)
                return Alone.ALONE
            self._batches.remove(batch)
            batch.sealed, batch.sealed_at, batch.terms = list(batch.waiting), now, terms
            self._give_turn(batch, now)
        batch.sender = batch.waiting[0]
        return batch

    def _take_out(self, caller: Caller, batch: Batch) -> None:
        batch.waiting.remove(caller)
        batch.size -= len(caller.row) + 1
        caller.batch = None
        if not batch.waiting and batch.sealed is None:
            self._batches.remove(batch)

    def _give_turn(self, holder: Caller | Batch | None, now: float) -> None:
        self._turn, self._turn_at = holder, now

    def _pass_on(self, holder: Caller | Batch, now: float) -> None:
        if self._turn is not holder:
            return
        following = self._batches[0] if self._batches else None
        self._give_turn(following, now)
        if following is not None:
            following.waiting[0].gate.open()


class Gathering:
    """The program of an enqueue.

    Args:
        exchange: carries out its calls.
        bounds: of a request.
        timeout_s: seconds that a call may take.
        clock: time and chance.
        gate: makes the gate of a caller.
    """

    def __init__(
        self, exchange: Exchange, bounds: Bounds, *, timeout_s: float, clock: Clock, gate: type[Gate]
    ) -> None:
        self._exchange = exchange
        self._bounds = bounds
        self._timeout_s = timeout_s
        self._clock = clock
        self._gate = gate
        self._terms = Terms()
        self._line = Line(bounds, timeout_s)

    def enqueue(self, new: wire.NewTask) -> Program[wire.Task]:
        """Enqueues one task, with others that come at the same time.

        Raises:
            TqError: why the task was not enqueued, or may not have been.
        """
        began = self._clock.monotonic()
        row = msgspec.json.encode(new)
        task = as_read(row)
        if self._line.process != os.getpid():
            # After a fork nobody is there who would answer those that wait.
            self._line = Line(self._bounds, self._timeout_s)
        line, owner = self._line, self._gate.owner()
        # A signal's handler must not wait for the call that it interrupts.
        if task is None or owner in line.inside:
            return (yield from self._alone(new, began))
        if owner is not None:
            line.inside.add(owner)
        caller = Caller(task, row, self._gate(), began)
        try:
            fate = Alone.ALONE if line.enter(caller) else (yield from self._fate(line, caller))
            if isinstance(fate, Alone):
                return (yield from self._alone(new, began))
            if isinstance(fate, errors.TqError):
                # Each caller's own: raising one in several threads would mix up their traces.
                raise copy.copy(fate) from fate.__cause__
            return fate
        finally:
            line.leave(caller, self._clock.monotonic())
            if owner is not None:
                line.inside.discard(owner)

    def _alone(self, new: wire.NewTask, began: float) -> Program[wire.Task]:
        call = calls.enqueue(new, key=time_ordered_id(self._clock))
        task = yield from self._exchange.run(call, began=began)
        if not task.duplicate:
            self._terms = self._terms.heard(new, task)
        return task

    def _fate(self, line: Line, caller: Caller) -> Program[Fate]:
        while True:
            step = line.next_step(caller, self._clock.monotonic(), self._terms)
            if isinstance(step, Batch):
                fates = yield from self._send(step, caller.began)
                line.settle(step, fates, self._clock.monotonic())
            elif isinstance(step, float):
                yield Wait(caller.gate, step)
            else:
                return step

    def _send(self, batch: Batch, began: float) -> Program[list[Fate]]:
        callers = batch.sealed or []
        troubles = self._exchange.troubles
        if batch.call is None:
            batch.call = self._call([caller.row for caller in callers])
        try:
            rows = yield from self._exchange.run(batch.call, began=began, doubt=batch.doubt)
        except errors.TqError as error:
            if not _refused(error):
                return [error] * len(callers)
            if isinstance(error, errors.BatchTooLarge | errors.BodyTooLarge):
                self._bounds.narrow(error)
            return [Alone.ALONE] * len(callers)
        finally:
            if self._exchange.troubles != troubles:
                # Another node, or this one with other settings, may be there now.
                self._terms = Terms()
        return [told(caller.task, row, batch.terms) for caller, row in zip(callers, rows, strict=True)]

    def _call(self, rows: list[bytes]) -> calls.Call[list[wire.Enqueued]]:
        call = calls.enqueue_rows(rows, partial=False, key=time_ordered_id(self._clock))
        return msgspec.structs.replace(call, divisible=True, read=_reading(call.read, len(rows)))


def _refused(error: errors.TqError) -> bool:
    """Whether nothing of a batch was made, and one of its tasks may be why."""
    about_a_task = errors.BadRequest | errors.Conflict | errors.QueueFull
    unnamed = type(error) is errors.ApiError and 400 <= (error.status or 0) < 500
    return unnamed or isinstance(error, about_a_task)


def _reading(
    read: Callable[[bytes], list[wire.Enqueued]], count: int
) -> Callable[[bytes], list[wire.Enqueued]]:
    """Holds an answer to as many tasks as were sent."""

    def checked(body: bytes) -> list[wire.Enqueued]:
        rows = read(body)
        if len(rows) != count or not all(row.id and row.state for row in rows):
            raise msgspec.ValidationError(f"not the answer to {count} tasks")
        return rows

    return checked
