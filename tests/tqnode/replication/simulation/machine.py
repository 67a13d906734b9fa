"""A simulated machine with one process on it: up or down, standing still or not, with a clock and a disk."""

from collections.abc import Callable
from typing import Any

from tests.tqnode.replication.simulation.disk import Disk, DiskIsFull
from tests.tqnode.replication.simulation.world import World


class Machine:
    """What happens to a process, whatever it does.

    Args:
        world: time and chance.
        disk: which may be exchanged while the process is down.
        rate: its clock's, by the world's.
        offset: its clock's.
    """

    SLOW_S = 0.4
    FAST_S = 0.01

    def __init__(self, world: World, disk: Disk, *, rate: float, offset: float) -> None:
        self._world = world
        self._rate = rate
        self._offset = offset
        self.disk = disk
        self.up = False
        self.epoch = 0
        """Counts the starts and ends of the process."""
        self.paused_until = 0.0
        self.stalled_until = 0.0
        """Until when its disk takes nothing."""
        self._busy_until = 0.0

    def clock(self) -> float:
        return self._offset + self._world.now * self._rate

    def freeze_clock(self, seconds: float) -> None:
        """The machine stands still, its clock too."""
        self.paused_until = self._world.now + seconds
        self._offset -= seconds * self._rate

    def lose_power(self) -> None:
        """Ends the process, and all that was being written."""
        self.up = False
        self.epoch += 1
        self.disk.crash(self._world.rng)
        self._busy_until = 0.0

    def soon(self, seconds: float, what: Callable[..., object], *arguments: Any) -> None:
        """Calls a method later, unless the process has ended by then; after a pause, if there is one."""
        self._world.after(seconds, self._come, self.epoch, what, arguments)

    def _come(self, epoch: int, what: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        if self.epoch != epoch:
            return
        world = self._world
        if world.now < self.paused_until:
            world.after(self.paused_until - world.now, self._come, epoch, what, arguments)
            return
        what(*arguments)

    def write(
        self, change: Callable[[], None], then: Callable[[], object], *, told_early: bool = False
    ) -> None:
        """Has the disk make a change, after all those before; ``then`` is called when it is synced.

        Args:
            change: makes it; raises DiskIsFull.
            then: is called, if the process is still there.
            told_early: a bug: ``then`` is called before.
        """
        chance = self._world.rng.random
        took_s = 0.0005 + chance() * (self.SLOW_S if chance() < 0.02 or told_early else self.FAST_S)
        now = self._world.now
        self._busy_until = max(self._busy_until, now, self.stalled_until) + took_s
        self.disk.begin(change)
        if told_early:
            self.soon(0.0, then)
        after = None if told_early else then
        self._world.after(self._busy_until - now, self._synced, self.disk, self.disk.run, self.epoch, after)

    def _synced(self, disk: Disk, run: int, epoch: int, then: Callable[[], object] | None) -> None:
        if disk.run != run:
            return
        try:
            disk.sync()
        except DiskIsFull:
            then = self._disk_is_full
        if then is not None:
            self._come(epoch, then, ())

    def _disk_is_full(self) -> None:
        """The process learns that something could not be written."""
        raise NotImplementedError
