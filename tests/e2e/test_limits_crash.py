"""Limits with real processes: workers and the node are killed, and no slot is lost or had twice."""

import contextlib
import random
import secrets
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import tq
from tests.e2e.processes import running_node
from tests.e2e.worker_process import APP, WorkerProcess
from tests.waiting import eventually

KEYS = ("a", "b", "c")
SLOTS = 2
TASKS = 150
KILLS = 6
SEED = secrets.randbelow(1_000_000)


@pytest.mark.timeout(120)
def test_the_only_slot_comes_back_from_a_worker_that_was_killed(tmp_path: Path) -> None:
    with running_node(tmp_path) as node, tq.Client(node.url) as client:
        client.put_limit("one", key="host:*", running=1)
        options = {"lease_s": 2.0, "limit_key": "host:1"}
        first = client.enqueue("until_released", {"args": ["x"], "kwargs": {}}, **options)
        second = client.enqueue("add", {"args": [1, 2], "kwargs": {}}, **options)
        other = client.enqueue("add", {"args": [3, 4], "kwargs": {}}, limit_key="host:2")
        with ending(WorkerProcess(tmp_path, node.url, "--app", APP, "-c", "3")) as worker:
            eventually(lambda: (tmp_path / "x.begun").exists(), within_s=20)
            eventually(lambda: client.get(other.id).state == "succeeded", within_s=20)
            assert client.get(second.id).state == "ready"
            worker.process.kill()
            worker.process.wait()
        assert client.get(first.id).state == "running"
        (tmp_path / "x.go").touch()
        with ending(WorkerProcess(tmp_path, node.url, "--app", APP, "-c", "3")):
            done = client.wait([first.id, second.id], timeout_s=30)
        assert [task.state for task in done] == ["succeeded", "succeeded"]
        assert client.get(first.id).crashes == 0
        assert client.get(first.id).attempt == 2
        assert node.stop() == 0


@contextlib.contextmanager
def ending(worker: WorkerProcess) -> Iterator[WorkerProcess]:
    """Ends a worker whatever happens."""
    try:
        yield worker
    finally:
        worker.end()


class Watched:
    """Which tasks of each key are held at this moment, as the workers know it.

    A worker takes a task out before it sends the completion: what is in here is surely not completed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, str] = {}
        self.most: Counter[str] = Counter()
        self.done: set[str] = set()

    def hold(self, task: tq.wire.ClaimedTask) -> None:
        key = str(task.limit_key)
        with self._lock:
            self._held[task.id] = key
            self.most[key] = max(self.most[key], sum(one == key for one in self._held.values()))

    def drop(self, task_id: str) -> None:
        with self._lock:
            self._held.pop(task_id, None)


def work(url: str, name: str, stop: threading.Event, watched: Watched) -> None:
    """Claims by long polls and completes, whatever becomes of the node meanwhile."""
    with tq.Client(url, timeout_s=10, retries=0) as client:
        while not stop.is_set():
            try:
                for task in client.claim(name, queues=["q"], max=4, wait_s=2, lease_s=20):
                    watched.hold(task)
                    stop.wait(0.005)
                    watched.drop(task.id)
                    finish(client, task, stop)
                    watched.done.add(task.id)
            except tq.TqError:
                stop.wait(0.02)


def finish(client: tq.Client, task: tq.wire.ClaimedTask, stop: threading.Event) -> None:
    """Completes, until the answer says that it is done: nobody else will."""
    while not stop.is_set():
        try:
            client.complete(task.id, task.token)
            return
        except (tq.errors.Conflict, tq.errors.NotFound):
            return
        except tq.TqError:
            stop.wait(0.02)


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.timeout(300)
def test_a_node_that_is_killed_again_and_again_keeps_to_the_limits_and_leaves_nothing_waiting(
    tmp_path: Path, stop: threading.Event
) -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    watched = Watched()
    with running_node(tmp_path, "--crashes-max", "1000", "--log-level", "warning") as node:
        with tq.Client(node.url, timeout_s=30) as client:
            client.put_limit("slots", key="*", running=SLOTS)
            client.put_limit("rate", queue="q", rate=200, burst=20)
            tasks = [
                tq.new_task("k", queue="q", limit_key=KEYS[n % 3], max_attempts=1000) for n in range(TASKS)
            ]
            client.enqueue_many(tasks)
            threads = [
                threading.Thread(target=work, args=(node.url, f"w{n}", stop, watched)) for n in range(4)
            ]
            for thread in threads:
                thread.start()
            for _ in range(KILLS):
                stop.wait(chance.choice([0.02, 0.1, 0.3]))
                node.kill()
                node.restart()
            # A claim whose answer the kill took is held by nobody: its slots come back with its leases.
            eventually(
                lambda: client.queue("q").counts == {"succeeded": TASKS},
                within_s=150,
                ignoring=(tq.TqError,),
            )
            stop.set()
            for thread in threads:
                thread.join(30)
        assert node.stop() == 0
    assert all(most <= SLOTS for most in watched.most.values()), watched.most
    assert set(watched.most) == set(KEYS)
