"""How long to wait between attempts: exponential, with full jitter, capped."""

BASE_S = 0.1
CAP_S = 5.0


def pause_s(retry: int, *, fraction: float, base_s: float = BASE_S, cap_s: float = CAP_S) -> float:
    """Seconds to wait before a retry.

    Args:
        retry: which one, from 1.
        fraction: a random number in [0, 1). The whole pause is random, so that clients which failed
            together do not come back together.
        base_s: the longest first pause, in seconds; it doubles with each retry.
        cap_s: the longest pause of all, in seconds.
    """
    # 2 ** 60 is beyond every cap; the bound keeps the float finite.
    return min(cap_s, base_s * 2.0 ** min(retry - 1, 60)) * fraction


def poll_s(poll: int, *, fraction: float, base_s: float = 0.05, cap_s: float = 1.0) -> float:
    """Seconds to wait before looking again at what is not ready yet.

    Args:
        poll: how often it was looked at, from 1.
        fraction: a random number in [0, 1); it makes up to a fifth of the pause.
        base_s: the longest first pause, in seconds; each is half as long again as the one before.
        cap_s: the longest pause of all, in seconds.
    """
    return min(cap_s, base_s * 1.5 ** min(poll - 1, 60)) * (0.8 + 0.2 * fraction)
