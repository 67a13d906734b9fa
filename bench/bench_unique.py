"""What a unique key costs: enqueues with keys that are free or held, beside those without."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.core import Core, plain_task
from bench.rounds import Duel, Plain
from tqnode.task import TaskSpec

CALLS = {1: 200, 100: 20}
"""By tasks in each."""
HELD = 2_000


@pytest.fixture
def core(folder: Path, request: pytest.FixtureRequest) -> Iterator[Core]:
    place = folder / "".join(char if char.isalnum() else "-" for char in request.node.name)
    place.mkdir()
    core = Core(place)
    yield core
    core.close()


def having(keys: Iterator[str]) -> Callable[[], TaskSpec]:
    """Makes plain tasks with these keys."""
    return lambda: replace(plain_task(), unique_key=next(keys))


def fresh_keys() -> Iterator[str]:
    """Keys that nobody holds."""
    return (f"key-{number}" for number in count())


def held_keys(core: Core) -> Iterator[str]:
    """Keys that are all held."""
    kept = [f"held-{number}" for number in range(HELD)]
    core.enqueue(callers=1, calls=1, size=HELD, make=having(iter(kept)))
    return (key for _ in count() for key in kept)


@pytest.mark.parametrize("size", CALLS)
@pytest.mark.parametrize("keys", ["free", "held"])
def test_unique_enqueues_against_plain_ones(core: Core, duel: Duel, keys: str, size: int) -> None:
    calls = CALLS[size]
    chosen = fresh_keys() if keys == "free" else held_keys(core)
    duel(
        f"enqueue with {keys} unique keys, batches of {size}",
        ours=Plain(lambda: core.enqueue(callers=1, calls=calls, size=size, make=having(chosen))),
        baseline=Plain(lambda: core.enqueue(callers=1, calls=calls, size=size)),
        against="0",
        tasks=calls * size,
    )
