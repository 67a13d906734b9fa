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
"""Pieces in a slice of that length."""

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
        """Pieces that are thought to take :data:`SLICE_S`."""
        self.full = False
        """Whether the last slice did as much as it was allowed: there may be more to do."""
        self._done, self._took_s, self._slice_s = 0, 0.0, SLICE_S

    def do(self, tx: Tx, clock: Clock, slice_s: float = SLICE_S) -> int:
        """A slice; how many pieces were done. :meth:`settle` has to follow once it is committed.

        Args:
            tx: the transaction.
            clock: the node's clock.
            slice_s: how long it is meant to take, in seconds.
        """
        began = clock.monotonic()
        self._slice_s = slice_s
        self._done = self.work(tx, self._allowed)
        self._took_s = clock.monotonic() - began
        return self._done

    @property
    def _allowed(self) -> int:
        return round(self.limit * self._slice_s / SLICE_S)

    def settle(self) -> None:
        """Sizes the next slice after the one that was done."""
        if self._settled is not None:
            self._settled()
        self.full = self._done >= self._allowed
        self.adapt(self._took_s * SLICE_S / self._slice_s, full=self.full)

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
            full: whether it did as much as it was allowed; one that had little to do says nothing of how long
                a larger one takes.
        """
        if took_s > SLICE_S or full:
            # At most twofold: one slice may have waited for the disk, or for the interpreter.
            factor = min(2.0, max(0.5, SLICE_S / took_s)) if took_s else 2.0
            self.limit = min(SLICE_MAX, max(SLICE_MIN, round(self.limit * factor)))
