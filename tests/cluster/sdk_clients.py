"""Clients that use the SDK, as programs do, and write down what it told them of each call's outcome.

Run as ``python -m tests.cluster.sdk_clients NAME SEED HISTORY URL...``; ends when its standard input does.
What the SDK calls unavailable or busy was, by its word, not done: the checker holds it to that.
"""

import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tq
from tests.cluster.asking import NOT_HELD
from tests.cluster.raw_clients import LEASES_S, QUEUES, REST_S
from tests.cluster.records import Op, Outcome, Recorder, What, tag_of

T = TypeVar("T")

CALL_S = 10.0
BACKLOG_MAX = 100
CLAIM_MAX = 5


def outcome_of(error: tq.TqError) -> Outcome:
    """What the SDK's exceptions promise of a call that raised them.

    Raises:
        tq.TqError: none of these clients' calls should meet it.
    """
    if error.code in NOT_HELD:
        return "refused"
    if isinstance(error, tq.errors.TqUnavailable | tq.errors.Busy):
        return "fail"
    if isinstance(error, tq.errors.OutcomeUnknown | tq.errors.ServerError):
        return "info"
    raise error


class Stage:
    """What the clients of this process share.

    Args:
        name: of the process.
        seed: of all their choices.
        urls: of the nodes.
        recorder: for the history.
    """

    def __init__(self, name: str, seed: str, urls: Sequence[str], recorder: Recorder) -> None:
        self.name, self.seed, self.urls = name, seed, list(urls)
        self.ending = threading.Event()
        self._recorder = recorder
        self._writing = threading.Lock()
        self._backlog = 0

    @property
    def backlog(self) -> int:
        return self._backlog

    def write(self, *ops: Op, backlog: int = 0) -> None:
        """Writes ops down; ``backlog``: by how many tasks there is more to do."""
        with self._writing:
            self._recorder.write(*ops)
            self._backlog += backlog


class Client:
    """One thread with a client of its own.

    Args:
        stage: what it shares with the others.
        role: tells it from the others.
    """

    def __init__(self, stage: Stage, role: str) -> None:
        self.stage = stage
        self.name = f"{stage.name}-{role}"
        self.random = random.Random(f"{stage.seed}-{self.name}")
        self.tq = tq.Client(stage.urls, timeout_s=CALL_S)

    def work(self) -> None:
        """Does one thing after another until the stage ends."""
        while not self.stage.ending.wait(REST_S * self.random.random() * 2):
            self.turn()
        self.tq.close()

    def turn(self) -> None:
        """Does one thing."""
        raise NotImplementedError

    def ask(self, call: Callable[[], T]) -> tuple[T | None, dict[str, Any]]:
        """Makes a call; its result, and what an :class:`Op` says of how it went."""
        invoked = time.monotonic()
        made, outcome, code = None, "ok", ""
        try:
            made = call()
        except tq.TqError as error:
            outcome, code = outcome_of(error), error.code
        facts = {"invoked": invoked, "returned": time.monotonic(), "outcome": outcome, "code": code}
        return made, {"client": self.name, **facts}


class Producer(Client):
    """Enqueues; the SDK gives each call a key and repeats it."""

    def __init__(self, stage: Stage, role: str) -> None:
        super().__init__(stage, role)
        self._sent = 0

    def turn(self) -> None:
        if self.stage.backlog > BACKLOG_MAX:
            return
        self._sent += 1
        tag = f"{self.name}-{self._sent}"
        queue, priority = self.random.choice(QUEUES), self.random.randint(0, 255)
        made, facts = self.ask(
            lambda: self.tq.enqueue("fault", {"tag": tag}, queue=queue, priority=priority, max_attempts=1000)
        )
        task = made.id if made else ""
        self.stage.write(Op(what="enqueue", tag=tag, keyed=True, task=task, **facts), backlog=bool(made))


class Worker(Client):
    """Claims, beats, finishes; now and then it forgets a task."""

    def turn(self) -> None:
        lease_s, most = self.random.choice(LEASES_S), self.random.randint(1, CLAIM_MAX)
        claimed, facts = self.ask(
            lambda: self.tq.claim(self.name, queues=QUEUES, max=most, wait_s=0.2, lease_s=lease_s)
        )
        if claimed is None:
            self.stage.write(Op(what="claim", **facts))
            return
        held = [
            Op(
                what="claim",
                task=task.id,
                token=task.token,
                attempt=task.attempt,
                lease_s=lease_s,
                tag=tag_of(tq.value(task.payload)),
                **facts,
            )
            for task in claimed
        ]
        self.stage.write(*held, backlog=-len(held))
        for op in held:
            if self.random.random() < 0.2:
                self._say("heartbeat", op)
            if self.random.random() < 0.97:
                self._say(self.random.choices(("complete", "fail", "snooze"), weights=(80, 10, 10))[0], op)

    def _say(self, what: What, held: Op) -> None:
        finishes: dict[str, Callable[[], Any]] = {
            "heartbeat": lambda: self.tq.heartbeat(held.task, held.token, lease_s=held.lease_s),
            "complete": lambda: self.tq.complete(held.task, held.token, result={"by": held.token}),
            "fail": lambda: self.tq.fail(held.task, held.token, error="as the test wants it", delay_s=0),
            "snooze": lambda: self.tq.snooze(held.task, held.token),
        }
        made, facts = self.ask(finishes[what])
        state = "" if made is None or what == "heartbeat" else str(made.state)
        again = made is not None and what in ("fail", "snooze")
        self.stage.write(Op(what=what, task=held.task, token=held.token, state=state, **facts), backlog=again)


def main(name: str, seed: str, history: str, *urls: str) -> None:
    """Works until standard input ends; a client that gave up ends the process with what it met."""
    recorder = Recorder(Path(history))
    stage = Stage(name, seed, urls, recorder)
    met: list[BaseException] = []

    def work(client: Client) -> None:
        try:
            client.work()
        except BaseException as error:
            met.append(error)
            raise

    clients = [Producer(stage, "producer"), Worker(stage, "worker0"), Worker(stage, "worker1")]
    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    print("working", flush=True)
    sys.stdin.read()
    stage.ending.set()
    for thread in threads:
        thread.join()
    recorder.close()
    if met:
        raise met[0]


if __name__ == "__main__":
    main(*sys.argv[1:])
