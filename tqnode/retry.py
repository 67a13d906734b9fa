"""How long a failed task waits before its next attempt. Pure."""

import msgspec

from tqnode.clock import Rng


class Exponential(msgspec.Struct, frozen=True, tag_field="type", tag="exponential"):
    base_s: float = 5.0
    factor: float = 2.0
    max_s: float = 3600.0
    jitter: float = 0.1

    def wait_s(self, attempt: int) -> float:
        # The exponent is bounded first: factor ** 1000 is beyond a float.
        return min(self.max_s, self.base_s * self.factor ** min(attempt - 1, 64))


class Linear(msgspec.Struct, frozen=True, tag_field="type", tag="linear"):
    base_s: float = 5.0
    max_s: float = 3600.0
    jitter: float = 0.1

    def wait_s(self, attempt: int) -> float:
        return min(self.max_s, self.base_s * attempt)


class Fixed(msgspec.Struct, frozen=True, tag_field="type", tag="fixed"):
    delay_s: float
    jitter: float = 0.0

    def wait_s(self, attempt: int) -> float:
        return self.delay_s


class Listed(msgspec.Struct, frozen=True, tag_field="type", tag="list"):
    delays_s: tuple[float, ...]
    jitter: float = 0.0

    def wait_s(self, attempt: int) -> float:
        return self.delays_s[min(attempt, len(self.delays_s)) - 1]


Policy = Exponential | Linear | Fixed | Listed

DEFAULT = Exponential()

_decoder = msgspec.json.Decoder(Policy)


def backoff_ms(policy: bytes | None, *, attempt: int, rng: Rng) -> int:
    """The wait after a failed attempt.

    Args:
        policy: its JSON as stored; None is :data:`DEFAULT`.
        attempt: the attempt that failed, from 1.
        rng: where the jitter comes from.

    Returns:
        Milliseconds, at least 0: the policy's wait, at most ``jitter`` of itself more or less.
    """
    chosen: Policy = DEFAULT if policy is None else _decoder.decode(policy)
    wait_s = chosen.wait_s(max(attempt, 1))
    spread = chosen.jitter * (2 * rng.fraction() - 1)
    return round(1000 * wait_s * (1 + spread))
