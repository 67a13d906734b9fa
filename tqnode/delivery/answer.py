"""What came of one attempt to deliver, and what that means for the next. Pure."""

import math
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

GONE = 410
WAIT = (429, 503)
"""Statuses whose Retry-After is obeyed."""
RETRY_AFTER_S_MAX = 86_400


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said.

    Args:
        status: of HTTP.
        retry_after: the header, as it came.
        excerpt: the beginning of the body, for people.
    """

    status: int
    retry_after: str | None = None
    excerpt: str = ""

    @property
    def delivered(self) -> bool:
        """Whether the receiver has taken it."""
        return 200 <= self.status < 300

    def wait_ms(self, now_ms: int) -> int | None:
        """How long the receiver asks to be left alone, at most a day; None if it does not say."""
        if self.retry_after is None or self.status not in WAIT:
            return None
        seconds = _seconds(self.retry_after, now_ms)
        return None if seconds is None else round(1000 * min(max(seconds, 1.0), RETRY_AFTER_S_MAX))


class Undelivered(Exception):
    """No answer came.

    Args:
        outcome: ``forbidden``, ``resolve``, ``connection``, ``timeout`` or ``unconfigured``.
        detail: for people.
    """

    def __init__(self, outcome: str, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail


def _seconds(header: str, now_ms: int) -> float | None:
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    wait_s = at.timestamp() - now_ms / 1000
    return wait_s if math.isfinite(wait_s) else None
