"""The pipes between a slot and the program it runs, and following them until the program ends."""

import os
import selectors
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tq.clock import Clock
from tq.worker.group import Group
from tq.worker.pipes import Lines, drain, read_available

# What a pipe holds by default; a program that has ended cannot have left more.
_PIPE_BYTES = 1024 * 1024


class Conversation:
    """Four pipes: payload in, output, errors and progress out.

    Args:
        payload: written to standard input, which then ends.
        output: takes chunks of standard output.
        errors: takes chunks of standard error.
        progress: takes the newest line of descriptor 3, now and then.
        progress_line_max: bytes of a line of progress; longer ones are dropped.
    """

    def __init__(
        self,
        *,
        payload: bytes,
        output: Callable[[bytes], None],
        errors: Callable[[bytes], None],
        progress: Callable[[bytes], None],
        progress_line_max: int,
    ) -> None:
        self._unsent = memoryview(payload)
        self._input = -1
        lines = Lines(most=progress_line_max, newest=progress)
        self._theirs: dict[int, int] = {}
        self._sinks: dict[int, Callable[[bytes], None]] = {}
        try:
            self._theirs[0], self._input = os.pipe()
            os.set_blocking(self._input, False)
            for number, sink in ((1, output), (2, errors), (3, lines.add)):
                ours, self._theirs[number] = os.pipe()
                os.set_blocking(ours, False)
                self._sinks[ours] = sink
        except OSError:
            self.close()
            raise

    @property
    def files(self) -> dict[int, int]:
        """The program's ends, by the number they are to have there."""
        return self._theirs

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes what is still open."""
        self._close_theirs()
        self._close_input()
        for ours in self._sinks:
            os.close(ours)
        self._sinks.clear()

    def follow(self, group: Group, *, wake: int, kill_after_s: float, clock: Clock) -> int:
        """Feeds and reads the program until it ends, and returns its exit code or minus a signal.

        Args:
            group: the program, just started.
            wake: a descriptor that becomes readable when the program has to end.
            kill_after_s: seconds it then has between SIGTERM and SIGKILL.
            clock: monotonic time.
        """
        self._close_theirs()
        try:
            self._until_ended(group, wake, kill_after_s, clock)
        finally:
            code = group.reap()
        for ours, sink in self._sinks.items():
            drain(ours, sink, most=_PIPE_BYTES)
        return code

    def _until_ended(self, group: Group, wake: int, kill_after_s: float, clock: Clock) -> None:
        kill_at: float | None = None
        with selectors.DefaultSelector() as selector:
            selector.register(group.pidfd, selectors.EVENT_READ)
            selector.register(wake, selectors.EVENT_READ)
            selector.register(self._input, selectors.EVENT_WRITE)
            for ours in self._sinks:
                selector.register(ours, selectors.EVENT_READ)
            while True:
                wait_s = None if kill_at is None else max(0.0, kill_at - clock.monotonic())
                ready = {key.fd for key, _ in selector.select(wait_s)}
                self._pass_bytes(selector, ready)
                if group.pidfd in ready:
                    return
                if wake in ready:
                    selector.unregister(wake)
                    group.terminate()
                    kill_at = clock.monotonic() + kill_after_s
                elif kill_at is not None and clock.monotonic() >= kill_at:
                    group.kill()
                    kill_at = None

    def _pass_bytes(self, selector: selectors.BaseSelector, ready: set[int]) -> None:
        if self._input in ready and not self._feed():
            selector.unregister(self._input)
            self._close_input()
        for ours in [ours for ours in self._sinks if ours in ready]:
            if not read_available(ours, self._sinks[ours]):
                selector.unregister(ours)
                os.close(ours)
                del self._sinks[ours]

    def _feed(self) -> bool:
        """Writes what fits; False when there is no more to write, or nobody to read it."""
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._input, self._unsent) :]
        except BlockingIOError:
            return True
        except BrokenPipeError:
            return False  # a program may well do without its payload
        return False

    def _close_theirs(self) -> None:
        for theirs in self._theirs.values():
            os.close(theirs)
        self._theirs.clear()

    def _close_input(self) -> None:
        if self._input >= 0:
            os.close(self._input)
            self._input = -1
