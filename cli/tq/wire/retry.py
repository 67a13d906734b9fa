"""How long a task waits between two attempts."""

from typing import Annotated

from msgspec import Meta

from tq.wire.names import PositiveSeconds, Request, Seconds


class Exponential(Request, kw_only=True, tag_field="type", tag="exponential"):
    """Waits ``base_s * factor ** (attempt - 1)``, at most ``max_s``, each ± ``jitter`` of itself."""

    base_s: PositiveSeconds = 5.0
    factor: Annotated[float, Meta(ge=1, le=100)] = 2.0
    max_s: PositiveSeconds = 3600.0
    jitter: Annotated[float, Meta(ge=0, le=1)] = 0.1


class Linear(Request, kw_only=True, tag_field="type", tag="linear"):
    """Waits ``base_s * attempt``, at most ``max_s``."""

    base_s: PositiveSeconds = 5.0
    max_s: PositiveSeconds = 3600.0
    jitter: Annotated[float, Meta(ge=0, le=1)] = 0.1


class Fixed(Request, kw_only=True, tag_field="type", tag="fixed"):
    """Waits ``delay_s`` each time."""

    delay_s: Seconds
    jitter: Annotated[float, Meta(ge=0, le=1)] = 0.0


class Listed(Request, kw_only=True, tag_field="type", tag="list"):
    """Waits ``delays_s[attempt - 1]``; the last one repeats."""

    delays_s: Annotated[list[Seconds], Meta(min_length=1, max_length=100)]
    jitter: Annotated[float, Meta(ge=0, le=1)] = 0.0


RetryPolicy = Exponential | Linear | Fixed | Listed
