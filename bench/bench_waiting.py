"""How soon the end of a task comes to those who wait for it, one and two thousand of them.

The baseline of the same run is what a client would do that somebody tells of the end: complete, then read.
"""

import json
import select
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.bench_idle import ask_readiness
from bench.load.client import Connection, address_of, request
from bench.processes import NodeProcess
from tests.waiting import eventually

WAITERS = 2_000
BATCH = 100
ROUNDS = 5
SAMPLES = 200
PAUSE_S = 0.02
WAIT_S = 60

Claimed = list[dict[str, Any]]


@pytest.fixture
def node(folder: Path) -> Iterator[NodeProcess]:
    process = NodeProcess(folder)
    yield process
    process.end()


def get(path: str) -> bytes:
    """A GET, ready to be sent."""
    return f"GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n".encode()


def running(connection: Connection, count: int) -> Claimed:
    """So many tasks in the hands of a worker."""
    tasks: Claimed = []
    enqueue = request("/v1/tasks", json.dumps([{"kind": "bench", "lease_s": 600}] * count).encode())
    connection.ask(enqueue)
    claim = request("/v1/claims", json.dumps({"worker": "bench", "max": min(count, 1_000)}).encode())
    while len(tasks) < count:
        tasks += json.loads(connection.ask(claim))["tasks"]
    return tasks


def completions(tasks: Claimed) -> bytes:
    result = {"outcome": "complete", "result": {"n": 1}}
    rows = [result | {"id": task["id"], "token": task["token"]} for task in tasks]
    return request("/v1/outcomes", json.dumps({"outcomes": rows}).encode())


def gather(connections: Sequence[Connection]) -> list[float]:
    """When the answer of each was there; each must be of a task that has ended."""
    poll = select.epoll()
    places = {connection.socket.fileno(): place for place, connection in enumerate(connections)}
    for descriptor in places:
        poll.register(descriptor, select.EPOLLIN)
    came = [0.0] * len(connections)
    left = len(connections)
    while left:
        for descriptor, _ in poll.poll(WAIT_S):
            body = connections[places[descriptor]].receive()
            if body is not None:
                came[places[descriptor]] = time.perf_counter()
                assert b'"state":"succeeded"' in body
                left -= 1
    poll.close()
    return came


def test_an_end_comes_at_once_to_a_client_that_waits(node: NodeProcess, notes: list[str]) -> None:
    address = address_of(node.url)
    worker, waiter = Connection(address), Connection(address)
    told: list[float] = []
    read: list[float] = []
    for number in range(2 * SAMPLES):
        (task,) = running(worker, 1)
        path = f"/v1/tasks/{task['id']}"
        done = completions([task])
        if number % 2:
            waiter.send(get(f"{path}?wait_s={WAIT_S}"))
            time.sleep(PAUSE_S)  # so that it waits, and the node does nothing else
            worker.send(done)
            gather([waiter])
            told.append(1000 * (time.perf_counter() - worker.sent_at))
            gather([worker])
        else:
            time.sleep(PAUSE_S)
            began = time.perf_counter()
            worker.ask(done)
            waiter.ask(get(path))
            read.append(1000 * (time.perf_counter() - began))
    for connection in (worker, waiter):
        connection.close()
    ratio = statistics.median(read) / statistics.median(told)
    notes.append(
        f"complete until a waiting client has the result, idle: {spread(told)}; "
        f"complete, then read: {spread(read)}; ratio {ratio:.2f}"
    )


def test_the_ends_of_many_tasks_come_to_as_many_clients_that_wait(
    node: NodeProcess, notes: list[str]
) -> None:
    address = address_of(node.url)
    worker = Connection(address)
    waiters = [Connection(address) for _ in range(WAITERS)]
    told_s: list[float] = []
    read_s: list[float] = []
    each_ms: list[float] = []
    for _ in range(ROUNDS):
        tasks = running(worker, WAITERS)
        began = time.perf_counter()
        complete_all(worker, tasks)
        for waiter, task in zip(waiters, tasks, strict=True):
            waiter.send(get(f"/v1/tasks/{task['id']}"))
        gather(waiters)
        read_s.append(time.perf_counter() - began)

        tasks = running(worker, WAITERS)
        for waiter, task in zip(waiters, tasks, strict=True):
            waiter.send(get(f"/v1/tasks/{task['id']}?wait_s={WAIT_S}"))
        # The last one has surely been read once an answer to a later request is there.
        eventually(lambda: ask_readiness(address), within_s=WAIT_S / 3)
        began = time.perf_counter()
        sent = complete_all(worker, tasks)
        came = gather(waiters)
        told_s.append(max(came) - began)
        each_ms += [1000 * (at - since) for at, since in zip(came, sent, strict=True)]
    for connection in (worker, *waiters):
        connection.close()
    ratios = sorted(read / told for read, told in zip(read_s, told_s, strict=True))
    notes.append(
        f"{WAITERS:,} tasks completed in batches of {BATCH}, each with a client that waits: "
        f"{statistics.median(told_s):.2f} s, each after {spread(each_ms)}; completed, then read: "
        f"{statistics.median(read_s):.2f} s; ratio {statistics.median(ratios):.2f}"
    )


def complete_all(worker: Connection, tasks: Claimed) -> list[float]:
    """Completes tasks batch by batch; when each one's batch was sent."""
    sent: list[float] = []
    for first in range(0, len(tasks), BATCH):
        batch = tasks[first : first + BATCH]
        worker.ask(completions(batch))
        sent += [worker.sent_at] * len(batch)
    return sent


def spread(values: list[float]) -> str:
    ordered = sorted(values)
    return f"p50 {ordered[len(ordered) // 2]:.2f} ms, p99 {ordered[len(ordered) * 99 // 100]:.2f} ms"
