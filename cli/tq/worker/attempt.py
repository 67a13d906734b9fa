"""One claim in this worker's hands: from the answer that brought it to the answer that ended it."""

import threading
from collections.abc import Callable
from enum import Enum

import msgspec

from tq.wire import ClaimedTask
from tq.worker.lines import WaitingLines


class Stop(Enum):
    """Why a handler is told to stop before it is done."""

    CANCEL = "cancel"
    """Somebody cancelled the task."""
    LOST = "lost"
    """The node gave the task to someone else, or it is gone: its outcome no longer counts."""
    TIMEOUT = "timeout"
    """The attempt took longer than the task's ``timeout_s``."""
    SHUTDOWN = "shutdown"
    """The worker has to go and the grace is over."""


class Attempt:
    """A claimed task, how long its lease surely stands, and what has been decided about it.

    Several threads touch one: the slot that runs it, the heart, the watch, the reporter. Only one
    of them gets to say how it ended: the first that calls :meth:`settle`.

    Args:
        task: as the node handed it out.
        received_at: monotonic seconds at which the answer had arrived. The lease was granted
            before that, so it is over by ``received_at + lease_s`` whatever the network did.
        news: called when the handler has told something that the node should hear of.
    """

    __slots__ = (
        "_mutex",
        "_news",
        "_progress",
        "_progress_sent",
        "_settled",
        "gone_at",
        "lines",
        "started_at",
        "stop",
        "task",
    )

    def __init__(
        self, task: ClaimedTask, *, received_at: float, news: Callable[[], None] = lambda: None
    ) -> None:
        self.task = task
        self.lines = WaitingLines(news)
        self._news = news
        self.gone_at = received_at + task.lease_s
        self.started_at: float | None = None
        self.stop: Stop | None = None
        self._mutex = threading.Lock()
        self._settled = False
        self._progress: msgspec.Raw | None = None
        self._progress_sent: msgspec.Raw | None = None

    def settle(self) -> bool:
        """True for the first caller alone, who may then report how the attempt ended."""
        with self._mutex:
            mine, self._settled = not self._settled, True
            return mine

    def settle_unstarted(self) -> bool:
        """As :meth:`settle`, but only while the handler has not begun."""
        with self._mutex:
            if self._settled or self.started_at is not None:
                return False
            self._settled = True
            return True

    def begin(self, at: float) -> bool:
        """The handler is about to run, at monotonic ``at``; False when it must not run any more."""
        with self._mutex:
            if self._settled or self.stop is not None:
                return False
            self.started_at = at
            return True

    @property
    def settled(self) -> bool:
        return self._settled

    def ask_to_stop(self, why: Stop) -> bool:
        """Notes why the handler has to stop; the first reason stands, but a lost lease beats all.

        Returns whether ``why`` is now the reason and was not before.
        """
        with self._mutex:
            if self.stop is why or (self.stop is not None and why is not Stop.LOST):
                return False
            self.stop = why
            return True

    def asked_to_stop(self) -> bool:
        """Whether the handler should end; what ``tq.current_task().cancelled`` shows."""
        return self.stop is not None

    def renewed(self, *, received_at: float) -> None:
        """The node confirmed the lease in an answer that arrived at ``received_at``."""
        self.gone_at = received_at + self.task.lease_s

    def report_progress(self, progress: msgspec.Raw) -> None:
        """Keeps the newest progress, to go out soon."""
        self._progress = progress
        self._news()

    def unsent_progress(self) -> msgspec.Raw | None:
        """Progress the node has not confirmed yet, or None."""
        progress = self._progress
        return progress if progress is not self._progress_sent else None

    def progress_sent(self, progress: msgspec.Raw) -> None:
        """The node has this progress."""
        self._progress_sent = progress

    @property
    def has_news(self) -> bool:
        """Whether the handler told something that the node has not confirmed, and may still take."""
        return not self._settled and (len(self.lines) > 0 or self.unsent_progress() is not None)
