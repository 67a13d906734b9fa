"""Time and chance: the only module that reads the system's clocks or its random source.

Everything else is handed a :class:`Clock` and a :class:`Rng`, so that a simulation can replace both.
"""

import asyncio
import random
import time
from typing import Protocol


class Clock(Protocol):
    """What the node knows of time."""

    def now_ms(self) -> int:
        """Wall time in milliseconds since 1970-01-01 UTC: for people, and for what is stored."""
        ...

    def monotonic(self) -> float:
        """Seconds that never step and that count suspend: for durations and deadlines."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Waits ``seconds`` of monotonic time."""
        ...


def moment(clock: Clock, *, within_s: float) -> tuple[int, float]:
    """Wall time in ms and monotonic time in seconds, read less than ``within_s`` seconds apart."""
    while True:
        before = clock.monotonic()
        now_ms, after = clock.now_ms(), clock.monotonic()
        # If the process was stopped between the two, they would look like a stepped clock.
        if after - before < within_s:
            return now_ms, after


class Rng(Protocol):
    """What the node knows of chance."""

    def bits(self, count: int) -> int:
        """An integer of ``count`` random bits."""
        ...

    def fraction(self) -> float:
        """A float in [0, 1)."""
        ...


class SystemClock:
    """The machine's clocks. CLOCK_BOOTTIME, since CLOCK_MONOTONIC stands still while a host sleeps."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SystemRng:
    """The operating system's random source: tokens must not be guessable."""

    def __init__(self) -> None:
        self._random = random.SystemRandom()

    def bits(self, count: int) -> int:
        return self._random.getrandbits(count)

    def fraction(self) -> float:
        return self._random.random()
