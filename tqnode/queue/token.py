"""The token: proof of one claim, written ``<grants>-<secret>``."""

import msgspec

from tqnode.errors import LeaseLost

SECRET_BITS = 63
"""What fits SQLite's signed integer."""


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
    grants, _, secret = token.partition("-")
    if grants.isascii() and grants.isdigit() and len(grants) <= 18 and len(secret) == 16:
        try:
            return Fence(int(grants), int(secret, 16) & (1 << SECRET_BITS) - 1)
        except ValueError:
            pass
    raise LeaseLost("the token is not this task's current one", task=task)
