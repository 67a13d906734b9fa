"""How often a process that serves looks for objects that hold each other: seldom, it makes hardly any."""

import gc
from typing import Final

OBJECTS: Final = 50_000
"""Made and not gone again, before the youngest are looked through. At Python's own 700 a batch of tasks is
looked through several times on its way, for 7 % of all the work; what is found then goes a bit later now."""


def collect_seldom() -> None:
    """Called once, as the process begins; the rarer looks at what is older become as much rarer."""
    gc.set_threshold(OBJECTS, *gc.get_threshold()[1:])
