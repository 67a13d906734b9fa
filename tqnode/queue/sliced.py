"""Cuts long work of the writer into slices that leave room for requests, each as large as its time allows.

The sweeper and a purge run theirs through it.
"""

from collections.abc import Callable

from tqnode.clock import Clock
from tqnode.store import Store, Tx

SLICE_S = 0.005
"""How long one slice is meant to hold the writer: a claim that comes just behind it waits for the rest of it,
and is answered before the next."""
SLICE_MIN, SLICE_MAX = 256, 4_000
"""Pieces that a slice of that length may be thought to have."""
LONG_SLICE_S = 0.015
"""How long one may be meant to hold it that has to keep up with what comes up anew."""

Slice = Callable[[Tx, int], int]


class Sliced:
    """One piece of long work.

    Args:
        work: does up to the given number of pieces; answers how many it did.
        settled: called once a slice is committed; until then it may have come to nothing.
    """

    def __init__(self, work: Slice, *, settled: Callable[[], None] | None = None) -> None:
        self.work = work
        self._settled = settled
        self.limit = SLICE_MIN
        """Pieces that are thought to take no longer than :data:`SLICE_S`."""
        self.full = False
        """Whether the last slice did as much as it was allowed: there may be more to do."""
        self.fresh = 0
        """Pieces known to have come up since the last slice: if more than fit, it is longer."""
        self._done, self._took_s, self._allowed, self._seen = 0, 0.0, SLICE_MIN, 0
        self._long = SLICE_MIN
        """Pieces that are thought to take :data:`LONG_SLICE_S`."""

    def do(self, tx: Tx, clock: Clock) -> int:
        """A slice; how many pieces were done. :meth:`settle` has to follow once it is committed."""
        began = clock.monotonic()
        self._seen = self.fresh
        # Somewhat more than came: else what has piled up would stay.
        self._allowed = max(self.limit, min(self._seen * 5 // 4, self._long))
        self._done = self.work(tx, self._allowed)
        self._took_s = clock.monotonic() - began
        return self._done

    def settle(self) -> None:
        """Sizes the next slice after the one that was done."""
        if self._settled is not None:
            self._settled()
        self.fresh -= self._seen
        self.full = self._done >= self._allowed
        if self.full and self._took_s:
            self._long = round(self._done * LONG_SLICE_S / self._took_s)
        self.adapt(self._took_s * self.limit / self._allowed, full=self.full)

    async def run_one(self, store: Store, clock: Clock) -> int:
        """Has the writer do a slice after the requests at hand; how many pieces it did.

        Raises:
            TqnodeError: what a write may raise.
        """
        done = await store.write(lambda tx: self.do(tx, clock), background=True)
        self.settle()
        return done

    def adapt(self, took_s: float, *, full: bool) -> None:
        """Sizes the next slice after one of :attr:`limit` pieces.

        Args:
            took_s: how long it took, in seconds.
            full: whether it did as much as it was allowed.
        """
        if took_s > SLICE_S:
            self.limit = max(SLICE_MIN, self.limit // 2)
        elif full and took_s < SLICE_S / 3:
            # A slice that had little to do says nothing of how long a larger one takes.
            self.limit = min(SLICE_MAX, self.limit * 2)
