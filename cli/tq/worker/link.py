"""What a worker asks of its node: register, claim, heartbeat, report, say good-bye."""

import threading
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from tq import calls
from tq.errors import (
    ApiError,
    DiskFull,
    Draining,
    NoLeader,
    NotLeader,
    OutcomeUnknown,
    TqError,
    TqUnavailable,
)
from tq.refusals import from_bytes, from_problem
from tq.targets import Targets
from tq.wire import (
    Claim,
    ClaimedTask,
    HeldLease,
    NewWorker,
    OutcomeAnswer,
    Problem,
    Registered,
    WorkerHeartbeatAnswer,
)
from tq.worker.connection import Answer, Connection, NotReached

T = TypeVar("T")

_problem = msgspec.json.Decoder(Problem).decode

# How much longer than a long poll's own wait its answer may take before the node counts as away.
_POLL_SLACK_S = 10.0
_REDIRECTS_MAX = 5


class _Elsewhere(Exception):
    """The node did nothing; another may.

    Args:
        error: what is to be told when no other is left.
    """

    def __init__(self, error: TqError) -> None:
        super().__init__(error)
        self.error = error


class Link:
    """One thread's line to the node.

    Args:
        targets: the nodes, and the one in use; shared with the worker's other lines.
        token: of the API, or None.
        timeout_s: seconds without an answer after which the node counts as away.

    Every call raises :class:`tq.errors.TqError`: ``TqUnavailable`` when there was no answer,
    ``OutcomeUnknown`` when the node says so itself, an ``ApiError`` for a refusal. A node that certainly
    does nothing, since it cannot be reached or does not lead, is passed over for the next; each is asked
    once. More is not repeated here: each caller knows best how long its question is worth asking.
    """

    def __init__(self, targets: Targets, *, token: str | None, timeout_s: float = 10.0) -> None:
        self._targets = targets
        self._token = token
        self._timeout_s = timeout_s
        self._mutex = threading.Lock()
        self._connection: Connection | None = None
        self._broken_off = False

    def register(self, worker: NewWorker) -> Registered:
        """Makes this process known; its id is new each time."""
        return self._carry_out(calls.register_worker(worker))

    def deregister(self, worker_id: str) -> None:
        """Says good-bye."""
        self._carry_out(calls.remove_worker(worker_id))

    def claim(self, claim: Claim) -> list[ClaimedTask]:
        """Waits up to ``claim.wait_s`` for up to ``claim.max`` tasks."""
        return self._carry_out(calls.claim(claim), timeout_s=claim.wait_s + _POLL_SLACK_S)

    def outcomes(self, rows: Sequence[bytes]) -> list[OutcomeAnswer]:
        """Reports how attempts ended, each already JSON; answers come in the same order. Safe to repeat."""
        return self._carry_out(calls.outcome_rows(rows))

    def heartbeat(
        self, worker_id: str, leases: Sequence[HeldLease], *, timeout_s: float
    ) -> WorkerHeartbeatAnswer:
        """Renews the worker and its leases; a late answer is worth nothing, hence its own ``timeout_s``."""
        return self._carry_out(calls.worker_heartbeat(worker_id, leases), timeout_s=timeout_s)

    def break_off(self) -> None:
        """Ends the call another thread is in, and any later one, without losing tasks on their way."""
        with self._mutex:
            self._broken_off = True
            if self._connection is not None:
                self._connection.break_off()

    def cut_off(self) -> None:
        """As :meth:`break_off`, for a node that does not react to it."""
        with self._mutex:
            if self._connection is not None:
                self._connection.cut_off()

    def close(self) -> None:
        """Closes the line; the next call opens it again."""
        with self._mutex:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _carry_out(self, call: calls.Call[T], *, timeout_s: float | None = None) -> T:
        for _ in self._targets.urls:
            try:
                return self._ask(call, timeout_s or self._timeout_s)
            except _Elsewhere as elsewhere:
                error = elsewhere.error
                if self._broken_off:
                    break
        raise error

    def _ask(self, call: calls.Call[T], timeout_s: float) -> T:
        """Asks the node in use, or the leader that it names.

        Raises:
            _Elsewhere: it certainly did nothing.
            TqError: any other error.
        """
        seen: set[str] = set()
        while (url := self._targets.current) not in seen and len(seen) <= _REDIRECTS_MAX:
            seen.add(url)
            answer = self._exchange(url, call, timeout_s)
            if answer.location is None:
                return self._read(url, call, answer)
            try:
                self._targets.redirected(url=url + call.path, location=answer.location, path=call.path)
            except ValueError as error:
                raise TqUnavailable(str(error)) from error
        self._targets.failed(url)
        raise _Elsewhere(TqUnavailable(f"{url}: the nodes send each other's callers round by redirects"))

    def _exchange(self, url: str, call: calls.Call[T], timeout_s: float) -> Answer:
        try:
            return self._to(url).exchange(call.method, call.path, call.body, timeout_s=timeout_s)
        except NotReached as error:
            self._targets.failed(url)
            away = TqUnavailable(f"{url}: {error}")
            if error.sent:
                raise away from error
            raise _Elsewhere(away) from error

    def _read(self, url: str, call: calls.Call[T], answer: Answer) -> T:
        try:
            return _read(url, call, answer)
        except (NoLeader, NotLeader, Draining, DiskFull) as error:
            self._targets.failed(url)
            raise _Elsewhere(error) from error

    def _to(self, url: str) -> Connection:
        with self._mutex:
            if self._broken_off:
                raise NotReached("broken off", sent=False)
            if self._connection is None or self._connection.url != url:
                if self._connection is not None:
                    self._connection.close()
                self._connection = Connection(url, token=self._token, connect_s=min(5.0, self._timeout_s))
            return self._connection


def _read(url: str, call: calls.Call[T], answer: Answer) -> T:
    if not 200 <= answer.status < 300:
        try:
            raise from_problem(_problem(answer.body))
        except msgspec.MsgspecError:
            raise from_bytes(answer.body, status=answer.status, url=url) from None
    try:
        return call.read(answer.body)
    except msgspec.MsgspecError as error:
        raise from_bytes(answer.body, status=answer.status, url=url) from error


def may_pass(error: TqError) -> bool:
    """Whether the same request may do later: the node is away, busy or failing, not refusing.

    What does not come in a node's own words comes from something in front of it, and is no refusal.
    """
    if not isinstance(error, ApiError):
        return isinstance(error, TqUnavailable | OutcomeUnknown)
    if isinstance(error, NotLeader):
        return True
    return error.problem is None or error.problem.status >= 500 or error.problem.status in (408, 429)


def unauthorised(error: TqError) -> bool:
    """Whether the node refuses this worker itself, which no waiting helps."""
    return isinstance(error, ApiError) and error.status in (401, 403)
