"""What stands between a commit on this node's disk and its answer."""

from collections.abc import Callable
from typing import Protocol

from tqnode.errors import TqnodeError

Answer = Callable[[TqnodeError | None], None]


class Gate(Protocol):
    """Decides when committed writes may be answered. All of it is called on the event loop."""

    def hold(self, answer: Answer) -> None:
        """Takes the answer to a group that is committed on this node's disk.

        Calls ``answer`` once, later or at once, in the order in which they came: with None when the
        commit is as durable as was promised, or else with what the group's clients are to be told.
        """
        ...

    def check(self) -> None:
        """Returns if what is answered may be answered now.

        Raises:
            TqnodeError: what to tell instead, of reads too.
        """
        ...
