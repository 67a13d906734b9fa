"""Keeps every lease alive, from a thread of its own that no handler can hold up."""

import threading
from collections.abc import Callable, Sequence

from msgspec import UNSET

from tq.clock import Clock
from tq.errors import BadRequest, TqError, WorkerNotFound
from tq.wire import HeldLease, LeaseStatus, NewLines, WorkerHeartbeatAnswer, WorkerState
from tq.worker.attempt import Attempt, Stop
from tq.worker.desk import Desk
from tq.worker.held import Held
from tq.worker.identity import Identity
from tq.worker.link import Link, unauthorised
from tq.worker.log import facts, logger
from tq.worker.pace import Backoff

_log = logger()

LEASES_MAX = 1_000
"""Leases in one request; a worker with more sends several."""
LINES_CHARS_MAX = 1024 * 1024
"""Characters of log lines in one request."""
TELL_EVERY_S = 0.5
"""What handlers tell meanwhile is sent this often at most."""
_BEATS_PER_LEASE = 3
_BEAT_MIN_S = 0.05
_ANSWER_MIN_S = 1.0
_ANSWER_MAX_S = 10.0


class Heart:
    """Heartbeats the worker and all its leases, and hears what the node wants of them.

    It beats every ``heartbeat_s`` of the registration, and three times in the shortest lease held. Between
    beats it tells the node the progress and the log lines of those tasks that have some.

    Args:
        link: this thread's own line to the node.
        clock: monotonic time and chance.
        identity: who to beat as; renewed when the node no longer knows it.
        held: the leases to renew.
        desk: told of lost leases and cancelled tasks.
        steered: called with each state the node answers.
        refused: called when the node refuses the worker itself.
    """

    def __init__(
        self,
        link: Link,
        clock: Clock,
        *,
        identity: Identity,
        held: Held,
        desk: Desk,
        steered: Callable[[WorkerState], None],
        refused: Callable[[TqError], None],
    ) -> None:
        self._link = link
        self._clock = clock
        self._identity = identity
        self._held = held
        self._desk = desk
        self._steered = steered
        self._refused = refused
        self._backoff = Backoff(clock)
        self._closing = threading.Event()
        self._changed = threading.Condition()
        self._due_at = 0.0
        self._tell_at: float | None = None
        self._told_at = clock.monotonic() - TELL_EVERY_S

    def tell(self) -> None:
        """A handler has told something: it goes to the node soon. Any thread may call this."""
        if self._tell_at is not None:
            return
        with self._changed:
            self._tell_at = self._told_at + TELL_EVERY_S
            self._changed.notify()

    def hurry(self, lease_s: float) -> None:
        """A lease of ``lease_s`` seconds came in: the next beat will be in time for it."""
        due_at = self._clock.monotonic() + lease_s / _BEATS_PER_LEASE
        with self._changed:
            if due_at < self._due_at:
                self._due_at = due_at
                self._changed.notify()

    def close(self) -> None:
        """Lets the thread end."""
        self._closing.set()
        with self._changed:
            self._changed.notify()

    def run(self) -> None:
        """The thread's work, until :meth:`close`."""
        while not self._closing.is_set():
            try:
                self._beat()
                self._backoff.reset()
                self._rest(self._interval_s())
            except WorkerNotFound:
                self._register_again()
                self._rest(self._backoff.next_s())
            except TqError as error:
                self._rest(self._after(error))
        self._link.close()

    def _interval_s(self) -> float:
        shortest = min((attempt.task.lease_s for attempt in self._held.all()), default=None)
        interval_s = self._identity.heartbeat_s
        if shortest is not None:
            interval_s = min(interval_s, shortest / _BEATS_PER_LEASE)
        return max(interval_s, _BEAT_MIN_S)

    def _rest(self, seconds: float) -> None:
        with self._changed:
            # A lease that came in since the beat found no due time to bring forward.
            self._due_at = self._clock.monotonic() + min(seconds, self._interval_s())
        while self._wait():
            self._tell_now()

    def _wait(self) -> bool:
        """Waits for the next beat; True when there is something to tell before."""
        with self._changed:
            while not self._closing.is_set():
                now = self._clock.monotonic()
                if self._due_at <= now:
                    return False
                wake_at = self._due_at if self._tell_at is None else min(self._due_at, self._tell_at)
                if wake_at <= now:
                    return True
                self._changed.wait(wake_at - now)
            return False

    def _tell_now(self) -> None:
        """Sends what handlers have told; what the node does not take now goes with the next beat."""
        with self._changed:
            self._tell_at, self._told_at = None, self._clock.monotonic()
        attempts = [attempt for attempt in self._held.all() if attempt.has_news]
        try:
            for first in range(0, len(attempts), LEASES_MAX):
                self._beat_some(attempts[first : first + LEASES_MAX], self._answer_s())
        except TqError as error:
            _log.debug("could not tell the node", extra=facts(code=error.code, error=str(error)))

    def _answer_s(self) -> float:
        return min(max(self._interval_s(), _ANSWER_MIN_S), _ANSWER_MAX_S)

    def _after(self, error: TqError) -> float:
        if unauthorised(error):
            self._refused(error)
        wait_s = self._backoff.next_s(at_least_s=error.retry_after_s)
        if self._backoff.tries == 1:
            _log.warning(
                "heartbeat failed; the tasks go on",
                extra=facts(code=error.code, error=str(error), leases=len(self._held)),
            )
        return wait_s

    def _register_again(self) -> None:
        _log.warning("the node does not know this worker any more", extra=facts(worker=self._identity.id))
        try:
            registered = self._identity.register(self._link, self._closing)
        except TqError as error:
            self._rest(self._after(error))
            return
        if registered is not None:
            self._steered(registered.state)

    def _beat(self) -> None:
        attempts = self._held.all()
        answer_s = self._answer_s()
        for first in range(0, max(len(attempts), 1), LEASES_MAX):
            self._beat_some(attempts[first : first + LEASES_MAX], answer_s)

    def _beat_some(self, attempts: Sequence[Attempt], answer_s: float) -> None:
        progress = [attempt.unsent_progress() for attempt in attempts]
        lines = _lines_of(attempts)
        leases = [
            HeldLease(
                id=attempt.task.id,
                token=attempt.task.token,
                progress=UNSET if newest is None else newest,
                log=log,
            )
            for attempt, newest, log in zip(attempts, progress, lines, strict=True)
        ]
        answer = self._ask(leases, answer_s)
        received_at = self._clock.monotonic()
        by_id = {status.id: status for status in answer.leases}
        for attempt, newest, log in zip(attempts, progress, lines, strict=True):
            status = by_id.get(attempt.task.id)
            if status is None:
                continue
            if newest is not None and status.status != "lost":
                attempt.progress_sent(newest)
            if log is not None and status.status != "lost":
                attempt.lines.taken(log)
            self._heed(attempt, status, received_at)
        if any(attempt.has_news for attempt in attempts):
            self.tell()
        self._steered(answer.state)

    def _ask(self, leases: list[HeldLease], answer_s: float) -> WorkerHeartbeatAnswer:
        try:
            return self._link.heartbeat(self._identity.id, leases, timeout_s=answer_s)
        except TqError as error:
            told = [lease for lease in leases if lease.progress is not UNSET or lease.log is not None]
            if not told or not isinstance(error, BadRequest):
                raise
            # What one handler tells is no reason to let every lease run out.
            _log.warning(
                "the node refused progress or log lines: they are dropped",
                extra=facts(tasks=len(told), code=error.code, error=str(error)),
            )
            bare = [HeldLease(id=lease.id, token=lease.token) for lease in leases]
            return self._link.heartbeat(self._identity.id, bare, timeout_s=answer_s)

    def _heed(self, attempt: Attempt, status: LeaseStatus, received_at: float) -> None:
        if status.status == "lost":
            self._desk.lost(attempt)
            return
        attempt.renewed(received_at=received_at)
        if status.status == "cancel":
            self._desk.stop(attempt, Stop.CANCEL)


def _lines_of(attempts: Sequence[Attempt]) -> list[NewLines | None]:
    """The log lines to send of each attempt, as many as fit into one request."""
    left = LINES_CHARS_MAX
    lines: list[NewLines | None] = []
    for attempt in attempts:
        # Those of one that has ended go with its outcome.
        told = (
            attempt.lines.unsent(chars_max=left)
            if attempt.lines and left > 0 and not attempt.settled
            else None
        )
        lines.append(told)
        left -= sum(len(line.text) for line in told.lines) if told is not None else 0
    return lines
