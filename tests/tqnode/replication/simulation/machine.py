"""A simulated machine with one process on it: up or down, standing still or not, with a clock of its own."""

from collections.abc import Callable
from typing import Any

from tests.tqnode.replication.simulation.world import World


class Machine:
    """What happens to a process, whatever it does.

    Args:
        world: time and chance.
        rate: its clock's, by the world's.
        offset: its clock's.
    """

    def __init__(self, world: World, *, rate: float, offset: float) -> None:
        self._world = world
        self._rate = rate
        self._offset = offset
        self.up = False
        self.epoch = 0
        """Counts the starts and ends of the process."""
        self.paused_until = 0.0
        self.stalled_until = 0.0
        """Until when its disk takes nothing."""

    def clock(self) -> float:
        return self._offset + self._world.now * self._rate

    def freeze_clock(self, seconds: float) -> None:
        """The machine stands still, its clock too."""
        self.paused_until = self._world.now + seconds
        self._offset -= seconds * self._rate

    def _soon(self, seconds: float, what: Callable[..., object], *arguments: Any) -> None:
        """Calls a method later, unless the process has ended by then; after a pause, if there is one."""
        epoch = self.epoch

        def come() -> None:
            if self.epoch != epoch:
                return
            if self._world.now < self.paused_until:
                self._world.after(self.paused_until - self._world.now, come)
                return
            what(*arguments)

        self._world.after(seconds, come)
