"""Why a task waits, told of one behind many others, against reading it."""

from pathlib import Path

from bench.core import Core
from bench.rounds import Duel, Plain
from tqnode.queue import Filters

AHEAD = 20_000
CALLS = 50


def test_explanations_of_a_task_behind_many(folder: Path, duel: Duel) -> None:
    place = folder / "explain"
    place.mkdir()
    core = Core(place)
    core.enqueue(callers=1, calls=AHEAD // 1000, size=1000)
    core.enqueue(callers=1, calls=1, size=1)
    (last,) = core.page(Filters(), calls=1, limit=1).tasks
    assert core.explain(last.id, calls=1).startswith("Ready, and not claimed yet.")
    duel(
        f"explain a task behind {AHEAD:,}",
        ours=Plain(lambda: discard(core.explain(last.id, calls=CALLS))),
        baseline=Plain(lambda: core.get(last.id, calls=CALLS)),
        against="0",
        tasks=CALLS,
    )
    core.close()


def discard(_result: object) -> None:
    """What was said is looked at by nobody here."""
