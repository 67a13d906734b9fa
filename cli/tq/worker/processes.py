"""Runs sync handlers in processes, one kept for each slot, that can be ended whatever they do."""

import os
import select
import socket
import sys
import threading
from collections.abc import Mapping

import msgspec
from msgspec import Raw

from tq.clock import Clock
from tq.wire import NewLine
from tq.wire import Outcome as AnyOutcome
from tq.worker import frames
from tq.worker.attempt import Attempt
from tq.worker.child import SOCKET_FD
from tq.worker.group import Group
from tq.worker.guard import Guard
from tq.worker.log import facts, logger
from tq.worker.outcome import failed, given_back
from tq.worker.stopping import Wakes

_log = logger()
_encode = msgspec.json.Encoder().encode
_outcome: "msgspec.json.Decoder[AnyOutcome]" = msgspec.json.Decoder(AnyOutcome)
_line = msgspec.json.Decoder(NewLine).decode

NOT_STARTED_DELAY_S = 5.0


class NotStarted(Exception):
    """A handler process did not come up."""


class ProcessExecutor:
    """Hands each attempt to the process of the calling slot, started when first needed.

    Args:
        target: the app, as :func:`tq.app.load_app` takes it.
        clock: monotonic time.
        environment: of the processes.
        kill_after_s: seconds between SIGTERM and SIGKILL.
        guard: ends the processes should the worker die.
    """

    patience_s = None

    def __init__(
        self,
        target: str,
        *,
        clock: Clock,
        environment: Mapping[str, str],
        kill_after_s: float,
        guard: Guard,
    ) -> None:
        self._argv = [sys.executable, "-m", "tq.worker.child", target]
        self._clock = clock
        self._environment = dict(environment)
        self._kill_after_s = kill_after_s
        self._guard = guard
        self._wakes = Wakes()
        self._of_slot = threading.local()
        self._mutex = threading.Lock()
        self._all: set[HandlerProcess] = set()

    def run(self, attempt: Attempt) -> AnyOutcome:
        try:
            with self._wakes.opened(attempt) as wake:
                process = self._process()
                outcome = process.run(attempt, wake=wake)
                if attempt.stop is not None or outcome is None:
                    # What a handler that was ended has left behind ends with its process.
                    code = self._end(process)
                    return outcome or _died(attempt, code)
                return outcome
        except (OSError, NotStarted) as error:
            # The worker's trouble, not the task's: another worker may well be able to run it.
            _log.error(
                "no handler process: the task goes back",
                extra=facts(error=str(error), task=attempt.task.id, kind=attempt.task.kind),
            )
            return given_back(attempt, delay_s=NOT_STARTED_DELAY_S)

    def stop(self, attempt: Attempt) -> None:
        self._wakes.wake(attempt)

    def close(self) -> None:
        """Ends the processes; their slots run nothing any more."""
        with self._mutex:
            processes = list(self._all)
            self._all.clear()
        for process in processes:
            process.end()

    def _process(self) -> "HandlerProcess":
        kept: HandlerProcess | None = getattr(self._of_slot, "process", None)
        if kept is not None and kept.alive():
            return kept
        if kept is not None:
            _log.warning("a handler process ended between tasks", extra=facts(code=self._end(kept)))
        process = HandlerProcess(
            self._argv,
            environment=self._environment,
            guard=self._guard,
            clock=self._clock,
            kill_after_s=self._kill_after_s,
        )
        with self._mutex:
            self._all.add(process)
        self._of_slot.process = process
        try:
            process.wait_until_ready()
        except NotStarted:
            self._end(process)
            raise
        return process

    def _end(self, process: "HandlerProcess") -> int:
        self._of_slot.process = None
        with self._mutex:
            self._all.discard(process)
        return process.end()


class HandlerProcess:
    """One child of :mod:`tq.worker.child` and the socket to it.

    Raises:
        OSError: it could not be started.
    """

    def __init__(
        self,
        argv: list[str],
        *,
        environment: Mapping[str, str],
        guard: Guard,
        clock: Clock,
        kill_after_s: float,
    ) -> None:
        self._clock = clock
        self._kill_after_s = kill_after_s
        self._sock, theirs = socket.socketpair()
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._group = Group(
                argv,
                environment=environment,
                files={0: null, 1: 1, 2: 2, SOCKET_FD: theirs.fileno()},
                guard=guard,
            )
        except OSError:
            self._sock.close()
            raise
        finally:
            theirs.close()
            os.close(null)

    def wait_until_ready(self) -> None:
        """Blocks until the app is loaded.

        Raises:
            NotStarted: it could not be.
        """
        frame = frames.receive(self._sock)
        if frame is None:
            raise NotStarted("the process ended before it had loaded the app")
        kind, body = frame
        if kind != frames.READY:
            raise NotStarted(f"the app could not be loaded: {body.decode(errors='replace')}")

    def alive(self) -> bool:
        """Whether it could take a task."""
        poll = select.poll()
        poll.register(self._group.pidfd, select.POLLIN)
        return not poll.poll(0)

    def run(self, attempt: Attempt, *, wake: int) -> AnyOutcome | None:
        """Runs an attempt to its end; None when the process ended without saying how."""
        try:
            frames.send(self._sock, frames.TASK, _encode(attempt.task))
        except OSError:
            return None  # it has ended, as the caller will find
        poll = select.poll()
        for descriptor in (self._sock.fileno(), wake, self._group.pidfd):
            poll.register(descriptor, select.POLLIN)
        reader = frames.Frames()
        kill_at: float | None = None
        while True:
            wait_ms = None if kill_at is None else max(0.0, kill_at - self._clock.monotonic()) * 1000
            ready = {descriptor for descriptor, _ in poll.poll(wait_ms)}
            if self._sock.fileno() in ready:
                outcome, there = self._read(reader, attempt)
                if outcome is not None or not there:
                    return outcome
            elif self._group.pidfd in ready:
                return None
            if wake in ready:
                poll.unregister(wake)
                self._group.terminate()
                kill_at = self._clock.monotonic() + self._kill_after_s
            elif kill_at is not None and self._clock.monotonic() >= kill_at:
                self._group.kill()
                kill_at = None

    def end(self) -> int:
        """Ends it with all it started; returns its exit code, or minus a signal."""
        self._sock.close()
        return self._group.reap()

    def _read(self, reader: frames.Frames, attempt: Attempt) -> tuple[AnyOutcome | None, bool]:
        received, there = reader.read(self._sock)
        for kind, body in received:
            if kind == frames.PROGRESS:
                attempt.report_progress(Raw(body))
            elif kind == frames.LINE:
                attempt.lines.add(_line(body))
            elif kind == frames.OUTCOME:
                return _outcome.decode(body), there
        return None, there


def _died(attempt: Attempt, code: int) -> AnyOutcome:
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return failed(
        attempt, type_name="ProcessDied", message=f"the handler's process ended with {how} before it was done"
    )
