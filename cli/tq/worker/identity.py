"""Who the worker is to the node: registered at start, and again when the node forgot it."""

import threading

from tq.clock import Clock
from tq.errors import TqError
from tq.wire import NewWorker, Registered
from tq.worker.link import Link, may_pass
from tq.worker.log import facts, logger
from tq.worker.pace import Backoff

_log = logger()

_TOLD_EVERY = 20


class Identity:
    """The id the node gave this process, shared by the threads that name themselves with it.

    Args:
        worker: how the process describes itself.
        clock: chance, for the waits between tries.
    """

    def __init__(self, worker: NewWorker, clock: Clock) -> None:
        self._worker = worker
        self._clock = clock
        self._registered: Registered | None = None

    @property
    def id(self) -> str:
        """The id of the newest registration.

        Raises:
            RuntimeError: there was none yet.
        """
        if self._registered is None:
            raise RuntimeError("the worker is not registered")
        return self._registered.id

    @property
    def known(self) -> bool:
        """Whether the worker has ever been registered."""
        return self._registered is not None

    @property
    def heartbeat_s(self) -> float:
        """How often the node wants to hear from the worker, in seconds."""
        return self._registered.heartbeat_s if self._registered is not None else 10.0

    def register(self, link: Link, stopping: threading.Event) -> Registered | None:
        """Registers, waiting for a node that is away; None when ``stopping`` came first.

        Raises:
            TqError: the node refuses.
        """
        backoff = Backoff(self._clock)
        while not stopping.is_set():
            try:
                registered = link.register(self._worker)
            except TqError as error:
                if not may_pass(error):
                    raise
                wait_s = backoff.next_s(at_least_s=error.retry_after_s)
                if backoff.tries % _TOLD_EVERY == 1:
                    _log.warning("waiting for the node", extra=facts(code=error.code, error=str(error)))
                stopping.wait(wait_s)
                continue
            self._registered = registered
            _log.info(
                "registered",
                extra=facts(worker=registered.id, name=self._worker.name, state=registered.state),
            )
            return registered
        return None
