"""A real node over HTTP against the same server with an enqueue that stores nothing, and with none at all."""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from bench.bare import BareQueue, Held
from bench.processes import Load, NodeProcess, Server
from bench.rounds import Duel, Plain

REQUESTS = {1: 600, 8: 3000, 32: 6000}
"""Single enqueues in a round, by connections."""
SIZE = 100
WORKERS = 2
LIFECYCLES = 15
"""Batches of each connection in a round."""
CALLS = {1: 50, SIZE: 20}
"""Requests of each connection in a round, by the tasks in each."""


@pytest.fixture(scope="module")
def node(folder: Path) -> Iterator[NodeProcess]:
    process = NodeProcess(folder)
    yield process
    process.end()


@pytest.fixture(scope="module")
def nothing() -> Iterator[Server]:
    server = Server("bench.nothing")
    yield server
    server.end()


@pytest.fixture(scope="module")
def constant() -> Iterator[Server]:
    server = Server("bench.constant")
    yield server
    server.end()


@pytest.fixture
def load() -> Iterator[Load]:
    process = Load()
    yield process
    process.end()


@pytest.fixture
def bare(folder: Path) -> Iterator[BareQueue]:
    with tempfile.TemporaryDirectory(dir=folder) as own:
        queue = BareQueue(Path(own))
        yield queue
        queue.close()


@pytest.mark.parametrize("against", ["b", "s"])
@pytest.mark.parametrize("connections", REQUESTS)
def test_single_enqueues_over_http(
    node: NodeProcess,
    nothing: Server,
    constant: Server,
    load: Load,
    duel: Duel,
    notes: list[str],
    connections: int,
    against: str,
) -> None:
    baseline = nothing if against == "b" else constant
    requests = REQUESTS[connections] // connections

    def connect(url: str) -> None:
        load.prepare(url, "enqueue", connections=connections, requests=requests)

    duel(
        f"HTTP enqueue, single, {connections} connections",
        ours=Plain(load.run, partial(connect, node.url)),
        baseline=Plain(load.run, partial(connect, baseline.url)),
        against=against,
        tasks=requests * connections,
    )
    ours = load.waits[1::2]
    notes.append(
        f"HTTP enqueue, single, {connections} connections: "
        f"p50 {middle([one['p50_ms'] for one in ours]):.2f} ms, "
        f"p99 {middle([one['p99_ms'] for one in ours]):.2f} ms"
    )


def test_lifecycles_over_http_against_the_server_alone(
    node: NodeProcess, constant: Server, load: Load, duel: Duel
) -> None:
    def connect(url: str, *, stored: bool) -> None:
        load.prepare(url, "lifecycle", connections=WORKERS, requests=LIFECYCLES, size=SIZE, stored=stored)

    duel(
        f"HTTP enqueue+claim+complete, batches of {SIZE}, {WORKERS} conn.",
        ours=Plain(load.run, partial(connect, node.url, stored=True)),
        baseline=Plain(load.run, partial(connect, constant.url, stored=False)),
        against="s",
        tasks=WORKERS * LIFECYCLES * SIZE,
    )


def test_lifecycles_over_http_against_the_bare_loop(
    node: NodeProcess, load: Load, duel: Duel, bare: BareQueue
) -> None:
    def bare_lifecycles() -> None:
        for _ in range(LIFECYCLES):
            bare.enqueue(WORKERS, SIZE)
            bare.complete(bare.claim(WORKERS, SIZE))

    def connect() -> None:
        load.prepare(node.url, "lifecycle", connections=WORKERS, requests=LIFECYCLES, size=SIZE, stored=True)

    duel(
        f"HTTP enqueue+claim+complete, batches of {SIZE}, {WORKERS} conn.",
        ours=Plain(load.run, connect),
        baseline=Plain(bare_lifecycles),
        against="a",
        tasks=WORKERS * LIFECYCLES * SIZE,
    )


@pytest.mark.parametrize(("connections", "size"), [(32, 1), (WORKERS, SIZE)])
@pytest.mark.parametrize("script", ["enqueue", "claim", "complete"])
def test_each_operation_over_http_against_the_bare_loop(
    node: NodeProcess, load: Load, duel: Duel, bare: BareQueue, script: str, connections: int, size: int
) -> None:
    requests = CALLS[size]
    held: list[list[Held]] = []

    def prepare_bare() -> None:
        if script != "enqueue":
            bare.enqueue(1, requests * connections * size)
        if script == "complete":
            held[:] = [bare.claim(connections, size) for _ in range(requests)]

    def run_bare() -> None:
        for number in range(requests):
            if script == "enqueue":
                bare.enqueue(connections, size)
            elif script == "claim":
                bare.claim(connections, size)
            else:
                bare.complete(held[number])

    def connect() -> None:
        load.prepare(node.url, script, connections=connections, requests=requests, size=size)

    duel(
        f"HTTP {script}, {'single' if size == 1 else f'batches of {size}'}, {connections} conn.",
        ours=Plain(load.run, connect),
        baseline=Plain(run_bare, prepare_bare),
        against="a",
        tasks=requests * connections * size,
    )


def middle(values: list[float]) -> float:
    """The median of an odd number of values."""
    return sorted(values)[len(values) // 2]
