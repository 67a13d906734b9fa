"""Claims as many tasks as there is room for, several in a request, by long poll."""

import threading
from collections.abc import Callable, Sequence

from tq.clock import Clock
from tq.errors import TqError
from tq.wire import Claim, ClaimedTask
from tq.worker.desk import Desk
from tq.worker.identity import Identity
from tq.worker.link import Link, may_pass, unauthorised
from tq.worker.log import facts, logger
from tq.worker.pace import Backoff
from tq.worker.room import Room

_log = logger()

CLAIM_MAX = 1_000
_WAIT_S = 30.0


class Claimer:
    """Asks the node for tasks from its own thread, and hands them to the desk.

    Args:
        link: this thread's own line to the node.
        clock: monotonic time and chance.
        identity: who claims.
        room: says how many tasks to ask for, and when.
        desk: takes the tasks.
        queues: to claim from, in this order.
        kinds: what to ask for; None asks for every kind.
        lease_s: seconds of lease to ask for; None leaves it to each task.
        claimed: called with the tasks of every claim, once they are in hand.
        refused: called when the node refuses the worker itself.
    """

    def __init__(
        self,
        link: Link,
        clock: Clock,
        *,
        identity: Identity,
        room: Room,
        desk: Desk,
        queues: Sequence[str],
        kinds: Sequence[str] | None,
        lease_s: float | None,
        claimed: Callable[[Sequence[ClaimedTask]], None],
        refused: Callable[[TqError], None],
    ) -> None:
        self._link = link
        self._clock = clock
        self._identity = identity
        self._room = room
        self._desk = desk
        self._queues = list(queues)
        self._kinds = None if kinds is None else list(kinds)
        self._lease_s = lease_s
        self._claimed = claimed
        self._refused = refused
        self._backoff = Backoff(clock)
        self._closing = threading.Event()

    def close(self) -> None:
        """Claims no more; a long poll that waits is broken off. Any thread may call this."""
        self._closing.set()
        self._room.close()
        self._link.break_off()

    def run(self) -> None:
        """The thread's work, until :meth:`close`."""
        while free := self._room.wait_for_some():
            try:
                tasks = self._link.claim(self._ask(free))
            except TqError as error:
                if not self._closing.is_set():
                    self._wait(error)
                continue
            self._backoff.reset()
            if tasks:
                self._hand_over(tasks)
        self._link.close()

    def _ask(self, free: int) -> Claim:
        return Claim(
            queues=self._queues,
            kinds=self._kinds,
            max=min(free, CLAIM_MAX),
            wait_s=_WAIT_S,
            lease_s=self._lease_s,
            worker=self._identity.id,
        )

    def _hand_over(self, tasks: Sequence[ClaimedTask]) -> None:
        attempts = self._desk.take(tasks, received_at=self._clock.monotonic())
        self._claimed(tasks)
        if self._closing.is_set():
            # They were on their way when the worker was told to go.
            for attempt in attempts:
                self._desk.ended(attempt, None)
            return
        self._desk.start(attempts)

    def _wait(self, error: TqError) -> None:
        wait_s = self._backoff.next_s(at_least_s=error.retry_after_s)
        if unauthorised(error):
            self._refused(error)
        if self._backoff.tries == 1:
            level = _log.warning if may_pass(error) else _log.error
            level("claim failed; trying again", extra=facts(code=error.code, error=str(error)))
        self._closing.wait(wait_s)
