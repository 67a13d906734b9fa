"""Who does not answer: left alone for a while, so that the others get their turn.

Attempts that fail at once cost nobody anything. One that waits for an answer in vain has a place among those
at a time for as long as it may take; a few receivers that are silent would have all of them.
"""

from tqnode.clock import Clock

SILENT_AFTER = 3
"""Attempts in a row without an answer, after which a receiver is taken to be silent."""
PAUSE_S = 10.0
"""How long it is left alone at first; doubled each time that it is found silent still."""
PAUSE_S_MAX = 300.0
RECEIVERS_MAX = 10_000
"""Of more the one that was found silent first is forgotten: it is tried again."""


class _Silent:
    __slots__ = ("attempts", "pause_s", "until")

    def __init__(self) -> None:
        self.attempts = 0
        self.pause_s = PAUSE_S
        self.until = 0.0


class Silence:
    """What is known of receivers; in memory, for it is only about who goes first.

    Args:
        clock: the node's clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._silent: dict[str, _Silent] = {}

    def pause_s(self, receiver: str) -> float:
        """How long to leave a receiver alone; 0 lets the one attempt begin that this is asked for."""
        found = self._silent.get(receiver)
        if found is None or found.attempts < SILENT_AFTER:
            return 0.0
        left_s = found.until - self._clock.monotonic()
        if left_s > 0:
            return left_s
        # One finds out whether it answers again; the others wait for what comes of that.
        self._leave(found)
        return 0.0

    def answered(self, receiver: str) -> None:
        """Notes that it is not silent."""
        self._silent.pop(receiver, None)

    def timed_out(self, receiver: str) -> None:
        """Notes that an attempt got no answer."""
        found = self._silent.get(receiver)
        if found is None:
            if len(self._silent) >= RECEIVERS_MAX:
                del self._silent[next(iter(self._silent))]
            found = self._silent[receiver] = _Silent()
        found.attempts += 1
        if found.attempts == SILENT_AFTER:
            self._leave(found)

    def _leave(self, found: _Silent) -> None:
        found.until = self._clock.monotonic() + found.pause_s
        found.pause_s = min(2 * found.pause_s, PAUSE_S_MAX)
