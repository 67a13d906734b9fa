"""The token: proof of one claim, written ``<grants>-<secret>``."""

import re

import msgspec

from tqnode.errors import LeaseLost

SECRET_BITS = 63
"""What fits SQLite's signed integer."""
_WRITTEN = re.compile(r"([0-9]{1,18})-([0-9a-f]{16})")


class Fence(msgspec.Struct, frozen=True):
    """What a finish or heartbeat must match.

    Args:
        grants: the number of the claim, among the task's claims.
        secret: the claim's random number.
    """

    grants: int
    secret: int


def write(grants: int, secret: int) -> str:
    """The token as workers carry it."""
    return f"{grants}-{secret:016x}"


def read(token: str, *, task: str) -> Fence:
    """The fence in a token.

    Raises:
        LeaseLost: no claim ever had such a token.
    """
    found = _WRITTEN.fullmatch(token)
    if found is not None:
        grants, secret = int(found[1]), int(found[2], 16)
        if secret < 1 << SECRET_BITS:
            return Fence(grants, secret)
    raise LeaseLost("the token is not this task's current one", task=task)
