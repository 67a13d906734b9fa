"""Time and chance of one simulated run: what happens next, and how likely what is."""

import heapq
import itertools
import random
from collections.abc import Callable


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
        self._trace = trace
        self._order = itertools.count()
        self._coming: list[tuple[float, int, Callable[[], None]]] = []

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        """Has ``what`` called in so many seconds."""
        heapq.heappush(self._coming, (self.now + seconds, next(self._order), what))

    def run(self, until: float) -> None:
        """Lets time pass up to ``until``."""
        while self._coming and self._coming[0][0] <= until:
            self.now, _, what = heapq.heappop(self._coming)
            what()
        self.now = until

    def likely(self, probability: float) -> bool:
        return self.rng.random() < probability

    def note(self, who: str, what: str) -> None:
        """For who reads along."""
        if self._trace is not None:
            self._trace(f"{self.now:9.4f} {who:>3} {what}")

    @property
    def traced(self) -> bool:
        return self._trace is not None
