"""Clients over raw HTTP that keep a cluster busy and write down all they asked and were answered.

Run as ``python -m tests.cluster.raw_clients NAME SEED HISTORY URL...``; ends, with nothing begun left open,
when its standard input does.
"""

import asyncio
import contextlib
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.cluster.asking import NOT_HELD, Asker, Reply
from tests.cluster.records import Op, Recorder, What

QUEUES = ("left", "right")
PROBE_QUEUE = "probe"
LEASES_S = (0.5, 2.0, 5.0, 10.0)
PROBE_LEASE_S = 1.0
ARRAY_MAX = 6
CLAIM_MAX = 8
BACKLOG_MAX = 300
REST_S = 0.02
"""Between two turns of a client, so that three nodes on two cores keep up."""
AGAIN_S = (0.02, 0.3)
"""Before a retry: at random between the two."""
AGAIN_MAX = 60


class Stage:
    """What the clients of one process share.

    Args:
        name: of the process.
        seed: of all their choices.
        urls: of the nodes.
        recorder: for the history.
    """

    def __init__(self, name: str, seed: str, urls: Sequence[str], recorder: Recorder) -> None:
        self.name, self.seed = name, seed
        self.urls = urls
        self.recorder = recorder
        self.ending = asyncio.Event()
        self.backlog = 0


class Client:
    """One client with its own connections and its own chance.

    Args:
        stage: what it shares with the others.
        role: tells it from the others.
    """

    def __init__(self, stage: Stage, role: str) -> None:
        self.stage = stage
        self.name = f"{stage.name}-{role}"
        self.random = random.Random(f"{stage.seed}-{self.name}")
        self.asker = Asker(stage.urls)

    async def work(self) -> None:
        """Does one thing after another until the stage ends."""
        try:
            while not self.stage.ending.is_set():
                await self.turn()
                await asyncio.sleep(REST_S * self.random.random() * 2)
        finally:
            self.asker.close()

    async def turn(self) -> None:
        """Does one thing."""
        raise NotImplementedError

    async def pause(self) -> None:
        """Before a retry."""
        await asyncio.sleep(self.random.uniform(*AGAIN_S))

    def note(self, reply: Reply, what: What, **facts: Any) -> None:
        self.stage.recorder.write(self.op(reply, what, **facts))

    def op(self, reply: Reply, what: What, **facts: Any) -> Op:
        made = Op(
            client=self.name,
            what=what,
            invoked=reply.invoked,
            returned=reply.returned,
            outcome=reply.outcome,
            node=reply.node,
            code=reply.code,
        )
        return msgspec.structs.replace(made, **facts)


class Producer(Client):
    """Enqueues single tasks and arrays; most with a key, which it repeats until there is a clear answer."""

    def __init__(self, stage: Stage, role: str) -> None:
        super().__init__(stage, role)
        self._sent = 0

    async def turn(self) -> None:
        if self.stage.backlog > BACKLOG_MAX:
            return
        count = self.random.choice((0, 0, 0, self.random.randint(1, ARRAY_MAX)))
        tasks = [self.new_task() for _ in range(count or 1)]
        await self.enqueue(tasks, array=bool(count), keyed=self.random.random() < 0.8)

    def new_task(self, **facts: Any) -> dict[str, Any]:
        self._sent += 1
        return {
            "kind": "fault",
            "queue": self.random.choice(QUEUES),
            "priority": self.random.randint(0, 255),
            "max_attempts": 1000,
            "payload": {"tag": f"{self.name}-{self._sent}"},
        } | facts

    async def enqueue(self, tasks: list[dict[str, Any]], *, array: bool, keyed: bool) -> bool:
        """Sends one request, again while it has a key and no clear answer; whether it was acknowledged."""
        headers = {"idempotency_key": tasks[0]["payload"]["tag"]} if keyed else {}
        for _ in range(AGAIN_MAX):
            reply = await self.asker.post("/v1/tasks", tasks if array else tasks[0], **headers)
            ids = [""] * len(tasks)
            if reply.outcome == "ok":
                made = reply.json()
                ids = [one["id"] for one in (made["results"] if array else [made])]
                self.stage.backlog += len(ids)
            for task, task_id in zip(tasks, ids, strict=True):
                self.note(reply, "enqueue", tag=task["payload"]["tag"], keyed=keyed, task=task_id)
            if reply.outcome == "ok" or not keyed:
                return reply.outcome == "ok"
            await self.pause()
        return False


