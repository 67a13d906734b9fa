"""Who was not let in, and why: told in the log once in a while, and counted."""

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Final

from tqnode.clock import Clock

AGAIN_S: Final = 300.0
"""The same refusal of the same peer is logged again after this time."""
REMEMBERED_MAX: Final = 256

logger = logging.getLogger(__name__)


class Refused(Exception):
    """A peer, or something it sent, is not taken.

    Args:
        reason: a stable word, for metrics.
        detail: what is wrong and what to do, in one sentence.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Refusals:
    """All refusals of this node.

    Args:
        clock: the node's clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._logged: dict[tuple[str, str], float] = {}

    def note(self, who: str, refused: Refused) -> None:
        """Counts a refusal, and logs it unless the same one was logged lately.

        Args:
            who: the peer's name, or the address of one that has not proved its name.
            refused: what was refused.
        """
        self._counts[refused.reason] += 1
        now = self._clock.monotonic()
        key = (who, refused.reason)
        if now < self._logged.get(key, -AGAIN_S) + AGAIN_S:
            return
        if len(self._logged) >= REMEMBERED_MAX:
            # Strangers choose their addresses: they must not fill the memory.
            del self._logged[next(iter(self._logged))]
        self._logged.pop(key, None)
        self._logged[key] = now
        logger.warning("peer %s refused: %s", who, refused.detail, extra={"reason": refused.reason})

    @property
    def counts(self) -> Mapping[str, int]:
        """How many there were, by reason."""
        return dict(self._counts)
