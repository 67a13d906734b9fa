"""The members of a batch against tasks of none, in the same core."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.core import Core
from bench.rounds import Duel, Plain

TASKS = 4_000


@pytest.fixture
def core(folder: Path) -> Iterator[Core]:
    place = folder / "batches"
    place.mkdir(exist_ok=True)
    core = Core(place)
    yield core
    core.close()


@pytest.mark.parametrize("size", [10, 100])
def test_lifecycles_of_the_members_of_a_batch(core: Core, duel: Duel, size: int) -> None:
    calls = min(200, TASKS // size)
    duel(
        f"enqueue+claim+complete of a batch's members, {size} at a time",
        ours=Plain(lambda: core.batched_lifecycle(calls=calls, size=size)),
        baseline=Plain(lambda: core.lifecycle(callers=1, calls=calls, size=size)),
        against="0",
        tasks=calls * size,
    )
