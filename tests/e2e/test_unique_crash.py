"""Unique tasks while the node is killed again and again: one for each key and period, whoever asks."""

import random
import secrets
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import tq
from tests.e2e.processes import running_node
from tests.waiting import eventually

KEYS = 60
KILLS = 6
SEED = secrets.randbelow(1_000_000)


@dataclass
class Producer:
    """Enqueues tasks of the same few keys until told to stop, whatever becomes of the node meanwhile.

    Args:
        url: the node's.
        seed: of its choices.
    """

    url: str
    seed: int
    stop: threading.Event
    answered: dict[int, set[str]] = field(default_factory=dict)
    """By key, the tasks that answers named."""

    def run(self) -> None:
        chance = random.Random(self.seed)
        with tq.Client(self.url, timeout_s=5, retries=0) as client:
            while not self.stop.is_set():
                user = chance.randrange(KEYS)
                payload = {"n": chance.random(), "user": user}
                try:
                    task = client.enqueue(
                        "digest", payload, queue="q", unique_fields=["user"], unique_period_s=3600
                    )
                except tq.TqError:
                    self.stop.wait(0.02)
                else:
                    self.answered.setdefault(user, set()).add(task.id)


def complete_all(url: str, stop: threading.Event) -> None:
    """Completes what comes until told to stop."""
    with tq.Client(url, timeout_s=5, retries=0) as client:
        while not stop.is_set():
            try:
                for task in client.claim("w", queues=["q"], max=5, wait_s=0.2, lease_s=2):
                    client.complete(task.id, task.token)
            except tq.TqError:
                stop.wait(0.02)


@pytest.mark.timeout(300)  # several starts on a loaded machine
def test_kills_make_no_second_task_of_a_key_and_lose_none(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    with running_node(tmp_path, "--crashes-max", "1000", "--log-level", "warning") as node:
        stop = threading.Event()
        producers = [Producer(node.url, SEED + number, stop) for number in range(3)]
        threads = [threading.Thread(target=producer.run) for producer in producers]
        threads.append(threading.Thread(target=complete_all, args=(node.url, stop)))
        for thread in threads:
            thread.start()
        for _ in range(KILLS):
            stop.wait(chance.choice([0.05, 0.2, 0.5]))
            node.kill()
            node.restart()

        def all_came() -> bool:
            return len({user for producer in producers for user in producer.answered}) == KEYS

        eventually(all_came, within_s=60)
        with tq.Client(node.url, timeout_s=60) as client:

            def all_ended() -> bool:
                return client.queue("q").counts == {"succeeded": KEYS}

            eventually(all_ended, within_s=60, ignoring=(tq.TqError,))
            stop.set()
            for thread in threads:
                thread.join(30)
            stored = {task.unique_key: task.id for task in client.list(queue="q")}
        assert node.stop() == 0
    assert stored.keys() == {f'{{"user":{user}}}' for user in range(KEYS)}
    for producer in producers:
        for user, ids in producer.answered.items():
            assert ids == {stored[f'{{"user":{user}}}']}, "every answer named the one task"
