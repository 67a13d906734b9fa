"""Ids in order of time."""

from tq.clock import Clock


def time_ordered_id(clock: Clock) -> str:
    """A UUIDv7: 48 bits of milliseconds, then chance."""
    number = (clock.now_ms() & (1 << 48) - 1) << 80 | clock.bits(80)
    number = number & ~(0xF << 76) | 0x7 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    digits = f"{number:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
