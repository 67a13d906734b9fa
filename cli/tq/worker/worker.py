"""The worker: builds its parts, obeys its orders, and leaves nothing half done when it goes."""

import os
import queue
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from types import FrameType

from tq.app import App
from tq.clock import Clock
from tq.errors import TqError
from tq.targets import Targets
from tq.version import VERSION
from tq.wire import ClaimedTask, NewWorker, Outcome, WorkerState
from tq.worker.attempt import Attempt
from tq.worker.claimer import WAIT_OF_SEVERAL_S, WAIT_S, Claimer
from tq.worker.departure import Departure
from tq.worker.desk import Desk, Lane
from tq.worker.heart import Heart
from tq.worker.held import Held
from tq.worker.identity import Identity
from tq.worker.lanes import Lanes
from tq.worker.link import Link
from tq.worker.log import facts, logger
from tq.worker.options import Options
from tq.worker.orders import Broken, Order, Refused, Signalled, Steered
from tq.worker.reporter import Reporter
from tq.worker.room import Room
from tq.worker.watch import Watch

_log = logger()

EXIT_OK = 0
EXIT_BROKEN = 70
_QUIET = "quiet"


class Worker:
    """One worker process.

    Args:
        options: what it does.
        app: the functions that run tasks, unless a program does.
        clock: time and chance.
    """

    def __init__(self, options: Options, app: App | None, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._targets = Targets(options.settings.urls)
        self._orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._held = Held()
        self._room = Room(slots=options.slots, prefetch=options.prefetch)
        self._lanes = Lanes(options, app, clock)
        self._identity = Identity(self._description(), clock)
        self._reporter = Reporter(
            self._link(), clock, held=self._held, room=self._room, refused=self._refused
        )
        self._desk = Desk(
            clock,
            held=self._held,
            room=self._room,
            reporter=self._reporter,
            lane_of=self._lanes.of,
            news=self._news,
        )
        self._watch = Watch(clock, self._desk)
        self._heart = Heart(
            self._link(),
            clock,
            identity=self._identity,
            held=self._held,
            desk=self._desk,
            steered=self._steered,
            refused=self._refused,
        )
        self._claimer = Claimer(
            self._link(),
            clock,
            identity=self._identity,
            room=self._room,
            desk=self._desk,
            queues=options.queues,
            kinds=self._lanes.kinds,
            lease_s=options.lease_s,
            wait_s=WAIT_S if len(self._targets.urls) == 1 else WAIT_OF_SEVERAL_S,
            claimed=self._claimed,
            refused=self._refused,
        )
        self._state: WorkerState = "run"
        self._threads: dict[str, threading.Thread] = {}

    @property
    def abandoned(self) -> int:
        """Handlers that still run although the worker is done; only the end of the process ends them."""
        return self._room.busy

    def run(self) -> int:
        """Works until told to stop; to be called in the main thread. Returns the exit code.

        Raises:
            TqError: the node refuses this worker.
        """
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # nohup, and shells that put it in the background, mean it to go on.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._signalled)
        link = self._link()
        registered = self._identity.register(link, self._stopping)
        link.close()
        if registered is None:
            return EXIT_OK
        self._steered(registered.state)
        self._start()
        reason = self._obey()
        departure = Departure(
            self._options,
            self._clock,
            claimer=self._claimer,
            desk=self._desk,
            held=self._held,
            room=self._room,
            reporter=self._reporter,
            orders=self._orders,
            threads=self._threads,
        )
        departure.leave(reason)
        self._end()
        if isinstance(reason, Refused):
            raise reason.error
        return EXIT_BROKEN if isinstance(reason, Broken) else EXIT_OK

    def _start(self) -> None:
        self._lanes.build(
            spawn=self._spawn, begin=self._begin, ended=self._ended, busy=lambda: self._room.busy
        )
        self._spawn("watch", self._watch.run)
        self._spawn("reporter", self._reporter.run)
        self._spawn("heart", self._heart.run)
        self._spawn("claimer", self._claimer.run)
        _log.info(
            "working",
            extra=facts(
                queues=",".join(self._options.queues),
                kinds=None if self._lanes.kinds is None else ",".join(self._lanes.kinds),
                slots=self._options.slots,
                node=self._targets.current,
            ),
        )

    def _obey(self) -> Order:
        """Carries out orders until one of them is to go, and returns that one."""
        while True:
            order = self._orders.get()
            if not isinstance(order, Steered) or order.state == "terminate":
                return order
            if order.state == self._state:
                continue
            self._state = order.state
            _log.info("the node steers this worker", extra=facts(state=order.state))
            if order.state == "quiet":
                self._room.hold_up(_QUIET)
            else:
                self._room.go_on(_QUIET)

    def _end(self) -> None:
        self._heart.close()
        self._watch.close()
        self._threads["heart"].join(self._options.kill_after_s)
        self._lanes.close()
        link = Link(self._targets, token=self._options.settings.token, timeout_s=2.0)
        try:
            link.deregister(self._identity.id)
        except TqError as error:
            _log.info("could not say good-bye", extra=facts(code=error.code, error=str(error)))
        link.close()
        _log.info("gone", extra=facts(taken=self._reporter.taken, abandoned=self.abandoned or None))

    def _begin(self, attempt: Attempt, lane: Lane) -> bool:
        if not attempt.begin(self._clock.monotonic()):
            return False
        self._watch.begin(attempt, lane)
        return True

    def _ended(self, attempt: Attempt, outcome: Outcome | None) -> None:
        self._watch.end(attempt)
        self._desk.ended(attempt, outcome)

    def _claimed(self, tasks: Sequence[ClaimedTask]) -> None:
        self._reporter.node_is_back()
        self._heart.hurry(min(task.lease_s for task in tasks))

    def _news(self) -> None:
        self._heart.tell()

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self._stopping.set()
        self._orders.put(Signalled(signal.Signals(number).name))

    def _steered(self, state: WorkerState) -> None:
        self._orders.put(Steered(state))

    def _refused(self, error: TqError) -> None:
        self._orders.put(Refused(error))

    def _spawn(self, name: str, work: Callable[[], None]) -> threading.Thread:
        def supervised() -> None:
            try:
                work()
            except BaseException:  # a thread that is gone unnoticed leaves a worker that does nothing
                _log.exception("a thread of the worker broke", extra=facts(thread=name))
                self._orders.put(Broken(name))

        # A daemon: a handler that goes on for ever must not keep the process from ending.
        thread = threading.Thread(target=supervised, name=f"tq-{name}", daemon=True)
        self._threads[name] = thread
        thread.start()
        return thread

    def _link(self) -> Link:
        return Link(self._targets, token=self._options.settings.token)

    def _description(self) -> NewWorker:
        return NewWorker(
            name=self._options.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=list(self._options.queues),
            kinds=self._lanes.kinds or [],
            concurrency=self._options.slots,
            version=VERSION,
        )
