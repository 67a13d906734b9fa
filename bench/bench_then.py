"""Tasks that a completion brings with it as its ``then`` against as many enqueued by calls of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.core import Core
from bench.rounds import Duel, Plain

TASKS = 2_000


@pytest.fixture
def core(folder: Path) -> Iterator[Core]:
    place = folder / "then"
    place.mkdir(exist_ok=True)
    core = Core(place)
    yield core
    core.close()


@pytest.mark.parametrize("size", [1, 100])
def test_lifecycles_of_tasks_that_completions_bring(core: Core, duel: Duel, size: int) -> None:
    calls = min(100, TASKS // size)
    duel(
        f"claim+complete with the next task as then, {size} at a time",
        ours=Plain(lambda: core.relay(calls=calls, size=size)),
        baseline=Plain(lambda: core.lifecycle(callers=1, calls=calls, size=size)),
        against="0",
        tasks=calls * size,
    )
