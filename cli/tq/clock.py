"""Time and chance as the SDK knows them: the only module of it that reads either."""

import random
import time
from typing import Protocol


class Clock(Protocol):
    """What a client needs of time and chance; tests hand in their own."""

    def now_ms(self) -> int:
        """Wall time in milliseconds since 1970-01-01 UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never step: for deadlines."""
        ...

    def fraction(self) -> float:
        """A random float in [0, 1)."""
        ...

    def bits(self, count: int) -> int:
        """An integer of ``count`` random bits."""
        ...

    def pause(self, seconds: float) -> None:
        """Blocks for ``seconds``."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Waits ``seconds`` without blocking the event loop."""
        ...


class SystemClock:
    """The machine's."""

    def __init__(self) -> None:
        self._random = random.SystemRandom()

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    def fraction(self) -> float:
        return self._random.random()

    def bits(self, count: int) -> int:
        return self._random.getrandbits(count)

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    async def sleep(self, seconds: float) -> None:
        import asyncio  # who awaits this has it already; the blocking client need not spend 45 ms on it

        await asyncio.sleep(seconds)
