"""The thread that works on node.db: one transaction for all that waits, then the answers."""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from tqnode.clock import Clock
from tqnode.errors import DiskFull
from tqnode.replication.disk_errors import DiskFailed, is_fatal
from tqnode.replication.node_file import NodeFile

GROUP_MAX: Final = 64

logger = logging.getLogger(__name__)
T = TypeVar("T")
_Answer = Callable[[], None]


class _Call(Generic[T]):
    """Something to do with the file, and who waits for it.

    Args:
        operation: what to do; may run twice, and only its last run counts.
        future: gets the result or the error.
        stores: it adds entries that later calls follow on.
    """

    __slots__ = ("future", "operation", "stores")

    def __init__(
        self, operation: Callable[[NodeFile], T], future: "asyncio.Future[T]", *, stores: bool
    ) -> None:
        self.operation = operation
        self.future = future
        self.stores = stores

    def succeed(self, result: T) -> None:
        if not self.future.done():
            self.future.set_result(result)

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class NodeThread:
    """Runs operations on the file, in the order in which they came.

    Must be made on the running event loop.

    Args:
        file: used by the thread alone from now on.
        clock: measures the transactions.
        on_fatal: called from the thread when the disk failed.
    """

    def __init__(self, file: NodeFile, *, clock: Clock, on_fatal: Callable[[BaseException], None]) -> None:
        self._file = file
        self._clock = clock
        self._on_fatal = on_fatal
        self._loop = asyncio.get_running_loop()
        self._calls: queue.SimpleQueue[_Call[Any] | None] = queue.SimpleQueue()
        self._over: str = ""
        self._tidy_failed = False
        self.commit_s = 0.0
        self._thread = threading.Thread(target=self._run, name="tqnode-node-db", daemon=True)
        self._thread.start()

    def submit(self, operation: Callable[[NodeFile], T], *, stores: bool = False) -> "asyncio.Future[T]":
        """Hands an operation to the thread; the future is done once the transaction is on disk.

        Raises:
            DiskFailed: the thread has ended.
        """
        if self._over:
            raise DiskFailed(self._over)
        future: asyncio.Future[T] = self._loop.create_future()
        self._calls.put(_Call(operation, future, stores=stores))
        return future

    async def close(self) -> None:
        """Does what waits, then closes the file and ends the thread."""
        if not self._over:
            self._over = "node.db is closed"
            self._calls.put(None)
        await asyncio.to_thread(self._thread.join)

    # -- the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        group: list[_Call[Any]] = []
        try:
            while group := self._next_group():
                answers = self._handle(group)
                self._loop.call_soon_threadsafe(_give, answers)
                group = []
                self._tidy()
            self._file.close()
        except BaseException as error:
            # Whatever the state of the disk is now, nothing may be acknowledged on it any more.
            self._over = f"the disk failed: {error}"
            self._loop.call_soon_threadsafe(self._fail_all, group)
            self._on_fatal(error)

    def _next_group(self) -> list[_Call[Any]]:
        """Waits for something to do; empty once closed."""
        group: list[_Call[Any]] = []
        while len(group) < GROUP_MAX:
            try:
                call = self._calls.get(block=not group)
            except queue.Empty:
                break
            if call is None:
                if group:
                    self._calls.put(None)
                break
            group.append(call)
        return group

    def _handle(self, group: list[_Call[Any]]) -> list[_Answer]:
        if len(group) > 1:
            try:
                return self._transact(group)
            except Exception as error:
                if is_fatal(error):
                    raise
                # One of them can't be done, or not for want of space: each for itself, then.
        return [self._handle_alone(call) for call in group]

    def _handle_alone(self, call: _Call[Any]) -> _Answer:
        try:
            (answer,) = self._transact([call])
        except Exception as error:
            if is_fatal(error):
                raise
            if isinstance(error, DiskFull) and call.stores:
                self._file.note_full()
            return _failure(call, error)
        return answer

    def _transact(self, group: list[_Call[Any]]) -> list[_Answer]:
        with self._file.transaction():
            answers = [_success(call, call.operation(self._file)) for call in group]
            began = self._clock.monotonic()
        self.commit_s = self._clock.monotonic() - began
        return answers

    def _tidy(self) -> None:
        try:
            self._file.tidy(idle=self._calls.empty())
        except DiskFull:
            if not self._tidy_failed:
                logger.error("the disk is full: node.db keeps its write-ahead log until there is space")
            self._tidy_failed = True
        else:
            self._tidy_failed = False

    # -- the event loop --------------------------------------------------------------------

    def _fail_all(self, group: list[_Call[Any]]) -> None:
        """Answers those whose transaction failed, and those that came too late for one."""
        while not self._calls.empty():
            call = self._calls.get()
            if call is not None:
                group.append(call)
        for call in group:
            call.fail(DiskFailed(self._over))


def _give(answers: list[_Answer]) -> None:
    for answer in answers:
        answer()


def _success(call: _Call[T], result: T) -> _Answer:
    return lambda: call.succeed(result)


def _failure(call: _Call[Any], error: Exception) -> _Answer:
    return lambda: call.fail(error)
