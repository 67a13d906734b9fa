"""Fixtures of the benchmarks, and the table that ends a run."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.rounds import Duel, Outcome, table

# Taken out of what the nodes inherit: they refuse variables that are no key of theirs.
_FOLDER = os.environ.pop("TQNODE_BENCH_DIR", ".benchmarks")
_OUTCOMES = pytest.StashKey[list[Outcome]]()
_NOTES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_OUTCOMES] = []
    config.stash[_NOTES] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash[_OUTCOMES]:
        terminalreporter.section("tasks per second, and the ratio to the baseline of the same run")
        terminalreporter.write_line("\n".join(table(config.stash[_OUTCOMES])))
        terminalreporter.write_line(
            "a: the same SQL in a bare apsw loop (1: a batch a transaction); p: plain SQL in one; "
            "b: the same server and API, storing nothing; s: the server alone; n: one node; "
            "c: the same core's claims without limits"
        )
    for note in config.stash[_NOTES]:
        terminalreporter.write_line(note)


@pytest.fixture
def duel(benchmark: Any, request: pytest.FixtureRequest) -> Duel:
    """Times two sides in turns."""
    return Duel(benchmark, request.config.stash[_OUTCOMES])


@pytest.fixture
def notes(request: pytest.FixtureRequest) -> list[str]:
    """Lines to print below the table."""
    return request.config.stash[_NOTES]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Where the databases go: on the disk of the working folder, since /tmp is memory on many machines."""
    chosen = Path(_FOLDER)
    chosen.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=chosen, ignore_cleanup_errors=True) as made:
        yield Path(made)
