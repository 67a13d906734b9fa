"""When a process that serves looks for objects that hold each other: seldom, since it makes hardly any.

Python itself looks in the middle of whatever makes objects, so in the middle of the largest requests, and the
whole process stands still for it: 50 ms for as many thousand objects.
"""

import gc
from typing import Final

from tqnode.clock import Clock

OBJECTS: Final = 1_000_000
"""Made and not gone again, before Python looks by itself. Only a fault makes so many within a second."""
TICK_S: Final = 1.0
YOUNG_MAX: Final = 250_000
"""Objects made and not gone again, as they are counted each second, from which on the youngest are looked
through: the requests at hand have fewer."""
YOUNG_TICKS: Final = 60
"""Seconds after which they are, however few there are."""
ALL_TICKS: Final = 900
"""Seconds after which all are."""


def collect_seldom() -> None:
    """Called once, as the process begins: what is there by then stays, and nobody need look at it again."""
    gc.freeze()
    gc.set_threshold(OBJECTS, *gc.get_threshold()[1:])


async def collect_between(clock: Clock) -> None:
    """Looks between one piece of the event loop's work and the next, until it is cancelled."""
    tick = 0
    while True:
        await clock.sleep(TICK_S)
        tick += 1
        if tick % ALL_TICKS == 0:
            gc.collect()
        elif tick % YOUNG_TICKS == 0 or gc.get_count()[0] > YOUNG_MAX:
            gc.collect(0)
