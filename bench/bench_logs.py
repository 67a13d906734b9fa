"""Heartbeats and completions that bring log lines against those that bring none."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.core import Core
from bench.rounds import Duel, Plain
from tqnode.task import ClaimedTask

LINES = 10
CALLERS = 8
SIZE = 100
CALLS = 2
TASKS = CALLERS * CALLS * SIZE
BEATS = 800


@pytest.fixture
def cores(folder: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Core, Core]]:
    """Two, of the same history."""
    opened = []
    for name in ("telling", "silent"):
        place = folder / f"{request.node.name}-{name}"
        place.mkdir()
        opened.append(Core(place))
    telling, silent = opened
    yield telling, silent
    telling.close()
    silent.close()


def test_completions_with_log_lines(cores: tuple[Core, Core], duel: Duel) -> None:
    held: dict[Core, list[list[ClaimedTask]]] = {}
    telling, silent = cores

    def claim(core: Core) -> None:
        core.enqueue(callers=CALLERS, calls=CALLS, size=SIZE)
        held[core] = core.claim(callers=CALLERS, calls=CALLS, size=SIZE)

    duel(
        f"complete with {LINES} lines each, batches of {SIZE}",
        ours=Plain(
            lambda: telling.complete(held[telling], callers=CALLERS, lines=LINES), lambda: claim(telling)
        ),
        baseline=Plain(lambda: silent.complete(held[silent], callers=CALLERS), lambda: claim(silent)),
        against="0",
        tasks=TASKS,
    )


def test_heartbeats_with_log_lines(cores: tuple[Core, Core], duel: Duel) -> None:
    held: dict[Core, list[ClaimedTask]] = {}
    for core in cores:
        core.enqueue(callers=1, calls=1, size=BEATS)
        (held[core],) = core.claim(callers=1, calls=1, size=BEATS)
    telling, silent = cores
    duel(
        f"heartbeat with {LINES} lines, {CALLERS} callers",
        ours=Plain(lambda: telling.heartbeat(held[telling], callers=CALLERS, lines=LINES)),
        baseline=Plain(lambda: silent.heartbeat(held[silent], callers=CALLERS)),
        against="0",
        tasks=BEATS,
    )
