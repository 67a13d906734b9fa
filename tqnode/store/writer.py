"""The one writer: a thread that runs all waiting operations in one transaction, then answers them.

Two lines of waiting: requests, and background work that runs only after the requests at hand, so
that a heartbeat that has arrived is always seen before the sweep that would take its lease. Whoever
waited for a piece of background work does not wait for a second one.
"""

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import apsw

from tqnode.clock import Clock, moment
from tqnode.errors import DiskFull, Draining, OutcomeUnknown, Overloaded, TqnodeError
from tqnode.ids import seq_of
from tqnode.metrics import Metrics
from tqnode.settings import Controls
from tqnode.sql import statement
from tqnode.store.effects import Effects
from tqnode.store.gate import Gate
from tqnode.store.shown import Shown
from tqnode.store.tx import DISK_FAILURES, Tx

T = TypeVar("T")
Operation = Callable[[Tx], T]

_BEGIN = statement("begin")
_COMMIT = statement("commit")
_ROLLBACK = statement("rollback")
_SAVEPOINT = statement("savepoint")
_RELEASE = statement("release")
_ROLLBACK_SAVEPOINT = statement("rollback_savepoint")
_TIME_OF_ID = 80
GROUPS_HELD_MAX = 16
"""Groups that may be committed and not yet answered; behind them the next one grows."""
STEP_MS = 1_000
"""A wall clock this far from where the monotonic one expects it was stepped."""

logger = logging.getLogger(__name__)


class _Pending:
    """An operation, its future, and what came of it."""

    __slots__ = ("error", "future", "operation", "result")

    def __init__(self, operation: Operation[Any], future: "asyncio.Future[Any]") -> None:
        self.operation = operation
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None


class _Tainted(Exception):
    """An operation failed after it had written: the group must run again, each one on its own."""


