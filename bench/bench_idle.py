"""What a node costs while nothing happens, alone and with many claims that wait, and how it wakes them."""

import json
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.load.client import Connection, address_of, request
from bench.load.work import Enqueues
from bench.processes import NodeProcess, memory_and_cpu
from tests.waiting import eventually

CLAIMS = 2_000
BURST = 10_000
AT_ONCE = 5
"""Tasks a claim takes: all claims together as many as the burst."""
SAMPLES = 300
PAUSE_S = 0.02
WATCH_S = 10.0
WAIT_S = 60


@pytest.fixture
def node(folder: Path) -> Iterator[NodeProcess]:
    process = NodeProcess(folder)
    yield process
    process.end()


def watch(pid: int) -> tuple[float, float]:
    """Resident MB of a process, and the per cent of one core it takes meanwhile."""
    _, before_s = memory_and_cpu(pid)
    began = time.monotonic()
    time.sleep(WATCH_S)
    resident, after_s = memory_and_cpu(pid)
    return resident / 1e6, 100 * (after_s - before_s) / (time.monotonic() - began)


def waiting_claims(address: tuple[str, int], count: int, *, at_once: int) -> list[Connection]:
    """So many claims that wait by now."""
    claim = request("/v1/claims", json.dumps({"worker": "idle", "wait_s": WAIT_S, "max": at_once}).encode())
    connections = [Connection(address) for _ in range(count)]
    for connection in connections:
        connection.send(claim)
    # The last one has surely been read once an answer to a later request is there.
    eventually(lambda: ask_readiness(address), within_s=WAIT_S / 3)
    return connections


def test_claims_that_wait_cost_memory_and_hardly_any_cpu(node: NodeProcess, notes: list[str]) -> None:
    alone_mb, alone_percent = watch(node.pid)
    connections = waiting_claims(address_of(node.url), CLAIMS, at_once=1)
    mb, percent = watch(node.pid)
    assert all(is_silent(connection.socket) for connection in connections), "a claim did not wait"
    for connection in connections:
        connection.close()
    notes.append(f"idle node: {alone_mb:.0f} MB, {alone_percent:.1f} % of a core")
    notes.append(f"idle node with {CLAIMS:,} waiting claims: {mb:.0f} MB, {percent:.1f} % of a core")
    assert percent < 10


def test_a_burst_is_handed_out_to_claims_that_wait(node: NodeProcess, notes: list[str]) -> None:
    address = address_of(node.url)
    connections = waiting_claims(address, CLAIMS, at_once=AT_ONCE)
    poll = select.epoll()
    by_descriptor = {connection.socket.fileno(): connection for connection in connections}
    for descriptor in by_descriptor:
        poll.register(descriptor, select.EPOLLIN)
    producer = Connection(address)
    _, data = Enqueues(payload_bytes=100, size=BURST).next()
    before_s = memory_and_cpu(node.pid)[1]
    began = time.perf_counter()
    producer.send(data)
    handed_out = answered = 0
    while handed_out < BURST:
        for descriptor, _ in poll.poll(WAIT_S):
            body = by_descriptor[descriptor].receive()
            if body is not None:
                handed_out += len(json.loads(body)["tasks"])
                answered += 1
    took_s = time.perf_counter() - began
    cpu_s = memory_and_cpu(node.pid)[1] - before_s
    poll.close()
    for connection in (producer, *connections):
        connection.close()
    notes.append(
        f"{BURST:,} tasks enqueued at once, handed out to {answered:,} of {CLAIMS:,} waiting claims: "
        f"{took_s:.2f} s, {cpu_s:.2f} s of CPU"
    )


def test_a_claim_that_waits_gets_a_new_task_at_once(node: NodeProcess, notes: list[str]) -> None:
    address = address_of(node.url)
    producer, worker = Connection(address), Connection(address)
    claim = request("/v1/claims", json.dumps({"worker": "idle", "wait_s": WAIT_S}).encode())
    _, data = Enqueues(payload_bytes=100).next()
    took: list[float] = []
    for _ in range(SAMPLES):
        worker.send(claim)
        time.sleep(PAUSE_S)  # so that the claim waits, and the node does nothing else
        producer.send(data)
        while worker.receive() is None:
            pass
        took.append(1000 * (time.perf_counter() - producer.sent_at))
        while producer.receive() is None:
            pass
    for connection in (producer, worker):
        connection.close()
    took.sort()
    notes.append(
        "enqueue until a waiting claim has the task, idle: "
        f"p50 {took[SAMPLES // 2]:.2f} ms, p99 {took[SAMPLES * 99 // 100]:.2f} ms"
    )


def ask_readiness(address: tuple[str, int]) -> bool:
    """Whether the node says that it is ready."""
    with socket.create_connection(address) as connection:
        connection.sendall(b"GET /readyz HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")
        return connection.recv(4096).startswith(b"HTTP/1.1 200 ")


def is_silent(connection: socket.socket) -> bool:
    """Whether no answer has come."""
    connection.setblocking(False)
    try:
        connection.recv(1)
        return False
    except BlockingIOError:
        return True
