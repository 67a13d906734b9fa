"""Waiting for the ends of tasks and batches, and following what they tell meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from tq import calls, errors, wire
from tq.backoff import poll_s
from tq.calls import batch_calls, waiting_calls
from tq.clock import Clock
from tq.effects import Emit, Pause, Program
from tq.exchange import Exchange

T = TypeVar("T")

FINAL_STATES = frozenset(("succeeded", "dead", "cancelled"))
WAIT_S = 30.0
"""For how long the node is asked to hold an answer back."""
AWAY_S = 300.0
"""For how long a node that is away is waited for, where the wait itself has no end."""


def task_ended(task: wire.Task) -> bool:
    """Whether a task is final."""
    return task.state in FINAL_STATES


def batch_ended(batch: wire.Batch) -> bool:
    """Whether a batch has finished, and no member is pending that somebody had retried since."""
    return batch.state == "finished" and not batch.pending


class Patience:
    """How long one wait may still go on, and what it does when the node does not hold its answers back.

    Args:
        clock: time and chance.
        timeout_s: seconds in all; None is without end.
    """

    def __init__(self, clock: Clock, timeout_s: float | None) -> None:
        self._clock = clock
        self._until = None if timeout_s is None else clock.monotonic() + timeout_s
        self._polls = 0
        self._asked_at = 0.0
        self._asked_s = 0.0
        self._heard_at: float | None = None

    @property
    def over(self) -> bool:
        """Whether its time has passed."""
        return self._until is not None and self._clock.monotonic() >= self._until

    def ask_s(self, most: float) -> float:
        """For how long the node is to hold the next answer back: at first not at all, so that it is heard."""
        self._asked_at = self._clock.monotonic()
        if self._heard_at is None:
            self._asked_s = 0.0
            return 0.0
        left_s = most if self._until is None else max(0.0, self._until - self._asked_at)
        self._asked_s = min(most, left_s)
        return self._asked_s

    def heard(self) -> None:
        """The node answered."""
        self._heard_at = self._clock.monotonic()

    def rest(self) -> Program[None]:
        """Pauses after an answer that came too early, so that no node is asked all the time."""
        if self._clock.monotonic() - self._asked_at >= self._asked_s / 2 > 0:
            self._polls = 0
            return
        self._polls += 1
        if self._polls == 1:
            return
        pause_s = poll_s(self._polls - 1, fraction=self._clock.fraction())
        if self._until is not None:
            pause_s = min(pause_s, max(0.0, self._until - self._clock.monotonic()))
        yield Pause(pause_s)

    def bears(self, error: errors.TqError) -> bool:
        """Whether the wait goes on after this: a node that was heard may restart, or another take over."""
        if self._heard_at is None or not isinstance(error, errors.TqUnavailable | errors.Busy):
            return False
        return self._until is not None or self._clock.monotonic() - self._heard_at < AWAY_S


class Endings:
    """The programs.

    Args:
        exchange: carries out the calls.
        clock: time and chance.
    """

    def __init__(self, exchange: Exchange, clock: Clock) -> None:
        self._exchange = exchange
        self._clock = clock
        self._wait_s = WAIT_S

    def wait(self, ids: Iterable[str], *, timeout_s: float | None) -> Program[list[wire.Task]]:
        # All are to be final, so it is enough to wait for the first that is not: the others are looked at
        # once each when their turn comes.
        wanted = list(ids)
        patience = Patience(self._clock, timeout_s)
        tasks: list[wire.Task] = []
        while len(tasks) < len(wanted):
            ask = partial(calls.get, wanted[len(tasks)])
            task = yield from self._ended(ask, task_ended, patience)
            if not task_ended(task):
                unfinished = yield from self._unfinished(wanted[len(tasks) :])
                raise errors.WaitTimeout(unfinished, timeout_s=timeout_s or 0.0)
            tasks.append(task)
        return tasks

    def wait_batch(self, batch_id: str, *, timeout_s: float | None) -> Program[wire.Batch]:
        patience = Patience(self._clock, timeout_s)
        found = yield from self._ended(partial(batch_calls.batch, batch_id), batch_ended, patience)
        if not batch_ended(found):
            raise errors.WaitTimeout([batch_id], timeout_s=timeout_s or 0.0, what="batch")
        return found

    def result(self, task_id: str, *, timeout_s: float | None) -> Program[wire.Task]:
        """The task, which has succeeded and has what its result was."""
        (task,) = yield from self.wait([task_id], timeout_s=timeout_s)
        if task.state == "dead":
            raise errors.TaskDead(task)
        if task.state == "cancelled":
            raise errors.TaskCancelled(task)
        if task.result_expired:
            raise errors.ResultExpired(task)
        return task

    def lines(self, task_id: str, *, after: str | None, follow: bool) -> Program[None]:
        """Emits log lines."""
        patience = Patience(self._clock, None)
        cursor = after
        while True:
            wait_s = patience.ask_s(self._wait_s) if follow else 0.0
            call = waiting_calls.log_page(task_id, after=cursor, limit=None, wait_s=wait_s)
            page = yield from self._ask(call, patience)
            if page is None:
                yield from patience.rest()
                continue
            for line in page.lines:
                yield Emit(line)
            cursor = page.next_cursor
            if page.ended or not (page.lines or follow):
                return
            if not page.lines:
                yield from patience.rest()

    def _ended(
        self, ask: Callable[..., calls.Call[T]], ended: Callable[[T], bool], patience: Patience
    ) -> Program[T]:
        """What is asked for when it has ended, or as it stands when the wait is over."""
        while True:
            wait_s = patience.ask_s(self._wait_s)
            last = patience.over
            found = yield from self._ask(ask(wait_s=wait_s), patience)
            if found is not None and (ended(found) or last or patience.over):
                return found
            yield from patience.rest()

    def _ask(self, call: calls.Call[T], patience: Patience) -> Program[T | None]:
        """The answer; None when it has to be asked for again."""
        try:
            answer = yield from self._exchange.run(call)
        except errors.InvalidField as error:
            # This node holds answers back for less long than most do.
            if error.field != "wait_s" or not isinstance(error.limit, int | float):
                raise
            if not 0 <= error.limit < self._wait_s:
                raise
            self._wait_s = float(error.limit)
            return None
        except errors.TqError as error:
            if patience.over or not patience.bears(error):
                raise
            return None
        patience.heard()
        return answer

    def _unfinished(self, ids: list[str]) -> Program[list[str]]:
        unfinished = []
        for task_id in ids:
            task = yield from self._exchange.run(calls.get(task_id))
            if not task_ended(task):
                unfinished.append(task_id)
        return unfinished