class Worker(Client):
    """Claims tasks and does to them what workers do: well, badly, late or not at all."""

    async def turn(self) -> None:
        queues = self.random.sample(QUEUES, k=2)
        most, lease_s = self.random.randint(1, CLAIM_MAX), self.random.choice(LEASES_S)
        held = await self.claim(queues, most, lease_s=lease_s, wait_s=0.2)
        if held and self.random.random() < 0.3:
            await self.say_many([(op, self._choice()) for op in held])
            return
        for op in held:
            if self.random.random() < 0.25:
                await self._put("heartbeat", op, {"token": op.token, "lease_s": lease_s})
            if self.random.random() < 0.03:
                continue  # abandoned: its lease will run out
            if self.random.random() < 0.05:
                await asyncio.sleep(2 * LEASES_S[0])  # a zombie, if the lease was a short one
            await self.say(op, self._choice())

    def _choice(self) -> What:
        choices: list[What] = ["complete", "fail", "snooze", "bury"]
        return self.random.choices(choices, weights=(75, 10, 10, 5))[0]

    async def claim(
        self,
        queues: Sequence[str],
        most: int,
        *,
        lease_s: float,
        wait_s: float = 0.0,
        abandoned: bool = False,
    ) -> list[Op]:
        """Claims, and writes down what it got."""
        ask = {"queues": queues, "max": most, "wait_s": wait_s, "worker": self.name, "lease_s": lease_s}
        reply = await self.asker.post("/v1/claims", ask, wait_s=wait_s)
        if reply.outcome != "ok":
            self.note(reply, "claim")
            await self.pause()
            return []
        held = [
            self.op(
                reply,
                "claim",
                task=task["id"],
                token=task["token"],
                attempt=task["attempt"],
                lease_s=lease_s,
                tag=task["payload"]["tag"],
                abandoned=abandoned,
            )
            for task in reply.json()["tasks"]
        ]
        self.stage.recorder.write(*held)
        self.stage.backlog -= len(held)
        return held

    async def say(self, held: Op, what: What) -> None:
        """Finishes a task, again until there is a clear answer."""
        for _ in range(AGAIN_MAX):
            if await self._put(what, held, finish(held.token, what)):
                return
            await self.pause()

    async def _put(self, what: What, held: Op, body: dict[str, Any]) -> bool:
        """Sends one heartbeat or finish; whether the answer was a clear one."""
        verb = "fail" if what == "bury" else what
        reply = await self.asker.post(f"/v1/tasks/{held.task}/{verb}", body)
        state = str(reply.json().get("state", "")) if reply.outcome == "ok" else ""
        self.note(reply, what, task=held.task, token=held.token, state=state)
        if reply.outcome == "ok" and what in ("fail", "snooze"):
            self.stage.backlog += 1
        return reply.outcome in ("ok", "refused")

    async def say_many(self, finishes: list[tuple[Op, What]]) -> None:
        """Finishes many in one request, again until there is a clear answer."""
        outcomes = [
            {"id": held.task, "outcome": "fail" if what == "bury" else what} | finish(held.token, what)
            for held, what in finishes
        ]
        for _ in range(AGAIN_MAX):
            reply = await self.asker.post("/v1/outcomes", {"outcomes": outcomes})
            if reply.outcome == "ok":
                for (held, what), made in zip(finishes, reply.json()["results"], strict=True):
                    self._note_one_of_many(reply, held, what, made)
                return
            for held, what in finishes:
                self.note(reply, what, task=held.task, token=held.token)
            await self.pause()

    def _note_one_of_many(self, reply: Reply, held: Op, what: What, made: dict[str, Any]) -> None:
        facts: dict[str, Any] = {"task": held.task, "token": held.token}
        if "error" in made:
            code = made["error"]["code"]
            assert code in NOT_HELD, made
            facts |= {"outcome": "refused", "code": code}
        else:
            facts["state"] = made["state"]
            if what in ("fail", "snooze"):
                self.stage.backlog += 1
        self.note(reply, what, **facts)


def finish(token: str, what: What) -> dict[str, Any]:
    """The body that finishes a task so."""
    if what == "complete":
        return {"token": token, "result": {"by": token}}
    if what == "snooze":
        return {"token": token}
    error = {"type": "Fault", "message": "as the test wants it"}
    if what == "bury":
        return {"token": token, "retry": False, "error": error}
    return {"token": token, "delay_s": 0, "error": error}


class Probe(Client):
    """A worker that dies with its task, and a live one that waits for it: how long until it gets it?

    In a queue of their own, so that nothing else is between the two.
    """

    def __init__(self, stage: Stage, role: str) -> None:
        super().__init__(stage, role)
        self._producer = Producer(stage, f"{role}-producer")
        self._dying, self._live = Worker(stage, f"{role}-dying"), Worker(stage, f"{role}-live")

    async def turn(self) -> None:
        task = self._producer.new_task(queue=PROBE_QUEUE)
        if not await self._producer.enqueue([task], array=False, keyed=True):
            return
        # An earlier task may be there as well, from a claim whose answer was lost.
        held = await self._dying.claim([PROBE_QUEUE], 1, lease_s=PROBE_LEASE_S, abandoned=True)
        while held and not self.stage.ending.is_set():
            got = await self._live.claim([PROBE_QUEUE], 10, lease_s=LEASES_S[-1], wait_s=1.0)
            if got:
                await self._live.say_many([(op, "complete") for op in got])
            if any(op.task == held[0].task for op in got):
                return

    async def work(self) -> None:
        try:
            await super().work()
        finally:
            for client in (self._producer, self._dying, self._live):
                client.asker.close()


def crew(stage: Stage) -> list[Client]:
    """All clients of one process."""
    return [
        *(Producer(stage, f"producer{number}") for number in range(3)),
        *(Worker(stage, f"worker{number}") for number in range(4)),
        Probe(stage, "probe"),
    ]


async def main(name: str, seed: str, history: str, *urls: str) -> None:
    """Works until standard input ends."""
    recorder = Recorder(Path(history))
    stage = Stage(name, seed, urls, recorder)
    clients = [asyncio.create_task(client.work(), name=client.name) for client in crew(stage)]
    ordered = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    print("working", flush=True)
    # A client that gave up ends the process at once, with what it met.
    await asyncio.wait({ordered, *clients}, return_when=asyncio.FIRST_COMPLETED)
    stage.ending.set()
    began = time.monotonic()
    await asyncio.gather(*clients)
    recorder.close()
    with contextlib.suppress(BrokenPipeError):
        print(f"ended in {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
