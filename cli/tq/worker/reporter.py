"""Tells the node how attempts ended: many in a request, again and again until it has an answer."""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from tq.clock import Clock
from tq.errors import ApiError, TqError, TqUnavailable
from tq.refusals import from_problem
from tq.wire import NewLines, Outcome
from tq.worker.attempt import Attempt
from tq.worker.held import Held
from tq.worker.link import Link, may_pass, unauthorised
from tq.worker.log import facts, logger
from tq.worker.outcome import failed
from tq.worker.pace import Backoff
from tq.worker.room import Room

_log = logger()
_encode = msgspec.json.Encoder().encode
_GONE = ("lease_lost", "task_not_found")
_HELD_UP = "outcomes the node does not take"

BATCH_MAX = 100
BACKLOG_MAX = 1_000
"""Outcomes the node has not taken, beyond which nothing more is claimed."""
BATCH_BYTES_MAX = 4 * 1024 * 1024


class Report(NamedTuple):
    """How one attempt ended, as JSON."""

    attempt: Attempt
    row: bytes
    log: NewLines | None = None
    replaced: bool = False
    """Whether this stands in for an outcome that the node refused."""


class Reporter:
    """Collects outcomes and reports them from its own thread.

    Nothing is lost while the node is away: an outcome is kept, its lease heartbeated, and tried
    again until the node takes it or says the lease is lost. What is kept is bounded, since the
    worker claims nothing while more than ``BACKLOG_MAX`` wait.

    Args:
        link: this thread's own line to the node.
        clock: monotonic time and chance.
        held: where attempts the node has answered are let go.
        room: held up while too many outcomes wait for the node.
        refused: called when the node refuses the worker itself.
    """

    def __init__(
        self,
        link: Link,
        clock: Clock,
        *,
        held: Held,
        room: Room,
        refused: Callable[[TqError], None],
    ) -> None:
        self._link = link
        self._clock = clock
        self._held = held
        self._room = room
        self._refused = refused
        self._inbox: queue.SimpleQueue[Report | None] = queue.SimpleQueue()
        self._kept: list[Report] = []
        self._backoff = Backoff(clock)
        self._closing = threading.Event()
        self._wake = threading.Event()
        self._not_reached = False
        self._until: float | None = None
        self._taken = 0

    @property
    def backlog(self) -> int:
        """Outcomes the node has not answered yet."""
        return self._inbox.qsize() + len(self._kept)

    @property
    def taken(self) -> int:
        """Outcomes the node has taken so far."""
        return self._taken

    def put(self, attempt: Attempt, outcome: Outcome) -> None:
        """Reports ``outcome``, soon. Any thread may call this."""
        outcome.log = attempt.lines.close()
        self._inbox.put(Report(attempt, _encode(outcome), outcome.log))

    def node_is_back(self) -> None:
        """Another thread has reached the node: no need to wait before it is tried again."""
        if self._not_reached:
            self._wake.set()

    def close(self, *, until: float) -> None:
        """Lets the thread end: when all is reported, at the latest at monotonic ``until``."""
        self._until = until
        self._closing.set()
        self._wake.set()
        self._inbox.put(None)

    def run(self) -> None:
        """The thread's work, until :meth:`close`."""
        while self._gather():
            while self._kept and not self._deliver():
                if self._given_up():
                    break
        self._link.close()
        while self._kept:
            for report in self._kept:
                _log.error(
                    "outcome not reported: the node will have the task run again", extra=_about(report)
                )
            self._kept.clear()
            self._collect()

    def _gather(self) -> bool:
        """Waits for outcomes; False when the thread should end."""
        if self._given_up():
            return False
        if not self._kept:
            # The wake-up call of close() may have been collected along with the last outcomes.
            if self._closing.is_set() and self._inbox.empty():
                return False
            report = self._inbox.get()
            if report is not None:
                self._kept.append(report)
        self._collect()
        return True

    def _collect(self) -> None:
        # What has come in meanwhile goes along: the busier the worker, the fuller the requests.
        while len(self._kept) < BATCH_MAX:
            try:
                report = self._inbox.get_nowait()
            except queue.Empty:
                return
            if report is not None:
                self._kept.append(report)

    def _given_up(self) -> bool:
        return self._until is not None and self._clock.monotonic() >= self._until

    def _deliver(self) -> bool:
        """Sends what is kept; False when that has to be tried again, after a wait that is over then."""
        batch = _batch(self._kept)
        try:
            self._send(batch)
        except TqError as error:
            self._wait(error)
            self._collect()
            return False
        if self._backoff.tries:
            self._backoff.reset()
            self._room.go_on(_HELD_UP)
        return True

    def _send(self, batch: Sequence[Report]) -> None:
        """Reports a batch; halves it when the node refuses it whole, down to the one at fault.

        Raises:
            TqError: the node could not take it now; what it has not taken is still kept.
        """
        try:
            answers = self._link.outcomes([report.row for report in batch])
        except TqError as error:
            if may_pass(error) or unauthorised(error):
                raise
            if len(batch) == 1:
                self._replace(batch[0], error)
                return
            self._send(batch[: len(batch) // 2])
            self._send(batch[len(batch) // 2 :])
            return
        later: TqError | None = None
        over = []
        for report, answer in zip(batch, answers, strict=True):
            refusal = None if answer.error is None else from_problem(answer.error)
            if refusal is None:
                over.append(report)
            elif may_pass(refusal):
                later = refusal
            elif refusal.code in _GONE:
                over.append(report)
                _log.warning("lease lost: the outcome is dropped", extra=_about(report, refusal))
            else:
                self._replace(report, refusal)
        self._let_go(over)
        if later is not None:
            raise later

    def _replace(self, report: Report, error: TqError) -> None:
        """An outcome the node will never take, such as a result over its limit, becomes a failure."""
        if report.replaced:
            _log.error("the node takes no outcome for this task", extra=_about(report, error))
            self._let_go((report,))
            return
        _log.warning("the node refused an outcome: reported as a failure", extra=_about(report, error))
        refusal = failed(
            report.attempt,
            type_name="OutcomeRefused",
            message=f"the node refused what the handler returned: {error} ({error.code})",
            retry=False,
        )
        refusal.log = report.log
        self._kept[self._kept.index(report)] = Report(
            report.attempt, _encode(refusal), report.log, replaced=True
        )

    def _let_go(self, reports: Sequence[Report]) -> None:
        self._taken += len(reports)
        over = {id(report.attempt) for report in reports}
        self._kept = [report for report in self._kept if id(report.attempt) not in over]
        self._held.remove(report.attempt for report in reports)

    def _wait(self, error: TqError) -> None:
        wait_s = self._backoff.next_s(at_least_s=error.retry_after_s)
        if self._backoff.tries == 1:
            _log.warning(
                "outcomes are kept until the node takes them",
                extra=facts(kept=self.backlog, code=error.code, error=str(error)),
            )
        if unauthorised(error):
            self._refused(error)
        if self.backlog > BACKLOG_MAX:
            self._room.hold_up(_HELD_UP)
        if self._until is not None:
            wait_s = min(wait_s, max(0.0, self._until - self._clock.monotonic()))
        self._not_reached = isinstance(error, TqUnavailable)
        self._wake.wait(wait_s)
        self._wake.clear()
        self._not_reached = False


def _batch(kept: Sequence[Report]) -> list[Report]:
    size = 0
    for count, report in enumerate(kept):
        size += len(report.row)
        if count and size > BATCH_BYTES_MAX:
            return list(kept[:count])
    return list(kept)


def _about(report: Report, error: TqError | None = None) -> dict[str, object]:
    task = report.attempt.task
    code = error.code if isinstance(error, ApiError) else None
    return facts(task=task.id, kind=task.kind, attempt=task.attempt, code=code)
