"""The queue's file: one writer with group commit, a few readers."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tqnode.clock import Clock
from tqnode.errors import Draining, OutcomeUnknown, TqnodeError
from tqnode.metrics import Metrics
from tqnode.store.checkpoints import Checkpoints
from tqnode.store.connection import open_writer
from tqnode.store.effects import Effects, TaskEvent
from tqnode.store.gate import Gate
from tqnode.store.migrations import migrate
from tqnode.store.readers import Reader, Readers
from tqnode.store.tx import DISK_FAILURES, Tx
from tqnode.store.writer import Operation, Writer

__all__ = ["DISK_FAILURES", "Effects", "Reader", "Store", "TaskEvent", "Tx"]

T = TypeVar("T")

GROUP_MAX = 512
READER_THREADS = 3


class Store:
    """Opens the file, brings its schema up to date and starts the threads.

    Must be made on the running event loop.

    Args:
        path: the database file; its folder must exist.
        clock: the node's clock.
        metrics: the node's collectors.
        backlog_max: writes that may wait before :class:`~tqnode.errors.Overloaded`.
        on_fatal: called from the writer's thread when the disk failed: the process must end at once.
        gate: decides when a commit may be answered; None: as soon as it is on this disk.
        checkpoints: whether the node makes them itself; False where Litestream does.

    Raises:
        apsw.Error: the file can't be opened, or is damaged.
        SchemaTooNew: a newer version wrote it.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        metrics: Metrics,
        backlog_max: int,
        on_fatal: Callable[[BaseException], None],
        gate: Gate | None = None,
        checkpoints: bool = True,
    ) -> None:
        self._gate = gate
        self._closed = False
        self._listeners: list[Callable[[Effects], None]] = []
        self._on_steps: list[Callable[[Tx, int], None]] = []
        connection = open_writer(path, checkpoints=checkpoints)
        migrate(connection)
        self._writer = Writer(
            connection,
            clock=clock,
            metrics=metrics,
            backlog_max=backlog_max,
            group_max=GROUP_MAX,
            gate=gate,
            on_commit=self._publish,
            on_step=self._stepped,
            on_fatal=on_fatal,
        )
        self._readers = Readers(path, threads=READER_THREADS, checkpoints=checkpoints)
        self._checkpoints = Checkpoints(path, on_fatal=on_fatal) if checkpoints else None

    @property
    def backlog(self) -> int:
        """Writes that wait now."""
        return self._writer.backlog

    @property
    def commit_s(self) -> float:
        """How long the last COMMIT took."""
        return self._writer.commit_s

    def listen(self, listener: Callable[[Effects], None]) -> None:
        """Has ``listener`` called on the event loop after each committed group."""
        self._listeners.append(listener)

    def on_step(self, hook: Callable[[Tx, int], None]) -> None:
        """Has ``hook`` run by the writer, before anything else, with by how many ms the wall clock stepped.

        It may run again should its transaction be undone, and must keep to what its ``Tx`` undoes.
        """
        self._on_steps.append(hook)

    async def write(self, operation: Operation[T], *, background: bool = False) -> T:
        """Runs ``operation`` in the next group; returns once it is on disk.

        Args:
            operation: may run twice, when a neighbour fails; only its last run counts.
            background: after the requests at hand.

        Raises:
            TqnodeError: the operation's own answer, or Overloaded, Draining, DiskFull, OutcomeUnknown.
        """
        return await self._writer.submit(operation, background=background)

    def check_open(self) -> None:
        """Raises what a write that comes now would get because no more are taken."""
        self._writer.check_open()

    def submit(self, operation: Operation[T], *, background: bool = False) -> "asyncio.Future[T]":
        """As :meth:`write`, without waiting; cancelling the future before its turn takes it back."""
        return self._writer.submit(operation, background=background)

    async def read(self, operation: Callable[[Reader], T]) -> T:
        """Runs ``operation`` on a snapshot; answers once all it may have seen is answered.

        Raises:
            TqnodeError: the gate lets nothing through any more.
        """
        answer = await self.look(operation)
        if self._gate is not None:
            try:
                await self._writer.settled()
            except OutcomeUnknown:
                # That is of the writes it may have seen; a reader whom this node may not answer has others.
                self._gate.check()
                raise
            self._gate.check()
        return answer

    async def look(self, operation: Callable[[Reader], T]) -> T:
        """As :meth:`read`, but also at what is not answered yet: for those who watch the node itself."""
        if self._closed:
            self._writer.check_open()
        return await self._readers.read(operation)

    async def pause(self) -> None:
        """Begins no more writes until :meth:`go_on`; they wait. Returns when those at hand are committed."""
        await self._writer.pause()

    def go_on(self) -> None:
        """Ends a pause."""
        self._writer.go_on()

    @property
    def held(self) -> bool:
        """Whether writes wait for others to be answered, or for the end of a pause."""
        return not self._writer.may_go_on()

    def abandon(self, error: TqnodeError) -> None:
        """Begins no more writes: those that wait, and those that come, get ``error``."""
        self._writer.abandon(error)

    async def close(self) -> None:
        """Ends the waiting writes and reads, then closes the file."""
        self._writer.refuse(Draining("the node is stopping"))
        self._closed = True
        # The last to close checkpoints and removes the write-ahead log, which no reader may.
        await self._readers.close()
        if self._checkpoints is not None:
            await asyncio.to_thread(self._checkpoints.close)
        await self._writer.close()

    def _stepped(self, tx: Tx, by_ms: int) -> None:
        for hook in self._on_steps:
            hook(tx, by_ms)

    def _publish(self, effects: Effects) -> None:
        if self._checkpoints is not None:
            self._checkpoints.note()
        for listener in self._listeners:
            listener(effects)
