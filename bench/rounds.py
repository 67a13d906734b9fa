"""Two ways of doing the same work, timed in turns, so that a noisy machine slows both alike."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

ROUNDS: Final = 15


class Side(Protocol):
    """One way of doing the work."""

    def prepare(self) -> None:
        """What has to be there before a round; not timed."""

    def run(self) -> None:
        """One round."""


class Plain(NamedTuple):
    """A side made of two functions."""

    run: Callable[[], None]
    prepare: Callable[[], None] = lambda: None


class Outcome(NamedTuple):
    """Medians over the rounds; ``ratio`` is the median of each round's own ratio."""

    name: str
    baseline: str
    tasks_per_s: float
    baseline_per_s: float
    ratio: float
    lowest: float
    highest: float

    @classmethod
    def of(
        cls, name: str, *, ours_s: Sequence[float], baseline_s: Sequence[float], against: str, tasks: int
    ) -> "Outcome":
        """What came of rounds in turns.

        Args:
            name: the line in the table.
            ours_s: how long each round took.
            baseline_s: how long the round of the baseline before it took.
            against: what the baseline is.
            tasks: how many one round is about.
        """
        ratios = sorted(b / a for a, b in zip(ours_s, baseline_s, strict=True))
        return cls(
            name=name,
            baseline=against,
            tasks_per_s=tasks / statistics.median(ours_s),
            baseline_per_s=tasks / statistics.median(baseline_s),
            ratio=statistics.median(ratios),
            lowest=ratios[0],
            highest=ratios[-1],
        )


class Duel:
    """Runs pytest-benchmark's rounds with a round of the baseline before each.

    Args:
        benchmark: pytest-benchmark's fixture.
        report: gets the outcome, for the table at the end.
    """

    def __init__(self, benchmark: Any, report: list[Outcome]) -> None:
        self._benchmark = benchmark
        self._report = report

    def __call__(
        self,
        name: str,
        *,
        ours: Side,
        baseline: Side,
        against: str,
        tasks: int,
        rounds: int = ROUNDS,
    ) -> Outcome:
        """Times ``ours`` and ``baseline`` in turns.

        Args:
            name: the line in the table.
            against: what the baseline is: "a" (the bare loop), "1" (the same with a batch a transaction),
                "p" (the plain one), "0" (without the feature), "b" (the API, storing nothing), "s" (the
                server alone) or "n" (one node).
            tasks: how many one round is about.
            rounds: how many rounds count; one more goes before, to warm both up.
        """
        ours_s: list[float] = []
        baseline_s: list[float] = []

        def before_round() -> None:
            baseline.prepare()
            baseline_s.append(_time(baseline))
            ours.prepare()

        # Timed here too: with --benchmark-disable pytest-benchmark has one round, and times nothing.
        self._benchmark.pedantic(
            lambda: ours_s.append(_time(ours)), setup=before_round, rounds=rounds, warmup_rounds=1
        )
        outcome = Outcome.of(
            name,
            ours_s=ours_s[-rounds:],
            baseline_s=baseline_s[-rounds:],
            against=against,
            tasks=tasks,
        )
        self._benchmark.extra_info.update(outcome._asdict())
        self._report.append(outcome)
        return outcome


def _time(side: Side) -> float:
    """How many seconds one round takes."""
    began = time.perf_counter()
    side.run()
    return time.perf_counter() - began


def table(outcomes: list[Outcome]) -> list[str]:
    """The lines of the table at the end."""
    width = max(len(one.name) for one in outcomes)
    head = f"{'':{width}} {'tasks/s':>9} {'baseline':>9}    {'ratio':>5}  (lowest-highest)"
    lines = [
        f"{one.name:{width}} {one.tasks_per_s:9,.0f} {one.baseline_per_s:9,.0f} {one.baseline}  "
        f"{one.ratio:5.2f}  ({one.lowest:.2f}-{one.highest:.2f})"
        for one in outcomes
    ]
    return [head, *lines]
