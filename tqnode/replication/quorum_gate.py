"""Answers writes once a majority has them: the gate of a leader."""

from collections import deque
from collections.abc import Callable

from tqnode.clock import Clock
from tqnode.errors import TqnodeError
from tqnode.store.gate import Answer


class QuorumGate:
    """Holds the answers to committed groups until the log's entries that have them are committed.

    Args:
        may_answer: returns if the node leads at this moment; raises what to tell instead otherwise.
        clock: the node's clock.
        on_answer: told, for each group that is answered, for how many seconds it was held.
    """

    def __init__(
        self, may_answer: Callable[[], None], *, clock: Clock, on_answer: Callable[[float], None]
    ) -> None:
        self._may_answer = may_answer
        self._clock = clock
        self._on_answer = on_answer
        self._held: deque[tuple[float, Answer]] = deque()
        self._covered: deque[tuple[int, int]] = deque()
        self._uncovered = 0
        self._committed = 0
        self._refusal: Callable[[], TqnodeError] | None = None
        self._elsewhere: Callable[[], TqnodeError] | None = None
        self.on_arrival: Callable[[], None] = lambda: None
        """Called when a group is held that no entry is known to have."""

    @property
    def uncovered(self) -> int:
        """Held groups of which it is not known which entry has them."""
        return self._uncovered

    def hold(self, answer: Answer) -> None:
        """Takes the answer to a group that is committed on this node's disk."""
        if self._refusal is not None:
            answer(self._refusal())
            return
        self._held.append((self._clock.monotonic(), answer))
        self._uncovered += 1
        self.on_arrival()

    def check(self) -> None:
        """Raises unless the node leads at this moment."""
        if self._elsewhere is not None:
            raise self._elsewhere()
        self._may_answer()

    def cover(self, groups: int, txid: int) -> None:
        """Says that the oldest ``groups`` of the uncovered ones are in the entries up to ``txid``."""
        if self._refusal is not None:
            return  # they were answered while it was found out
        if groups:
            self._uncovered -= groups
            self._covered.append((txid, groups))
        self.committed(self._committed)

    def committed(self, txid: int) -> None:
        """Answers what a majority has: all that is in the term's entries up to ``txid``."""
        self._committed = txid
        while self._covered and self._covered[0][0] <= txid:
            try:
                # A majority has it; but whether this node still leads only its lease says.
                self._may_answer()
            except TqnodeError:
                return
            _, groups = self._covered.popleft()
            now = self._clock.monotonic()
            for _ in range(groups):
                since, answer = self._held.popleft()
                self._on_answer(now - since)
                answer(None)

    def refuse(
        self, refusal: Callable[[], TqnodeError], *, elsewhere: Callable[[], TqnodeError] | None = None
    ) -> None:
        """Answers nothing more, for good.

        Args:
            refusal: makes what is said to all that is held, and all that comes.
            elsewhere: makes what :meth:`check` raises, whose callers have written nothing; None: the same.
        """
        self._refusal = refusal
        self._elsewhere = elsewhere or refusal
        self._covered.clear()
        self._uncovered = 0
        while self._held:
            _, answer = self._held.popleft()
            answer(refusal())
