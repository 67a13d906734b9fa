"""Completions whose ends are told against plain ones: what a delivery task in the same transaction costs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.core import Core, plain_task
from bench.rounds import Duel, Plain
from tqnode.task import ClaimedTask, Webhook

HOOK = Webhook(url="https://example.com/hook", secret="default")
CALLERS = 8
SIZE = 100
CALLS = 5
TASKS = CALLERS * CALLS * SIZE


@pytest.fixture
def cores(folder: Path) -> Iterator[tuple[Core, Core]]:
    """Two, of the same history."""
    opened = []
    for name in ("told", "plain"):
        place = folder / f"webhooks-{name}"
        place.mkdir()
        opened.append(Core(place))
    told, plain = opened
    yield told, plain
    told.close()
    plain.close()


def test_completions_that_are_told_against_plain_ones(cores: tuple[Core, Core], duel: Duel) -> None:
    held: dict[Core, list[list[ClaimedTask]]] = {}
    told, plain = cores

    def claim(core: Core, hook: Webhook | None) -> None:
        core.enqueue(
            callers=CALLERS, calls=CALLS, size=SIZE, make=lambda: replace(plain_task(), webhook=hook)
        )
        held[core] = core.claim(callers=CALLERS, calls=CALLS, size=SIZE)

    duel(
        f"complete with a webhook, batches of {SIZE}, {CALLERS} callers",
        ours=Plain(lambda: told.complete(held[told], callers=CALLERS), lambda: claim(told, HOOK)),
        baseline=Plain(lambda: plain.complete(held[plain], callers=CALLERS), lambda: claim(plain, None)),
        against="0",
        tasks=TASKS,
    )
