"""Time and chance of one simulated run: what happens next, and how likely what is."""

import heapq
import random
from collections.abc import Callable
from typing import Any


class World:
    """A heap of things to come, in one thread; the same seed gives the same run.

    Args:
        seed: of all chance.
        trace: gets a line for each thing of interest; None for none.
    """

    def __init__(self, seed: int, trace: Callable[[str], None] | None = None) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.steps = 0
        """That all cores together have taken."""
        self.traced = trace is not None
        self._trace = trace
        self._order = 0
        self._coming: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []

    def after(self, seconds: float, what: Callable[..., object], *arguments: Any) -> None:
        """Has ``what`` called in so many seconds."""
        self._order += 1
        heapq.heappush(self._coming, (self.now + seconds, self._order, what, arguments))

    def run(self, until: float) -> None:
        """Lets time pass up to ``until``."""
        coming = self._coming
        while coming and coming[0][0] <= until:
            self.now, _, what, arguments = heapq.heappop(coming)
            what(*arguments)
        self.now = until

    def likely(self, probability: float) -> bool:
        return self.rng.random() < probability

    def note(self, who: str, what: str) -> None:
        """For who reads along."""
        if self._trace is not None:
            self._trace(f"{self.now:9.4f} {who:>3} {what}")
