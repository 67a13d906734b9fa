"""What the logic of the clients asks of the outside world.

A program is a generator that yields effects and is sent their answers. It does no I/O and never
awaits, so the blocking and the async client run the very same programs.

========== ============================================= ==========================
effect     asks                                          answer
========== ============================================= ==========================
Send       for one request and its whole answer          Reply or Lost
Open       for one request, its body to be read later    Reply (body empty) or Lost
Receive    for the next bytes of what was opened         bytes (empty: end) or Lost
Pause      to wait                                       None
Wait       to wait until a gate is opened                None
Emit       to hand one item to the caller                None
========== ============================================= ==========================
"""

from collections.abc import Generator, Mapping
from typing import Any, TypeAlias, TypeVar

import msgspec

T = TypeVar("T")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request.

    Attributes:
        connect_s: seconds that making the connection may take.
        until: the monotonic time at which the whole answer must be there.
        silence_s: seconds without a byte after which an open stream counts as dead.
        long: whether the node may hold the answer back, as a claim that waits.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    connect_s: float
    until: float
    silence_s: float
    long: bool = False


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP answer; the names in ``headers`` are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """No (whole) answer came.

    Attributes:
        sent: whether the node may have received the request.
        reason: what happened, in a few words.
    """

    sent: bool
    reason: str


class Send(msgspec.Struct, frozen=True):
    request: Request


class Open(msgspec.Struct, frozen=True):
    request: Request


class Receive(msgspec.Struct, frozen=True):
    pass


class Pause(msgspec.Struct, frozen=True):
    seconds: float


class Wait(msgspec.Struct, frozen=True):
    """Ends when the gate is opened, or after ``seconds``; which of them, the program sees for itself."""

    gate: Any
    seconds: float


class Emit(msgspec.Struct, frozen=True):
    item: Any


Effect: TypeAlias = Send | Open | Receive | Pause | Wait | Emit
Program: TypeAlias = Generator[Effect, Any, T]
