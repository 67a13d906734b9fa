"""Clients that keep a node busy, survive its deaths, and write down all they asked and were answered."""

import asyncio
import json
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from tests.e2e.history import Enqueue, Grant, History, Said, What
from tests.e2e.raw_http import Answer, NoAnswer, NotSent, RawClient

QUEUES = ("left", "right")
LEASES_S = (0.02, 0.02, 0.1, 1.0, 10.0)
"""The shortest run out between two kills: after each start a lease has its full time again."""
ARRAY_MAX = 6
CLAIM_MAX = 8
BACKLOG_MAX = 400
"""Tasks that were sent and not yet given out; above it no more are sent, so that workers keep up."""


class Stage:
    """What the clients share.

    Args:
        url: of the node.
        seed: of all their choices.
    """

    def __init__(self, url: str, seed: int) -> None:
        self.url = url
        self.seed = seed
        self.history = History()
        self.up = asyncio.Event()
        """Set while the node is thought to run."""
        self.ending = False
        """Nothing new is begun; what was begun is brought to an answer."""
        self.answered = 0
        self.answer_came = asyncio.Event()
        self.backlog = 0

    def note_answer(self) -> None:
        self.answered += 1
        self.answer_came.set()


class Client(ABC):
    """One client with its own connection and its own chance.

    Args:
        stage: what it shares with the others.
        name: tells it from the others.
    """

    def __init__(self, stage: Stage, name: str) -> None:
        self.stage = stage
        self.name = name
        self.random = random.Random(f"{stage.seed}-{name}")
        self.http = RawClient(stage.url)

    async def ask(self, path: str, body: Any, **headers: str) -> Answer | None:
        """The answer; None if it was lost. A node that can't be reached is waited for."""
        while True:
            await self.stage.up.wait()
            try:
                answer = await self.http.post(path, body, **headers)
            except NotSent:
                # Down, or not up yet: whoever restarts it says when.
                await asyncio.sleep(0.005)
                continue
            except NoAnswer:
                return None
            self.stage.note_answer()
            return answer

    async def work(self) -> None:
        """Does one thing after another until the stage ends."""
        try:
            while not self.stage.ending:
                await self.turn()
        finally:
            self.http.close()

    @abstractmethod
    async def turn(self) -> None:
        """Does one thing."""


class Producer(Client):
    """Enqueues single tasks and arrays; most with a key, which it repeats until there is an answer."""

    def __init__(self, stage: Stage, name: str) -> None:
        super().__init__(stage, name)
        self._sent = 0

    async def turn(self) -> None:
        if self.stage.backlog > BACKLOG_MAX:
            await asyncio.sleep(0.01)
            return
        count = self.random.choice((0, 0, 0, self.random.randint(1, ARRAY_MAX)))
        tasks = [self._new_task() for _ in range(count or 1)]
        body = tasks if count else tasks[0]
        headers = {}
        keyed = self.random.random() < 0.8
        if keyed:
            headers["idempotency_key"] = tasks[0]["payload"]["tag"]
        while not await self._send(tasks, body, headers) and keyed:
            pass
        self.stage.backlog += len(tasks)

    def _new_task(self) -> dict[str, Any]:
        self._sent += 1
        return {
            "kind": "crash",
            "queue": self.random.choice(QUEUES),
            "priority": self.random.randint(0, 255),
            "max_attempts": 1000,
            "lease_s": self.random.choice(LEASES_S),
            "payload": {"tag": f"{self.name}-{self._sent}"},
        }

    async def _send(self, tasks: list[dict[str, Any]], body: Any, headers: dict[str, str]) -> bool:
        """Sends one request; whether it was answered."""
        answer = await self.ask("/v1/tasks", body, **headers)
        ids: list[str | None] = [None] * len(tasks)
        if answer is not None:
            assert answer.status in (200, 201), answer
            made = answer.json()
            ids = [one["id"] for one in made["results"]] if isinstance(body, list) else [made["id"]]
        for task, task_id in zip(tasks, ids, strict=True):
            self.stage.history.enqueues.append(Enqueue(task["payload"]["tag"], bool(headers), task_id))
        return answer is not None