class Writer:
    """Group commit.

    Args:
        connection: the writing connection; used by this thread alone from now on.
        clock: wall time for the operations, monotonic for the measurements.
        metrics: gets the commit times and group sizes.
        backlog_max: requests that may wait; one more is :class:`Overloaded`.
        group_max: operations in one transaction.
        gate: holds committed groups until they may be answered; None answers them at once.
        on_commit: called on the event loop after a group's answers, with its effects.
        on_step: run in a group's transaction before its operations when the wall clock was stepped since
            the last one, with by how many ms: no operation sees old and new times side by side.
        on_fatal: called from the writer's thread when the disk failed: the process must end.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        *,
        clock: Clock,
        metrics: Metrics,
        backlog_max: int,
        group_max: int,
        gate: Gate | None,
        on_commit: Callable[[Effects], None],
        on_step: Callable[[Tx, int], None],
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._metrics = metrics
        self._backlog_max = backlog_max
        self._group_max = group_max
        self._gate = gate
        self._shown = Shown()
        self._on_commit = on_commit
        self._on_step = on_step
        self._on_fatal = on_fatal
        self._requests: deque[_Pending] = deque()
        self._background: deque[_Pending] = deque()
        self._arrived = threading.Condition()
        self._asleep = self._paused = self._busy = self._closing = self._swept = False
        self._resting = 0
        self._depths: dict[str, int] = {}
        self._controls: Controls | None = None
        self._seen = moment(clock, within_s=STEP_MS / 10_000)
        self.commit_s = 0.0
        self._refusing: TqnodeError | None = None
        self._loop = asyncio.get_running_loop()
        row: Any = connection.execute(statement("read_last_task")).fetchone()
        last, packed, highest = row
        self._next_seq = highest + 1
        self._id_ms = int.from_bytes(packed, "big") >> _TIME_OF_ID if packed else 0
        if packed and seq_of(packed) != last:
            raise apsw.CorruptError(f"task {last} carries the id of another row")
        self._thread = threading.Thread(target=self._run, name="tqnode-writer", daemon=True)
        self._thread.start()

    @property
    def backlog(self) -> int:
        """Operations that wait now."""
        return len(self._requests) + len(self._background)

    def submit(self, operation: Operation[T], *, background: bool = False) -> "asyncio.Future[T]":
        """Hands an operation to the writer; cancelling the future before its turn takes it back.

        Raises:
            Overloaded: too many requests wait; background work, which is bounded by itself, is taken.
            Draining: the store is closing.
        """
        self.check_open()
        if not background and len(self._requests) >= self._backlog_max:
            raise Overloaded(f"{self._backlog_max} operations wait for the disk already")
        future: asyncio.Future[T] = self._loop.create_future()
        (self._background if background else self._requests).append(_Pending(operation, future))
        if self._asleep:
            with self._arrived:
                self._arrived.notify_all()
        return future

    async def settled(self) -> None:
        """Returns when every group that a finished read may have seen is answered.

        Raises:
            TqnodeError: one of them could not be.
        """
        await self._shown.settled()

    def check_open(self) -> None:
        """Raises the error of :meth:`refuse`, if that was called."""
        if self._refusing is not None:
            # One for all: it must not collect the frames of everybody it was raised to.
            raise self._refusing.with_traceback(None)

    def refuse(self, error: TqnodeError) -> None:
        """Takes no more operations, and tells ``error`` to who brings one; those that wait are still run."""
        if self._refusing is None:
            self._refusing = error

    def abandon(self, error: TqnodeError) -> None:
        """Takes no more operations, and tells ``error`` to those that wait too."""
        self.refuse(error)
        for line in (self._requests, self._background):
            with contextlib.suppress(IndexError):  # empty, perhaps because the writer was quicker
                while True:
                    future = line.popleft().future
                    if not future.done():
                        future.set_exception(error)

    async def pause(self) -> None:
        """Begins no more groups until :meth:`go_on`; returns when the one at hand is done."""
        with self._arrived:
            self._paused = True
        await asyncio.to_thread(self._await_rest)
        await asyncio.sleep(0)  # what the thread has handed to the loop goes first

    def _await_rest(self) -> None:
        with self._arrived:
            self._resting += 1
            self._arrived.wait_for(lambda: not self._busy)
            self._resting -= 1

    def go_on(self) -> None:
        """Ends a pause."""
        with self._arrived:
            self._paused = False
            self._arrived.notify_all()

    def may_go_on(self) -> bool:
        """Whether it need not wait, for answers to be given or for the end of a pause."""
        return not self._paused and self._shown.held < GROUPS_HELD_MAX

    async def close(self) -> None:
        """Runs what waits, then closes the connection."""
        self.refuse(Draining("the node is stopping"))
        self.go_on()
        self._closing = True
        with self._arrived:
            self._arrived.notify_all()
        await asyncio.to_thread(self._thread.join)
        with contextlib.suppress(TqnodeError):  # whom it concerns is told
            await self.settled()

    # -- the writer's thread ---------------------------------------------------------------

    def _run(self) -> None:
        try:
            while group := self._next_group():
                self._handle(group)
                self._rest()
            self._connection.close()
        except BaseException as error:
            # Whatever the state of the disk is now, no later write may be acknowledged on it.
            self._on_fatal(error)

    def _next_group(self) -> list[_Pending]:
        """Waits for work; empty once closed and drained."""
        while True:
            with self._arrived:
                self._arrived.wait_for(self.may_go_on)
                self._busy = True
            group: list[_Pending] = []
            with contextlib.suppress(IndexError):  # abandoned meanwhile
                while self._requests and len(group) < self._group_max:
                    group.append(self._requests.popleft())
                # Whoever came during one slice of background work is answered before the next one.
                self._swept = bool(self._background and not self._requests and not (group and self._swept))
                if self._swept:
                    group.append(self._background.popleft())
            group = [pending for pending in group if not pending.future.cancelled()]
            if group:
                return group
            self._rest()
            if self._closing and not self.backlog:
                return []
            with self._arrived:
                # Set before the last look: submit() reads it after it has appended.
                self._asleep = True
                if not self.backlog and not self._closing:
                    self._arrived.wait()
                self._asleep = False

    def _rest(self) -> None:
        self._busy = False
        if self._resting:  # whether or not the pause is over by now: a thread waits
            with self._arrived:
                self._arrived.notify_all()

    def _handle(self, group: list[_Pending]) -> None:
        self._shown.show()
        try:
            try:
                effects = self._transact(group, isolated=False)
            except _Tainted:
                effects = self._transact(group, isolated=True)
        except apsw.FullError:
            self._undo()
            logger.error("the disk is full: %d operations refused", len(group))
            self._fail(group, DiskFull("the disk is full", retry_after_s=5.0))
            return
        except apsw.BusyError:
            # Only BEGIN waits for others, so nothing of the group was written.
            self._undo()
            logger.error("another program holds the database: %d operations refused", len(group))
            self._fail(group, Overloaded("another program holds the database", retry_after_s=5.0))
            return
        except (apsw.ConstraintError, TqnodeError) as error:
            # A broken invariant is a bug of ours, not of the disk: nothing was committed.
            self._undo()
            logger.exception("a group of %d operations was undone", len(group))
            self._fail(group, error)
            return
        except BaseException as error:
            # The commit may or may not have reached the disk.
            unknown = OutcomeUnknown("the disk failed; the write may or may not have been made")
            self._fail(group, unknown)
            raise error
        self._deliver(group, effects)

    def _transact(self, group: list[_Pending], *, isolated: bool) -> Effects:
        execute = self._connection.execute
        changes = self._connection.total_changes()
        execute(_BEGIN)
        now_ms, monotonic = seen = moment(self._clock, within_s=STEP_MS / 10_000)
        # Unknown again, should this group come to nothing.
        depths, self._depths = self._depths, {}
        controls, self._controls = self._controls, None
        tx = Tx(
            self._connection,
            now_ms=now_ms,
            next_seq=self._next_seq,
            last_id_ms=self._id_ms,
            depths=depths,
            controls=controls,
        )
        stepped_ms = now_ms - self._seen[0] - round(1000 * (monotonic - self._seen[1]))
        if abs(stepped_ms) >= STEP_MS:
            self._on_step(tx, stepped_ms)
        for pending in group:
            self._operate(tx, pending, isolated=isolated)
        try:
            tx.flush_tallies()
        except apsw.ConstraintError as error:
            if isolated:
                raise
            # A row that some operation noted: run alone, it is that one's failure.
            execute(_ROLLBACK)
            raise _Tainted from error
        began = self._clock.monotonic()
        execute(_COMMIT)
        self.commit_s = self._clock.monotonic() - began
        if self._connection.total_changes() != changes:
            # Without a change nothing is fsynced.
            self._metrics.fsync_seconds.observe(self.commit_s)
            self._metrics.group_size.observe(len(group) + tx.joined)
        self._next_seq = tx.next_seq
        self._id_ms = tx.id_ms
        self._depths = tx.depths
        self._controls = tx.controls
        self._seen = seen
        return tx.effects

    def _operate(self, tx: Tx, pending: _Pending, *, isolated: bool) -> None:
        """Runs one operation so that its failure leaves nothing of it behind."""
        if pending.future.cancelled():
            return
        mark = tx.begin_operation()
        before = self._connection.total_changes()
        if isolated:
            self._connection.execute(_SAVEPOINT)
        try:
            pending.result = pending.operation(tx)
            if isolated:
                tx.flush()  # while it is this operation's savepoint that takes the rows
            pending.error = None
        except DISK_FAILURES:
            raise
        except Exception as error:
            if self._connection.total_changes() != before + tx.settled and not isolated:
                # Most failures come before the first write; only this one costs the others a second run.
                self._connection.execute(_ROLLBACK)
                raise _Tainted from error
            if isolated:
                self._connection.execute(_ROLLBACK_SAVEPOINT)
            tx.undo(mark)
            pending.error = error
        if isolated:
            self._connection.execute(_RELEASE)

    def _undo(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute(_ROLLBACK)

    def _fail(self, group: list[_Pending], error: Exception) -> None:
        for pending in group:
            pending.error = error
        self._deliver(group, Effects())

    def _deliver(self, group: list[_Pending], effects: Effects) -> None:
        answer = partial(self._answer, group, effects)
        if self._gate is None:
            self._loop.call_soon_threadsafe(answer)
        else:
            self._loop.call_soon_threadsafe(self._gate.hold, answer)

    # -- the event loop's thread -----------------------------------------------------------

    def _answer(self, group: list[_Pending], effects: Effects, refusal: TqnodeError | None = None) -> None:
        """The one place where a write becomes answered.

        Args:
            group: operations that are committed on this disk.
            effects: of them.
            refusal: what their clients are told, if not what came of them.
        """
        for pending in group:
            if pending.future.done():
                continue
            error = refusal or pending.error
            if error is None:
                pending.future.set_result(pending.result)
            else:
                pending.future.set_exception(error)
        if refusal is None:
            self._on_commit(effects)
        self._shown.settle(refusal)
        if self._shown.held == GROUPS_HELD_MAX - 1:
            with self._arrived:
                self._arrived.notify_all()
