"""Claims as many tasks as there is room for, several in a request, by long poll."""

import threading
from collections.abc import Callable, Sequence

from tq.clock import Clock
from tq.errors import InvalidField, TqError
from tq.wire import Claim, ClaimedTask
from tq.worker.desk import Desk
from tq.worker.identity import Identity
from tq.worker.link import Link, may_pass, unauthorised
from tq.worker.log import facts, logger
from tq.worker.pace import Backoff
from tq.worker.room import Room

_log = logger()

CLAIM_MAX = 1_000
WAIT_S = 20.0
"""How long a claim waits for its first task; below what proxies let an answer take."""
WAIT_OF_SEVERAL_S = 5.0
"""The same where another node may take over: a claim at one that hangs is soon given up."""


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
        wait_s: seconds that a claim waits for its first task.
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
        wait_s: float = WAIT_S,
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
        self._most = CLAIM_MAX
        self._wait_s = wait_s
        self._backoff = Backoff(clock)
        self._closing = threading.Event()

    def close(self) -> None:
        """Claims no more; a long poll that waits is broken off. Any thread may call this."""
        self._closing.set()
        self._room.close()
        self._link.break_off()

    def cut_off(self) -> None:
        """Gives up waiting for a node that does not react to :meth:`close`."""
        self._link.cut_off()

    def run(self) -> None:
        """The thread's work, until :meth:`close`."""
        while free := self._room.wait_for_some():
            asked_at = self._clock.monotonic()
            try:
                tasks = self._link.claim(self._ask(free))
            except TqError as error:
                if not self._closing.is_set():
                    self._wait(error)
                continue
            if tasks:
                self._backoff.reset()
                self._hand_over(tasks)
            elif self._clock.monotonic() - asked_at < self._wait_s / 2:
                # It did not wait for tasks as long as asked: a node that stops, or has made us quiet.
                self._closing.wait(self._backoff.next_s())
            else:
                self._backoff.reset()
        self._link.close()

    def _ask(self, free: int) -> Claim:
        return Claim(
            queues=self._queues,
            kinds=self._kinds,
            max=min(free, self._most),
            wait_s=self._wait_s,
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
        if self._fits_now(error):
            return
        wait_s = self._backoff.next_s(at_least_s=error.retry_after_s)
        if unauthorised(error):
            self._refused(error)
        if self._backoff.tries == 1:
            level = _log.warning if may_pass(error) else _log.error
            level("claim failed; trying again", extra=facts(code=error.code, error=str(error)))
        self._closing.wait(wait_s)

    def _fits_now(self, error: TqError) -> bool:
        """Whether the node has limits of its own for what was asked, which are kept from now on."""
        if not isinstance(error, InvalidField) or not isinstance(error.limit, int | float):
            return False
        if error.field == "max" and 1 <= error.limit < self._most:
            self._most = int(error.limit)
        elif error.field == "wait_s" and 0 <= error.limit < self._wait_s:
            self._wait_s = float(error.limit)
        else:
            return False
        return True
