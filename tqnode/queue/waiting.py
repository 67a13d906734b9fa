"""Claims that wait for tasks: each new task wakes one claim that can take it, not all of them.

Nothing else looks after such a task, so a wake must not get lost: a claim that was woken and does not
take the task, for whatever reason but that it is gone, passes the wake on.
"""

import asyncio
from collections.abc import Sequence

from tqnode.errors import Overloaded
from tqnode.store.effects import Effects
from tqnode.task import Ask, ClaimedTask

Task = tuple[str, str | None, int]
"""Queue, kind (None: any) and priority of the task a claim was woken for."""
Signature = tuple[tuple[str, ...], frozenset[str] | None, int]
"""What a claim asks for: its queues, kinds and lowest priority."""


class Probe:
    """A slot or a token that tasks may have which were held back: for which claims, looking at them shows.

    Args:
        queue: theirs; None for any.
        key: their limit key; None for any.

    Attributes:
        tried: what the claims asked for that have looked in vain; others that ask for the same would too.
    """

    __slots__ = ("key", "queue", "tried")

    def __init__(self, queue: str | None, key: str | None) -> None:
        self.queue = queue
        self.key = key
        self.tried: set[Signature] = set()


Cause = Task | Probe


class Waiter:
    """One waiting claim.

    Args:
        ask: what it asks for.

    Attributes:
        cause: the task it was woken for since it last stood in line.
        owed: the task it was woken for before, which it looks for now.
    """

    __slots__ = ("ask", "cause", "kinds", "owed", "signature", "woken")

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.kinds = None if ask.kinds is None else frozenset(ask.kinds)
        self.signature: Signature = (ask.queues, self.kinds, ask.min_priority)
        self.woken = asyncio.Event()
        self.cause: Cause | None = None
        self.owed: Cause | None = None

    def takes(self, kind: str | None, priority: int) -> bool:
        """Whether such a task would be claimed by it."""
        suits = kind is None or self.kinds is None or kind in self.kinds
        return suits and priority >= self.ask.min_priority


class Waiting:
    """The waiting claims by queue, longest waiting first. A woken one stands in no line.

    Args:
        limit: how many may wait.
    """

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._lines: dict[str, dict[Waiter, None]] = {}
        self._resting: dict[Waiter, None] = {}
        self._count = 0
        self._draining = False

    def __len__(self) -> int:
        return self._count

    @property
    def draining(self) -> bool:
        """Whether nobody is to wait any more."""
        return self._draining

    def join(self, ask: Ask) -> Waiter:
        """Puts a claim in the lines of its queues.

        Raises:
            Overloaded: too many wait already.
        """
        if self._count >= self._limit:
            raise Overloaded(f"{self._limit} claims wait already", retry_after_s=5.0)
        waiter = Waiter(ask)
        self._count += 1
        self.stand(waiter)
        return waiter

    def stand(self, waiter: Waiter) -> None:
        """Puts a woken claim, which is about to look again, at the end of its lines."""
        self._resting.pop(waiter, None)
        waiter.woken.clear()
        waiter.owed, waiter.cause = waiter.cause, None
        for queue in waiter.ask.queues:
            self._lines.setdefault(queue, {})[waiter] = None
        if self._draining:
            self._wake(waiter, None)

    def looked(self, waiter: Waiter, tasks: Sequence[ClaimedTask] | None) -> None:
        """Notes what a claim found: None that its worker gets nothing until it is told to run."""
        if tasks is None:
            self._rest(waiter)
        elif not tasks and isinstance(waiter.owed, Probe):
            probe, waiter.owed = waiter.owed, None
            self._probe(probe)
        elif not tasks or any(_is_of(waiter.owed, task) for task in tasks):
            # Had it found nothing else, it would have taken the task, were it still there.
            waiter.owed = None

    def leave(self, waiter: Waiter) -> None:
        """Ends a claim's waiting; the wakes that it made no use of go to others."""
        self._count -= 1
        self._resting.pop(waiter, None)
        self._step_out(waiter)
        self._pass_on(waiter)

    def wake(self, effects: Effects) -> None:
        """Wakes one claim for each task that became claimable, and those whose queue or worker may go on."""
        for cause in effects.ready:
            if not self._lines:
                break
            self.wake_one(*cause)
        for freed in effects.freed:
            if not self._lines:
                break
            self._probe(Probe(*freed))
        for queue in effects.resumed:
            for waiter in self._all() if queue is None else list(self._lines.get(queue, ())):
                self._wake(waiter, None)
        if effects.steered:
            for waiter in self._all():
                if waiter.ask.worker in effects.steered:
                    self._wake(waiter, None)

    def wake_one(self, queue: str, kind: str | None, priority: int) -> None:
        """Wakes the claim that waits longest among those that would take such a task."""
        for waiter in self._lines.get(queue, ()):
            if waiter.takes(kind, priority):
                self._wake(waiter, (queue, kind, priority))
                return

    def _probe(self, probe: Probe) -> None:
        """Wakes the claim that waits longest among those that ask for what none has looked for yet."""
        lines = self._lines.values() if probe.queue is None else [self._lines.get(probe.queue, {})]
        for line in lines:
            for waiter in line:
                if waiter.signature not in probe.tried:
                    probe.tried.add(waiter.signature)
                    self._wake(waiter, probe)
                    return

    def wake_all(self) -> None:
        """Has every claim look again: what became claimable was not announced."""
        for waiter in self._all():
            self._wake(waiter, None)

    def drain(self) -> None:
        """Wakes all, now and in future: the node is stopping."""
        self._draining = True
        self.wake_all()

    def _all(self) -> list[Waiter]:
        lines = [*self._lines.values(), self._resting]
        return list(dict.fromkeys(waiter for line in lines for waiter in line))

    def _rest(self, waiter: Waiter) -> None:
        """Takes a claim out of its lines until its worker may go on."""
        if waiter.woken.is_set() and waiter.cause is None:
            return  # It was told so while it looked.
        self._step_out(waiter)
        self._resting[waiter] = None
        waiter.woken.clear()
        self._pass_on(waiter)

    def _pass_on(self, waiter: Waiter) -> None:
        causes = (waiter.owed, waiter.cause)
        waiter.owed = waiter.cause = None
        for cause in causes:
            if isinstance(cause, Probe):
                # It did not look for that, or took something else: another of its kind may find it.
                cause.tried.discard(waiter.signature)
                self._probe(cause)
            elif cause is not None:
                self.wake_one(*cause)

    def _wake(self, waiter: Waiter, cause: Cause | None) -> None:
        self._step_out(waiter)
        waiter.cause = cause
        waiter.woken.set()

    def _step_out(self, waiter: Waiter) -> None:
        for queue in waiter.ask.queues:
            line = self._lines.get(queue)
            if line is not None and line.pop(waiter, waiter) is None and not line:
                del self._lines[queue]


def _is_of(cause: Cause | None, task: ClaimedTask) -> bool:
    """Whether the claimed task is as good as the one the claim was woken for."""
    if cause is None:
        return True
    if isinstance(cause, Probe):
        return cause.queue in (None, task.queue) and cause.key in (None, task.limit_key)
    queue, kind, priority = cause
    return task.queue == queue and kind in (None, task.kind) and task.priority == priority
