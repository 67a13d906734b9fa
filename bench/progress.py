"""Says now and then how far something long has come."""

import sys
import time
from typing import Final

EVERY_S: Final = 2.0


class Progress:
    """Lines on standard error about one piece of work.

    Args:
        what: is being done.
        total: how many pieces it has.
    """

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._began = self._said = time.monotonic()

    def advance(self, count: int) -> None:
        """So many more are done."""
        self._done += count
        now = time.monotonic()
        if now - self._said < EVERY_S and self._done < self._total:
            return
        self._said = now
        rate = self._done / max(1e-9, now - self._began)
        line = f"  {self._what}: {self._done:,} of {self._total:,}, {rate:,.0f}/s"
        print(line, file=sys.stderr, flush=True)