class Worker(Client):
    """Claims tasks and does to them what workers do: well, badly, late or not at all."""

    async def turn(self) -> None:
        queues = self.random.sample(QUEUES, k=2)
        held = await self.claim(queues, self.random.randint(1, CLAIM_MAX), wait_s=0.05)
        if held and self.random.random() < 0.4:
            await self.say_many([(grant, self._choice()) for grant in held])
            return
        for grant in held:
            if self.random.random() < 0.25:
                await self._heartbeat(grant)
            if self.random.random() < 0.05:
                continue  # abandoned: its lease will run out
            if self.random.random() < 0.1:
                await asyncio.sleep(2 * LEASES_S[0])  # a zombie, if the lease was a short one
            await self.say(grant, self._choice())

    def _choice(self) -> What:
        choices: list[What] = ["complete", "fail", "snooze", "bury"]
        return self.random.choices(choices, weights=(70, 10, 15, 5))[0]

    async def claim(self, queues: list[str], most: int, *, wait_s: float = 0) -> list[Grant]:
        """Claims, and writes down what it got."""
        ask = {"queues": queues, "max": most, "wait_s": wait_s, "worker": self.name}
        invoked = time.monotonic()
        answer = await self.ask("/v1/claims", ask)
        if answer is None:
            return []
        assert answer.status == 200, answer
        returned, returned_ms = time.monotonic(), time.time_ns() // 1_000_000
        grants = [
            Grant(
                task=task["id"],
                token=task["token"],
                attempt=task["attempt"],
                invoked=invoked,
                returned=returned,
                returned_ms=returned_ms,
                lease_expires_ms=moment_ms(task["lease_expires_at"]),
            )
            for task in answer.json()["tasks"]
        ]
        self.stage.history.grants += grants
        self.stage.backlog -= len(grants)
        return grants

    async def _heartbeat(self, grant: Grant) -> None:
        await self._put("heartbeat", grant, {"token": grant.token})

    async def say(self, grant: Grant, what: What) -> None:
        """Finishes a task, again and again until there is an answer."""
        while not await self._put(what, grant, finish(grant, what)):
            pass

    async def _put(self, what: What, grant: Grant, body: dict[str, Any]) -> bool:
        """Sends one heartbeat or finish; whether it was answered."""
        invoked = time.monotonic()
        verb = "fail" if what == "bury" else what
        answer = await self.ask(f"/v1/tasks/{grant.task}/{verb}", body)
        if answer is None:
            self._note(grant, what, "unknown", invoked)
        elif answer.status == 409:
            self._note(grant, what, "refused", invoked)
        else:
            assert answer.status == 200, answer
            made = answer.json()
            expires = made.get("lease_expires_at")
            self._note(
                grant,
                what,
                "ok",
                invoked,
                state=made.get("state"),
                lease_expires_ms=moment_ms(expires) if expires else 0,
            )
        return answer is not None

    async def say_many(self, finishes: list[tuple[Grant, What]]) -> None:
        """Finishes many in one request, again and again until there is an answer."""
        outcomes = [
            {"id": grant.task, "outcome": "fail" if what == "bury" else what} | finish(grant, what)
            for grant, what in finishes
        ]
        while True:
            invoked = time.monotonic()
            answer = await self.ask("/v1/outcomes", {"outcomes": outcomes})
            if answer is not None:
                break
            for grant, what in finishes:
                self._note(grant, what, "unknown", invoked)
        assert answer.status == 200, answer
        for (grant, what), made in zip(finishes, answer.json()["results"], strict=True):
            if "error" in made:
                assert made["error"]["code"] == "lease_lost", made
                self._note(grant, what, "refused", invoked)
            else:
                self._note(grant, what, "ok", invoked, state=made["state"])

    def _note(
        self,
        grant: Grant,
        what: What,
        outcome: Literal["ok", "refused", "unknown"],
        invoked: float,
        **facts: Any,
    ) -> None:
        self.stage.history.said.append(
            Said(
                task=grant.task,
                token=grant.token,
                what=what,
                outcome=outcome,
                invoked=invoked,
                returned=time.monotonic(),
                **facts,
            )
        )
        if outcome == "ok" and what in ("fail", "snooze"):
            self.stage.backlog += 1


def finish(grant: Grant, what: What) -> dict[str, Any]:
    """The body that finishes a task so."""
    if what == "complete":
        return {"token": grant.token, "result": {"by": grant.token}}
    if what == "snooze":
        return {"token": grant.token}
    error = {"type": "Crash", "message": "as the test wants it"}
    if what == "bury":
        return {"token": grant.token, "retry": False, "error": error}
    return {"token": grant.token, "delay_s": 0, "error": error}


def moment_ms(stamp: str) -> int:
    """Milliseconds of an RFC 3339 moment."""
    return round(datetime.fromisoformat(stamp).timestamp() * 1000)


def crew(stage: Stage) -> list[Client]:
    """All clients of the load."""
    makers: list[tuple[Callable[[Stage, str], Client], str]] = [
        *((Producer, f"producer{number}") for number in range(3)),
        *((Worker, f"worker{number}") for number in range(4)),
    ]
    return [make(stage, name) for make, name in makers]


def tag_of(payload: Any) -> str:
    """The tag in a task's payload."""
    tag = payload["tag"] if isinstance(payload, dict) else json.dumps(payload)
    assert isinstance(tag, str)
    return tag
