"""Batches while the node is killed again and again: each callback comes once, and the counts are right."""

import random
import secrets
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import tq
from tests.e2e.processes import NodeProcess, running_node
from tests.waiting import eventually
from tq import errors

LARGE = 10_000
SMALL = 30
SMALL_SIZE = 40
DOOMED = 3_000
ADDITIONS = 60
KILLS = 12
SEED = secrets.randbelow(1_000_000)
LEASE_S = 2.0
OPTIONS: dict[str, Any] = {"queue": "q", "max_attempts": 1_000}
CALLBACKS: Any = {
    event: tq.new_task(event, queue="after") for event in ("on_failure", "on_finished", "on_success")
}


@dataclass
class Worker:
    """Claims and ends tasks until told to stop, whatever becomes of the node meanwhile.

    Args:
        url: the node's.
        name: its own.
    """

    url: str
    name: str
    stop: threading.Event
    batches: set[str | None] = field(default_factory=set)

    def run(self) -> None:
        with tq.Client(self.url, timeout_s=5, retries=0) as client:
            while not self.stop.is_set():
                try:
                    self._work(client)
                except tq.TqError:
                    self.stop.wait(0.02)

    def _work(self, client: tq.Client) -> None:
        tasks = client.claim(self.name, queues=["q"], max=60, wait_s=0.2, lease_s=LEASE_S)
        self.batches |= {task.batch for task in tasks}
        outcomes: list[tq.wire.Outcome] = [
            tq.wire.FailOutcome(id=task.id, token=task.token, retry=False)
            if task.kind == "bad"
            else tq.wire.CompleteOutcome(id=task.id, token=task.token)
            for task in tasks
        ]
        if outcomes:
            client.outcomes(outcomes)


@dataclass
class Producer:
    """Adds to an open batch, one task after the other, then closes it.

    Args:
        url: the node's.
        batch: the batch's id.
    """

    url: str
    batch: str

    def run(self) -> None:
        with tq.Client(self.url, timeout_s=60, retries=1_000) as client:
            for number in range(ADDITIONS):
                key = f"{self.batch}/{number}"
                again(
                    lambda key=key: client.add_to_batch(
                        self.batch, [tq.new_task("late", **OPTIONS)], idempotency_key=key
                    )
                )  # type: ignore[misc]  # a default
            again(lambda: client.close_batch(self.batch))


def again(call: Any) -> None:
    """Makes a call that may be repeated, until it is answered."""

    def answered() -> bool:
        call()
        return True

    eventually(answered, within_s=120, ignoring=(errors.TqUnavailable, errors.OutcomeUnknown, errors.Busy))


@pytest.mark.timeout(600)  # a dozen starts on a loaded machine
def test_kills_under_load_leave_out_no_callback_and_make_none_twice(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    with running_node(tmp_path, "--crashes-max", "1000", "--log-level", "warning") as node:
        stop = threading.Event()
        workers = [Worker(node.url, f"w{n}", stop) for n in range(2)]
        threads = [threading.Thread(target=worker.run, daemon=True) for worker in workers]
        with tq.Client(node.url, timeout_s=60) as client:
            plain = tq.new_task("member", **OPTIONS)
            large = client.enqueue_batch([plain] * LARGE, name="large", **CALLBACKS).id
            small = [
                client.enqueue_batch(
                    [plain] * SMALL_SIZE + [tq.new_task("bad", **OPTIONS)] * (n % 2), **CALLBACKS
                ).id
                for n in range(SMALL)
            ]
            doomed = client.enqueue_batch(
                [tq.new_task("never", queue="idle")] * DOOMED, name="doomed", **CALLBACKS
            ).id
            open_one = client.enqueue_batch(name="open", open=True, **CALLBACKS).id
            threads.append(threading.Thread(target=Producer(node.url, open_one).run, daemon=True))
            for thread in threads:
                thread.start()
            # Most of its members are cancelled after the answer: and then comes the first kill.
            assert client.cancel_batch(doomed).pending > 0
            for _ in range(KILLS):
                stop.wait(chance.choice([0.0, 0.01, 0.05, 0.3]))
                node.kill()
                node.restart()
            every = [large, *small, doomed, open_one]
            eventually(lambda: all_ended(client, every), within_s=240, ignoring=(AssertionError, tq.TqError))
            stop.set()
            for thread in threads:
                thread.join(60)
            judge(client, large=large, small=small, doomed=doomed, open_one=open_one)
        assert workers[0].batches | workers[1].batches == {large, *small, open_one}
        restart_and_compare(node)


def all_ended(client: tq.Client, batches: list[str]) -> bool:
    unfinished = [found for found in map(client.batch, batches) if found.state != "finished" or found.pending]
    assert not unfinished, unfinished
    return True


def judge(client: tq.Client, *, large: str, small: list[str], doomed: str, open_one: str) -> None:
    """The counts of each batch, and that its callbacks came once each."""
    expected = {large: (LARGE, 0, 0), doomed: (0, 0, DOOMED), open_one: (ADDITIONS, 0, 0)}
    expected |= {batch: (SMALL_SIZE, n % 2, 0) for n, batch in enumerate(small)}
    wanted: Counter[tuple[str, str]] = Counter()
    for batch, counts in expected.items():
        found = client.batch(batch)
        assert (found.succeeded, found.dead, found.cancelled) == counts, found
        _, dead, cancelled = counts
        events = [
            "on_finished",
            *(["on_failure"] if dead else []),
            *([] if dead or cancelled else ["on_success"]),
        ]
        wanted.update((batch, event) for event in events)
    eventually(lambda: made(client) >= wanted, within_s=60)
    assert made(client) == wanted
    for batch in expected:
        found = client.batch(batch)
        for event in ("on_failure", "on_finished", "on_success"):
            told = getattr(found, event).task
            assert (told is not None) == ((batch, event) in wanted)
            assert told is None or client.get(told).kind == event


def made(client: tq.Client) -> Counter[tuple[str, str]]:
    """How often each callback has come, by the tasks there are."""
    return Counter((tq.value(task.meta)["batch"]["id"], task.kind) for task in client.list(queue="after"))


def restart_and_compare(node: NodeProcess) -> None:
    """After one more start, nothing has come in addition."""
    with tq.Client(node.url, timeout_s=60) as client:
        before = made(client)
        node.kill()
        node.restart()
        eventually(lambda: client.stats().totals, within_s=30, ignoring=(tq.TqError,))
        assert made(client) == before
    assert node.stop() == 0
