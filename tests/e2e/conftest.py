"""Fixtures of the end-to-end tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import NodeProcess, running_node
from tests.e2e.worker_bench import WorkerBench, bench


@pytest.fixture(scope="module")
def shared_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node for the tests of one module that leave it as it is."""
    with running_node(tmp_path_factory.mktemp("shared")) as node:
        yield node


@pytest.fixture
def at_work(shared_node: NodeProcess, tmp_path: Path) -> Iterator[WorkerBench]:
    """A queue of its own on the shared node."""
    yield from bench(shared_node, tmp_path)


@pytest.fixture
def own_node(tmp_path: Path) -> Iterator[NodeProcess]:
    """A node that the test may stop and start."""
    with running_node(tmp_path) as node:
        yield node


@pytest.fixture
def at_own_work(own_node: NodeProcess, tmp_path: Path) -> Iterator[WorkerBench]:
    """A queue on a node that the test may stop and start."""
    yield from bench(own_node, tmp_path)
