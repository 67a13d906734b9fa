"""Many enqueues of one client at a time, without a network: a test says which of them goes on, and how."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.tq.driving import ManualClock, exchange, problem, reply, task_row
from tq import errors, wire
from tq.bounds import Bounds
from tq.effects import Effect, Lost, Pause, Program, Reply, Request, Send, Wait
from tq.gathering import Gathering
from tq.ids import time_ordered_id

TIMEOUT_S = 30.0
BUSY = problem(503, "overloaded", retry_after_s=0.1)


class FlagGate:
    """A gate that the test looks at."""

    def __init__(self) -> None:
        self.opened = False

    @staticmethod
    def owner() -> int | None:
        return None

    def open(self) -> None:
        self.opened = True


class Store:
    """What a node does with enqueues: each key once, no task of the kind ``refused``, none into ``full``."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._known: dict[str, tuple[bytes | None, Reply]] = {}
        self.numbers: dict[str, int] = {}
        self.lease_s = 30.0

    def made(self) -> list[int]:
        """The numbers of all tasks."""
        return sorted(self.numbers.values())

    def answer(self, request: Request) -> Reply:
        key = request.headers["idempotency-key"]
        if key in self._known:
            body, told = self._known[key]
            return told if body == request.body else problem(409, "idempotency_mismatch")
        sent = msgspec.json.decode(request.body or b"", type=wire.NewTask | list[wire.NewTask])
        news = sent if isinstance(sent, list) else [sent]
        for index, new in enumerate(news):
            where = f"[{index}]." if isinstance(sent, list) else ""
            if new.kind == "refused":
                return problem(422, "invalid_field", field=f"{where}kind")
            if new.queue == "full":
                return problem(429, "queue_full", retry_after_s=5.0)
        rows = [self._made(new) for new in news]
        told = reply({"results": rows} if isinstance(sent, list) else rows[0], status=201)
        self._known[key] = request.body, told
        return told

    def _made(self, new: wire.NewTask) -> dict[str, Any]:
        task_id = time_ordered_id(self._clock)
        self.numbers[task_id] = 0 if new.payload is msgspec.UNSET else msgspec.json.decode(new.payload)
        row = task_row(task_id) | {"kind": new.kind, "queue": new.queue, "lease_s": self.lease_s}
        return row | ({} if new.max_attempts is None else {"max_attempts": new.max_attempts})


class Call:
    """One caller: its program, what it asks for just now, and how it ended."""

    def __init__(self, program: Program[wire.Task]) -> None:
        self._program = program
        self.asks: Effect | None = None
        self.end: wire.Task | BaseException | None = None

    @property
    def request(self) -> Request:
        assert isinstance(self.asks, Send), self.asks
        return self.asks.request

    @property
    def rows(self) -> list[Any]:
        """The tasks in the request that it asks for."""
        sent = msgspec.json.decode(self.request.body or b"")
        return sent if isinstance(sent, list) else [sent]

    @property
    def task(self) -> wire.Task:
        assert isinstance(self.end, wire.Task), self.end
        return self.end

    def go_on(self, answer: Any = None) -> None:
        try:
            self.asks = self._program.send(answer)
        except StopIteration as end:
            self.asks, self.end = None, end.value
        except (errors.TqError, ValueError, TypeError) as error:
            self.asks, self.end = None, error

    def stop(self, reason: BaseException) -> None:
        """As the clients do when what a program asked for was cut short by an exception."""
        self._program.close()
        self.asks, self.end = None, reason


class Crowd:
    """The callers of one client."""

    def __init__(self, *, timeout_s: float = TIMEOUT_S) -> None:
        self.clock = ManualClock()
        self.store = Store(self.clock)
        self.bounds = Bounds()
        self.gathering = Gathering(
            exchange(self.clock, timeout_s=timeout_s),
            self.bounds,
            timeout_s=timeout_s,
            clock=self.clock,
            gate=FlagGate,
        )
        self.calls: list[Call] = []

    def call(self, number: int = 0, **options: Any) -> Call:
        """Begins an enqueue, and goes on until it has to wait for something."""
        options = {"kind": "k", "payload": msgspec.Raw(b"%d" % number), **options}
        call = Call(self.gathering.enqueue(wire.NewTask(**options)))
        self.calls.append(call)
        call.go_on()
        return call

    def ready(self, call: Call) -> bool:
        """Whether the call need not wait for time to pass."""
        return not isinstance(call.asks, Wait) or call.asks.gate.opened

    def step(self, call: Call, fault: str = "") -> None:
        """One effect carried out; a request with a ``fault``: busy, unsent, lost before or after its work."""
        asks = call.asks
        if isinstance(asks, Wait):
            if not asks.gate.opened:
                self.clock.now += asks.seconds
            asks.gate.opened = False
            call.go_on()
        elif isinstance(asks, Pause):
            self.clock.now += asks.seconds
            call.go_on()
        elif fault == "busy":
            call.go_on(BUSY)
        elif fault in ("unsent", "lost before"):
            call.go_on(Lost(sent=fault != "unsent", reason=fault))
        else:
            answer = self.store.answer(call.request)
            call.go_on(Lost(sent=True, reason=fault) if fault == "lost after" else answer)

    def stop(self, call: Call, fault: str) -> None:
        """Stopped where it is; with ``stop late`` the node has done the work already."""
        if fault == "stop late" and isinstance(call.asks, Send):
            self.store.answer(call.request)
        call.stop(KeyboardInterrupt())

    def open_calls(self) -> list[Call]:
        return [call for call in self.calls if call.asks is not None]

    def finish(self) -> None:
        """Carries on with all of them until each has ended; time passes only when nobody can go on."""
        for _ in range(200 + 50 * len(self.calls)):
            waiting = self.open_calls()
            if not waiting:
                return
            able = [call for call in waiting if self.ready(call)]
            self.step(able[0] if able else min(waiting, key=lambda call: call.asks.seconds))  # type: ignore[union-attr]  # all of them wait
        raise AssertionError(f"{len(self.open_calls())} callers do not come to an end")
