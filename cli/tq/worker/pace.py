"""Waits between tries while the node is away."""

from tq.backoff import pause_s
from tq.clock import Clock

_CAP_S = 3.0


class Backoff:
    """Draws waits that grow with every try, until :meth:`reset`.

    Args:
        clock: where chance comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tries = 0

    @property
    def tries(self) -> int:
        """Waits drawn since the last success."""
        return self._tries

    def reset(self) -> None:
        """Begins again, after a success."""
        self._tries = 0

    def next_s(self, *, at_least_s: float | None = None) -> float:
        """The next wait in seconds: not under what the node asked for, never over three seconds."""
        self._tries += 1
        drawn = pause_s(self._tries, fraction=self._clock.fraction(), cap_s=_CAP_S)
        return min(max(drawn, at_least_s or 0.0), _CAP_S)
