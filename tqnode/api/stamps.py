"""Moments: milliseconds inside, RFC 3339 in UTC outside."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

MOMENT_MAX_MS = 253_402_300_799_999
"""The last millisecond of the year 9999, the last one RFC 3339 can write."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@lru_cache(4096)
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.").rjust(20, "0")


@lru_cache(4096)
def stamp(at_ms: int) -> str:
    """A moment as answers have it: ``2026-01-31T12:00:00.000Z``.

    Remembered, since the tasks of a request share their moments.

    Args:
        at_ms: milliseconds since 1970, from the year 1 to ``MOMENT_MAX_MS``.
    """
    return f"{_second(at_ms // 1000)}{at_ms % 1000:03d}Z"


def stamp_or_none(at_ms: int | None) -> str | None:
    """The same of a moment that may be absent."""
    return None if at_ms is None else stamp(at_ms)


def moment_ms(moment: datetime) -> int:
    """Milliseconds since 1970 of a moment with a time zone; what is finer is cut off."""
    return (moment - _EPOCH) // _MILLISECOND
