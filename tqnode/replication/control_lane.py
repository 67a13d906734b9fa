"""The connection for what is small and urgent: messages without entries, calls, and the sign of life."""

import asyncio
import contextlib
import itertools
import struct
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec

from tqnode.replication.messages import AnyMessage
from tqnode.replication.peer_client import Lane, Route
from tqnode.replication.peer_handshake import unexpected
from tqnode.replication.peer_link import Link
from tqnode.replication.peer_refusals import Refused
from tqnode.replication.wire import CONTROL, FRAME_BYTES_MAX, Kind, Request, Response, pack

WAITING_MAX: Final = 256
STALE_S: Final = 1.0
"""A message that could not be sent for so long says nothing any more."""
TIME: Final = struct.Struct(">d")


class CallFailed(Exception):
    """The peer was not reached, did not answer in time, or has refused the call; the text says which."""


class ControlLane(Lane):
    """Carries them to one peer.

    Args:
        route: to the peer.
        ping_s: seconds between two signs of life.
        silent_s: a peer that has not answered for so long is gone.
        on_lost: called when it is.
    """

    def __init__(self, route: Route, *, ping_s: float, silent_s: float, on_lost: Callable[[], None]) -> None:
        super().__init__(route, CONTROL)
        self._ping_s = ping_s
        self._silent_s = silent_s
        self._on_lost = on_lost
        self._waiting: deque[tuple[float, Kind, bytes]] = deque(maxlen=WAITING_MAX)
        self._woken = asyncio.Event()
        self._standing = asyncio.Event()
        self._numbers = itertools.count(1)
        self._calls: dict[int, asyncio.Future[Response]] = {}

    def put(self, message: AnyMessage) -> None:
        """Sends it; if that is not possible soon, it is lost, the oldest first."""
        self._put(Kind.MESSAGE, pack(message))

    def _put(self, kind: Kind, body: bytes) -> None:
        self._waiting.append((self._route.clock.monotonic() + STALE_S, kind, body))
        self._woken.set()

    async def call(self, name: str, payload: object, timeout_s: float) -> Any:
        """Has the peer do something; returns what came of it, of built-in types.

        Raises:
            CallFailed: whether it was done is unknown if the peer was reached.
        """
        number = next(self._numbers)
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                await self._standing.wait()
                self._calls[number] = answer
                self._put(Kind.REQUEST, pack(Request(number, name, msgspec.Raw(pack(payload)))))
                response = await answer
        except TimeoutError as error:
            trouble = self._route.contacts[self._route.name].trouble
            why = f"{self._route.name} did not answer within {timeout_s:g} s"
            raise CallFailed(f"{why}: {trouble}" if trouble else why) from error
        finally:
            self._calls.pop(number, None)
        if response.error:
            raise CallFailed(response.error)
        return msgspec.msgpack.decode(response.payload)

    def _found(self) -> None:
        self._standing.set()
        self._route.contacts.reached(self._route.name)

    def _lost(self, why: str) -> None:
        self._standing.clear()
        self._route.contacts.lost(self._route.name, why)
        for answer in self._calls.values():
            if not answer.done():
                answer.set_exception(CallFailed(f"{self._route.name} was lost before it answered: {why}"))
        self._on_lost()

    async def _write(self, link: Link) -> None:
        clock = self._route.clock
        next_ping = clock.monotonic()
        while True:
            self._woken.clear()
            now = clock.monotonic()
            if now >= next_ping:
                link.write(Kind.PING, TIME.pack(now))
                next_ping = now + self._ping_s
            while self._waiting:
                until, kind, body = self._waiting.popleft()
                if now <= until:
                    link.write(kind, body)
            await link.drain(within_s=self._silent_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, next_ping - clock.monotonic())):
                    await self._woken.wait()

    async def _read(self, link: Link) -> None:
        name = self._route.name
        while True:
            kind, body = await link.read(bytes_max=FRAME_BYTES_MAX, within_s=self._silent_s)
            if kind == Kind.PONG and len(body) == TIME.size:
                (sent,) = TIME.unpack(body)
                self._route.contacts.timed(name, self._route.clock.monotonic() - sent)
            elif kind == Kind.RESPONSE:
                self._answer(body)
            else:
                raise unexpected(kind, body)

    def _answer(self, body: bytes) -> None:
        try:
            response = msgspec.msgpack.decode(body, type=Response)
        except msgspec.DecodeError as error:
            raise Refused("malformed", f"its answer to a call cannot be read: {error}") from error
        answer = self._calls.get(response.number)
        if answer is not None and not answer.done():
            answer.set_result(response)
