"""What a node costs while nothing happens: its memory and its CPU, alone and with many claims that wait."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bench.load.client import request
from bench.processes import NodeProcess, memory_and_cpu
from tests.waiting import eventually

CLAIMS = 1_000
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


def test_claims_that_wait_cost_memory_and_hardly_any_cpu(node: NodeProcess, notes: list[str]) -> None:
    alone_mb, alone_percent = watch(node.pid)
    parts = urlsplit(node.url)
    address = (parts.hostname or "", parts.port or 80)
    claim = request("/v1/claims", json.dumps({"worker": "idle", "wait_s": WAIT_S}).encode())
    connections = [socket.create_connection(address) for _ in range(CLAIMS)]
    for connection in connections:
        connection.sendall(claim)
    # The last one has surely been read once an answer to a later request is there.
    eventually(lambda: ask_readiness(address), within_s=WAIT_S / 3)
    mb, percent = watch(node.pid)
    assert all(is_silent(connection) for connection in connections), "a claim did not wait"
    for connection in connections:
        connection.close()
    notes.append(f"idle node: {alone_mb:.0f} MB, {alone_percent:.1f} % of a core")
    notes.append(f"idle node with {CLAIMS:,} waiting claims: {mb:.0f} MB, {percent:.1f} % of a core")
    assert percent < 10


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
