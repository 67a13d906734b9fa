"""Keeps two threads that take turns at the interpreter on one core, as the node does its loop and its writer.

Python runs one thread at a time. On two cores the event loop and the writer hand the interpreter to and fro,
each time with a wake-up and with cold caches; together on one, they carry out a third more single enqueues.
The core is the one that others use least, looked at again every second. All other threads, and all programs
that the node starts, keep all cores.
"""

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

from tqnode.clock import Clock, Rng

ALL: Final = frozenset(os.sched_getaffinity(0))
"""The cores this process may use, as it was started."""
LOOK_S: Final = 1.0
IDLE: Final = 0.05
"""Share of a core below which it does not matter where the threads are."""
WORTH_MOVING: Final = 0.15
"""By how much less others must use a core, in shares of it, for the threads to move there."""
MOVES: Final = 0.5
"""Chance to move when it is worth it: several nodes must not go to and fro together."""

_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")

logger = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def one_core(partner: str, *, clock: Clock, rng: Rng) -> AsyncIterator[None]:
    """Keeps the calling thread and the threads named ``partner`` on one core until the end of the block.

    Where the system does not allow it, that is logged and nothing is done.
    """
    place = Place(partner, rng=rng)
    keeping = asyncio.create_task(_keep(place, clock), name="one-core")
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        place.leave()


async def _keep(place: "Place", clock: Clock) -> None:
    if len(ALL) == 1:
        return
    try:
        while True:
            place.look(clock.monotonic())
            await clock.sleep(LOOK_S)
    except OSError as error:
        logger.info("the threads stay on all cores: %s", error)


class Place:
    """The core of the calling thread and its partners.

    Args:
        partner: their name; they come and go.
        rng: decides who moves.
    """

    def __init__(self, partner: str, *, rng: Rng) -> None:
        self._partner = partner
        self._rng = rng
        self._thread = threading.get_native_id()
        self._core: int | None = None
        self._looked_s = 0.0
        self._own_s = 0.0
        self._busy_s: Mapping[int, float] = {}

    def look(self, now_s: float) -> None:
        """Moves the threads if another core is better, and the new ones to where the others are.

        Args:
            now_s: monotonic seconds; the core is judged by the time since the last look.

        Raises:
            OSError: the system does not allow it, or does not say what its cores do.
        """
        threads = {self._thread, *self._partners()}
        passed_s, self._looked_s = now_s - self._looked_s, now_s
        own_s, busy_s = sum(map(_used_s, threads)), _busy_s()
        used_s, self._own_s = own_s - self._own_s, own_s
        before_s, self._busy_s = self._busy_s, busy_s
        if self._core is None or used_s > IDLE * passed_s:
            others_s = {core: busy_s[core] - before_s.get(core, 0) for core in ALL}
            if self._core is not None:
                others_s[self._core] -= used_s
            will_move = self._rng.fraction() < MOVES
            self._core = better(self._core, others_s, passed_s, will_move=will_move)
        for thread in map(int, os.listdir("/proc/self/task")):
            cores = {self._core} if thread in threads else ALL
            # Threads that this one has started are where it is.
            with contextlib.suppress(ProcessLookupError):
                if os.sched_getaffinity(thread) != cores:
                    os.sched_setaffinity(thread, cores)

    def _partners(self) -> list[int]:
        named = (thread for thread in threading.enumerate() if thread.name == self._partner)
        return [thread.native_id for thread in named if thread.native_id is not None]

    def leave(self) -> None:
        """Gives the threads all cores again."""
        with contextlib.suppress(OSError):
            for thread in map(int, os.listdir("/proc/self/task")):
                os.sched_setaffinity(thread, ALL)


def better(core: int | None, others_s: Mapping[int, float], passed_s: float, *, will_move: bool) -> int:
    """The core to be on.

    Args:
        core: the one the threads are on; None if on none.
        others_s: how many seconds others have used each core, of ``passed_s``.
        will_move: False keeps the threads where they are, however well it is elsewhere.
    """
    best = min(others_s, key=lambda one: others_s[one])
    if core is None:
        return best
    gain = (others_s[core] - others_s[best]) / passed_s
    return best if will_move and gain > WORTH_MOVING else core


def _used_s(thread: int) -> float:
    """CPU seconds of a thread, 0 if it has ended."""
    try:
        return int(Path(f"/proc/self/task/{thread}/schedstat").read_bytes().split()[0]) / 1e9
    except FileNotFoundError:
        return 0.0


def _busy_s() -> dict[int, float]:
    """Seconds each core has worked since the machine started.

    Raises:
        OSError: that is not to be found out.
    """
    busy_s = {}
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu":
            user, nice, system, _idle, _waiting, irq, softirq, steal = map(int, fields[:8])
            busy_s[int(name.removeprefix("cpu"))] = (user + nice + system + irq + softirq + steal) * _TICK_S
    if not ALL <= busy_s.keys():
        raise OSError("/proc/stat does not say what each core does")
    return busy_s
