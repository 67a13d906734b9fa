"""Three nodes against one, on the same machine in the same run: what a majority costs.

Needs root, as tests/cluster does: all four nodes are in network namespaces of their own.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from bench.processes import Load
from bench.rounds import Duel, Plain
from tests.cluster.cluster import Cluster
from tests.cluster.member import Shape
from tests.cluster.namespaces import own_mounts
from tests.cluster.network import network

CONNECTIONS = 64
REQUESTS = 4000
"""Single enqueues in a round."""
SIZE = 100
WORKERS = 8
LIFECYCLES = 6
"""Batches of each connection in a round."""
THREE, ONE = ("a", "b", "c"), ("alone",)


class Sides(NamedTuple):
    """What is compared."""

    three: Cluster
    one: Cluster

    def urls(self) -> tuple[str, str]:
        """Of the leader of three, and of the single node."""
        return self.three.wait_for_leader().url, self.one.urls[0]


@pytest.fixture(scope="module")
def sides(folder: Path) -> Iterator[Sides]:
    with own_mounts(), network([*THREE, *ONE]) as net:
        where = folder.absolute()
        made = Sides(
            *(Cluster(net, where, Shape(names=names, disk_mib=0, fake_time=False)) for names in (THREE, ONE))
        )
        try:
            for side in made:
                side.start()
            yield made
        finally:
            for side in made:
                side.end()


@pytest.fixture
def load(sides: Sides) -> Iterator[Load]:
    process = Load()
    yield process
    process.end()


def waits(load: Load, side: int) -> str:
    """The answers' p50 and p99, medians over the rounds of one side: 0 the baseline's, 1 ours."""
    figures = []
    for name in ("p50_ms", "p99_ms"):
        values = sorted(one[name] for one in load.waits[side::2])
        figures.append(f"{name[:3]} {values[len(values) // 2]:.2f} ms")
    return ", ".join(figures)


def test_single_enqueues_on_three_nodes(sides: Sides, load: Load, duel: Duel, notes: list[str]) -> None:
    leader, alone = sides.urls()
    name = f"three nodes, enqueue, single, {CONNECTIONS} connections"

    def connect(url: str) -> None:
        load.prepare(url, "single", connections=CONNECTIONS, requests=REQUESTS // CONNECTIONS)

    duel(
        name,
        ours=Plain(load.run, partial(connect, leader)),
        baseline=Plain(load.run, partial(connect, alone)),
        against="n",
        tasks=REQUESTS // CONNECTIONS * CONNECTIONS,
    )
    notes.append(f"{name}: {waits(load, 1)}; one node: {waits(load, 0)}")


def test_lifecycles_on_three_nodes(sides: Sides, load: Load, duel: Duel, notes: list[str]) -> None:
    leader, alone = sides.urls()
    name = f"three nodes, lifecycle, batches of {SIZE}, {WORKERS} conn."

    def connect(url: str) -> None:
        load.prepare(url, "lifecycle", connections=WORKERS, requests=LIFECYCLES, size=SIZE, stored=True)

    duel(
        name,
        ours=Plain(load.run, partial(connect, leader)),
        baseline=Plain(load.run, partial(connect, alone)),
        against="n",
        tasks=WORKERS * LIFECYCLES * SIZE,
    )
    notes.append(f"{name}: {waits(load, 1)}; one node: {waits(load, 0)}")
