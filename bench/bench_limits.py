"""Claims past tasks that a limit holds back, against the same core's claims without any of these."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.bench_core import CALLERS, discard
from bench.core import Core
from bench.rounds import Duel, Plain

HELD_BACK = 100_000
KEYS = 10_000
GROUPS = 20


class Sides:
    """A core with tasks that are held back, and one without.

    Args:
        folder: where the files go.
    """

    def __init__(self, folder: Path) -> None:
        for name in ("held", "free"):
            (folder / name).mkdir(parents=True)
        self.held = Core(folder / "held")
        self.free = Core(folder / "free")

    def close(self) -> None:
        self.held.close()
        self.free.close()


@pytest.fixture
def sides(folder: Path, request: pytest.FixtureRequest) -> Iterator[Sides]:
    place = folder / "".join(char if char.isalnum() else "-" for char in request.node.name)
    sides = Sides(place)
    yield sides
    sides.close()


@pytest.mark.parametrize("keys", [1, KEYS])
def test_claims_behind_tasks_that_are_held_back(sides: Sides, duel: Duel, keys: int) -> None:
    groups = GROUPS if keys == 1 else 1
    tasks = groups * CALLERS
    sides.held.hold_back(HELD_BACK if keys == 1 else keys, keys=keys)
    duel(
        f"claim, single, behind {'100,000 tasks of a full key' if keys == 1 else '10,000 full keys'}",
        ours=Plain(
            lambda: discard(sides.held.claim(callers=CALLERS, calls=groups, size=1)),
            lambda: sides.held.enqueue(callers=1, calls=1, size=tasks),
        ),
        baseline=Plain(
            lambda: discard(sides.free.claim(callers=CALLERS, calls=groups, size=1)),
            lambda: sides.free.enqueue(callers=1, calls=1, size=tasks),
        ),
        against="0",
        tasks=tasks,
    )
