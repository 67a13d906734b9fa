"""The lanes a worker needs for what it was told to run, and which kind goes where."""

from collections.abc import Callable

from tq.app import App
from tq.clock import Clock
from tq.wire import Outcome
from tq.worker.attempt import Attempt
from tq.worker.coroutines import CoroutineLane
from tq.worker.descriptors import keep_to_ourselves, make_room
from tq.worker.desk import Lane
from tq.worker.guard import Guard
from tq.worker.handlers import Handlers
from tq.worker.inline import InlineExecutor
from tq.worker.options import Options
from tq.worker.processes import ProcessExecutor
from tq.worker.program import ProgramExecutor
from tq.worker.shared import SharedSlots
from tq.worker.threads import Executor, Supervised, ThreadLane


class Lanes:
    """Builds the lanes; :meth:`of` then says where a kind runs.

    Args:
        options: what to run, and how.
        app: the functions, unless a program runs the tasks.
        clock: monotonic time.
    """

    def __init__(self, options: Options, app: App | None, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._handlers = None if app is None else Handlers(app)
        self._guard = Guard()
        self._coroutines: CoroutineLane | None = None
        self._threads: ThreadLane | None = None

    @property
    def kinds(self) -> list[str] | None:
        """The kinds to ask the node for; None asks for every kind."""
        chosen = self._options.kinds
        if chosen is not None:
            return list(chosen)
        return None if self._handlers is None else self._handlers.kinds

    def build(
        self,
        *,
        spawn: Supervised,
        begin: Callable[[Attempt, Lane], bool],
        ended: Callable[[Attempt, Outcome | None], None],
        busy: Callable[[], int],
    ) -> None:
        """Makes the lanes; the arguments are those of :class:`ThreadLane`."""
        kinds = set(self.kinds or ())
        coroutines = kinds & self._handlers.coroutines if self._handlers is not None else set()
        slots = self._options.slots
        both = bool(coroutines) and coroutines != kinds
        # Without prefetch no more tasks are in hand than there are slots, whichever lane they go to.
        shared = SharedSlots(slots) if both and self._options.prefetch else None
        if coroutines and self._handlers is not None:
            self._coroutines = CoroutineLane(
                self._handlers, slots=slots, spawn=spawn, begin=begin, ended=ended, shared=shared
            )
        if coroutines != kinds or self._handlers is None:
            self._threads = ThreadLane(
                self._executor(),
                slots=slots,
                spawn=spawn,
                begin=begin,
                ended=ended,
                busy=busy,
                shared=shared,
            )

    def of(self, kind: str) -> Lane:
        """The lane that runs ``kind``."""
        if self._coroutines is not None and (
            self._threads is None or (self._handlers is not None and kind in self._handlers.coroutines)
        ):
            return self._coroutines
        if self._threads is None:
            raise RuntimeError("the lanes are not built")
        return self._threads

    def close(self) -> None:
        """Ends the lanes' threads and processes."""
        for lane in (self._coroutines, self._threads):
            if lane is not None:
                lane.close()
        self._guard.close()

    def _executor(self) -> Executor:
        options = self._options
        if options.program is not None or options.processes:
            make_room(options.slots)
            keep_to_ourselves()
        if options.program is not None:
            return ProgramExecutor(
                options.program,
                clock=self._clock,
                environment=options.environment,
                pass_on=options.pass_on,
                kill_after_s=options.kill_after_s,
                guard=self._guard,
                logs=options.logs,
            )
        if options.processes and options.target is not None:
            return ProcessExecutor(
                options.target,
                clock=self._clock,
                environment=options.environment,
                kill_after_s=options.kill_after_s,
                guard=self._guard,
            )
        if self._handlers is None:
            raise ValueError("a worker needs an app or a program")
        return InlineExecutor(self._handlers)
