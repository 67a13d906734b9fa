"""A handler process: loads the app, then runs one task after another for its slot.

It is started as ``python -m tq.worker.child TARGET`` with a socket to the slot as descriptor 3.
"""

import contextvars
import os
import signal
import socket
import sys
import threading
from types import FrameType
from typing import Any

import msgspec

from tq.app import load_app
from tq.context import Cancelled, TaskContext, enter
from tq.wire import ClaimedTask, Level, Outcome
from tq.worker import frames
from tq.worker.attempt import Attempt
from tq.worker.handlers import Handlers, encode_progress
from tq.worker.lines import line_of
from tq.worker.outcome import raised, returned

SOCKET_FD = 3

_task = msgspec.json.Decoder(ClaimedTask).decode
_encode = msgspec.json.Encoder().encode


class Stopped(BaseException):
    """Thrown into a handler that has to end; not an Exception, so that few handlers catch it by accident."""


class Child:
    """Runs the tasks that come over ``sock``.

    Args:
        sock: to the slot.
        handlers: what runs each kind.
    """

    def __init__(self, sock: socket.socket, handlers: Handlers) -> None:
        self._sock = sock
        self._handlers = handlers
        self._sending = threading.Lock()
        self._stopping = threading.Event()
        self._running = False

    def serve(self) -> None:
        """Runs tasks until the slot is gone."""
        signal.signal(signal.SIGTERM, self._told_to_stop)
        while (frame := frames.receive(self._sock)) is not None:
            outcome = self._run(Attempt(_task(frame[1]), received_at=0.0))
            self._send(frames.OUTCOME, _encode(outcome))

    def _run(self, attempt: Attempt) -> Outcome:
        context = TaskContext(attempt.task, self._progress, self._stopping.is_set, self._log)
        try:
            self._running = True
            return contextvars.Context().run(self._call, attempt, context)
        except Stopped:
            return raised(attempt, Cancelled("the handler was ended"))
        except BaseException as error:  # whatever a handler raises ends its task, not the process
            return raised(attempt, error)
        finally:
            self._running = False

    def _call(self, attempt: Attempt, context: TaskContext) -> Outcome:
        enter(context)
        return returned(attempt, self._handlers.call(attempt.task), context)

    def _progress(self, value: Any) -> None:
        self._send(frames.PROGRESS, bytes(encode_progress(value)))

    def _log(self, text: str, level: Level, at_s: float) -> None:
        self._send(frames.LINE, _encode(line_of(text, level, at_s)))

    def _send(self, kind: int, body: bytes) -> None:
        # A handler may tell progress and lines from threads of its own.
        with self._sending:
            frames.send(self._sock, kind, body)

    def _told_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping.set()
        if not self._running:
            os._exit(0)
        # A second one must not break off the clean-up that the first one started.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Stopped


def main() -> None:
    """Loads the app named on the command line and serves it."""
    sock = socket.socket(fileno=SOCKET_FD)
    try:
        handlers = Handlers(load_app(sys.argv[1]))
    except Exception as error:  # an app's modules may raise anything while they are imported
        frames.send(sock, frames.BROKEN, f"{type(error).__name__}: {error}".encode(errors="replace"))
        sys.exit(1)
    frames.send(sock, frames.READY, b"")
    Child(sock, handlers).serve()


if __name__ == "__main__":
    main()
