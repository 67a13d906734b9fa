"""Runs the clients' programs without a network: the test answers their effects, on a clock of its own."""

from collections.abc import Callable
from typing import Any

import msgspec

from tq.config import Settings
from tq.effects import Effect, Emit, Open, Pause, Program, Reply, Send
from tq.exchange import Exchange
from tq.programs import Session

NODE = "http://node:7333"
OTHER = "http://other:7333"


class ManualClock:
    """Time that moves only when a program pauses, and chance that is not."""

    def __init__(self, *, chance: float = 0.5) -> None:
        self.now = 1000.0
        self.chance = chance
        self._bits = 0

    def now_ms(self) -> int:
        return int(self.now * 1000)

    def monotonic(self) -> float:
        return self.now

    def fraction(self) -> float:
        return self.chance

    def bits(self, count: int) -> int:
        self._bits += 1
        return self._bits % (1 << count)

    def pause(self, seconds: float) -> None:
        self.now += seconds

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


class Drive:
    """Runs one program to its end, and keeps what it asked for.

    Args:
        program: what to run.
        answer: makes the answer to each effect but Pause and Emit.
        clock: moves with each pause.
        emits_max: after so many items, the program is ended from outside.
    """

    def __init__(
        self,
        program: Program[Any],
        answer: Callable[[Effect], Any],
        clock: ManualClock,
        *,
        emits_max: int = 10_000,
    ) -> None:
        self.pauses: list[float] = []
        self.items: list[Any] = []
        self.effects: list[Effect] = []
        self.result: Any = None
        reply: Any = None
        while len(self.items) < emits_max:
            try:
                effect = program.send(reply)
            except StopIteration as end:
                self.result = end.value
                return
            reply = None
            if isinstance(effect, Pause):
                self.pauses.append(effect.seconds)
                clock.now += effect.seconds
            elif isinstance(effect, Emit):
                self.items.append(effect.item)
            else:
                self.effects.append(effect)
                reply = answer(effect)
        program.close()


class Script:
    """Answers sends in order, the last one for ever, and keeps the requests."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.requests: list[Any] = []

    def __call__(self, effect: Effect) -> Any:
        if isinstance(effect, Send | Open):
            self.requests.append(effect.request)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    @property
    def urls(self) -> list[str]:
        return [request.url for request in self.requests]


def exchange(
    clock: ManualClock, *urls: str, token: str | None = None, timeout_s: float = 30.0, retries: int = 5
) -> Exchange:
    return Exchange(Settings(urls or (NODE,), token), timeout_s=timeout_s, retries=retries, clock=clock)


def session(clock: ManualClock, *urls: str, timeout_s: float = 30.0, retries: int = 5) -> Session:
    return Session(Settings(urls or (NODE,), None), timeout_s=timeout_s, retries=retries, clock=clock)


def reply(value: Any, *, status: int = 200) -> Reply:
    return Reply(status=status, headers={"content-type": "application/json"}, body=msgspec.json.encode(value))


def problem(status: int, code: str, *, retry_after: str | None = None, **facts: Any) -> Reply:
    headers = {"content-type": "application/problem+json"}
    if retry_after is not None:
        headers["retry-after"] = retry_after
    body = {"type": f"/docs/api#{code}", "title": code, "status": status, "code": code, "detail": "so"}
    return Reply(status=status, headers=headers, body=msgspec.json.encode({**body, **facts}))


def task_row(task_id: str, *, state: str = "ready") -> dict[str, Any]:
    """A task as the node answers it."""
    return {
        "id": task_id,
        "queue": "default",
        "kind": "k",
        "state": state,
        "priority": 128,
        "created_at": "2026-01-01T00:00:00.000Z",
        "run_at": "2026-01-01T00:00:00.000Z",
        "attempt": 0,
        "max_attempts": 10,
        "lease_s": 30.0,
    }
