"""The tasks that due schedules make against as many that are enqueued."""

from pathlib import Path

from bench.core import HOUR_MS, Core
from bench.rounds import Duel, Plain
from tqnode.clock import SystemClock
from tqnode.queue import Filters

SCHEDULES = 1_000
SIZE = 100


class HastyClock(SystemClock):
    """The machine's clock, set forward together with the one that never steps."""

    def __init__(self) -> None:
        self._ahead_ms = 0

    def hurry(self, by_ms: int) -> None:
        self._ahead_ms += by_ms

    def now_ms(self) -> int:
        return super().now_ms() + self._ahead_ms

    def monotonic(self) -> float:
        return super().monotonic() + self._ahead_ms / 1000


def test_ticks_of_many_schedules_that_are_due(folder: Path, duel: Duel) -> None:
    clock = HastyClock()
    cores = []
    for name in ("ticking", "plain"):
        place = folder / f"schedules-{name}"
        place.mkdir()
        cores.append(Core(place, clock=clock))
    ticking, plain = cores
    ticking.schedule(SCHEDULES)
    duel(
        f"ticks of {SCHEDULES:,} schedules that are due",
        ours=Plain(ticking.fire_due, lambda: clock.hurry(HOUR_MS)),
        baseline=Plain(lambda: plain.enqueue(callers=1, calls=SCHEDULES // SIZE, size=SIZE)),
        against="0",
        tasks=SCHEDULES,
    )
    assert ticking.count(Filters(), calls=1) == plain.count(Filters(), calls=1)
    for core in cores:
        core.close()
