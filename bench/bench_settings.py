"""A queue with settings of its own against one without, both in the core in this process."""

from pathlib import Path
from typing import Any

import pytest

from bench.core import Core
from bench.rounds import Duel, Plain

SIZE = 100
CALLS = 10


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("a limit by number", {"depth_max": 1_000_000}),
        ("a limit by bytes", {"bytes_max": 1 << 40}),
        ("defaults and retention", {"priority": 7, "keep_dead_s": -1}),
        ("priorities that grow", {"age_milli": 500}),
    ],
    ids=["depth", "bytes", "defaults", "ageing"],
)
def test_lifecycles_in_a_queue_with_settings(
    folder: Path, duel: Duel, name: str, changes: dict[str, Any]
) -> None:
    cores = []
    for which in ("with", "without"):
        place = folder / f"{'-'.join(changes)}-{which}"
        place.mkdir()
        cores.append(Core(place))
    ours, plain = cores
    ours.configure(**changes)
    duel(
        f"enqueue+claim+complete, batches of {SIZE}, with {name}",
        ours=Plain(lambda: ours.lifecycle(callers=1, calls=CALLS, size=SIZE)),
        baseline=Plain(lambda: plain.lifecycle(callers=1, calls=CALLS, size=SIZE)),
        against="0",
        tasks=SIZE * CALLS,
    )
    for core in cores:
        core.close()
