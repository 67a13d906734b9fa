"""Lifecycles of tasks that wait for others, against as many that don't with the same calls."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.core import Core
from bench.rounds import Duel, Plain

SIZE = 100


@pytest.fixture
def cores(folder: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Core, Core]]:
    """Two, of the same history."""
    opened = []
    for name in ("linked", "plain"):
        place = folder / f"{request.node.callspec.id}-{name}"
        place.mkdir()
        opened.append(Core(place))
    linked, plain = opened
    yield linked, plain
    linked.close()
    plain.close()


@pytest.mark.parametrize(
    ("name", "widths", "requests"),
    [
        ("of 1,000 children of one parent", (1, 1_000), 3),
        (f"of {SIZE} chains of 20", (SIZE,) * 20, 2),
    ],
    ids=["fan", "chains"],
)
def test_lifecycles_of_tasks_that_wait_for_others(
    cores: tuple[Core, Core], duel: Duel, name: str, widths: tuple[int, ...], requests: int
) -> None:
    linked, plain = cores
    duel(
        f"enqueue+claim+complete {name}",
        ours=Plain(lambda: linked.waves(widths, requests=requests, size=SIZE, linked=True)),
        baseline=Plain(lambda: plain.waves(widths, requests=requests, size=SIZE, linked=False)),
        against="0",
        tasks=requests * sum(widths),
    )
