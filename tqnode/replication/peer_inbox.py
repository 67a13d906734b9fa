"""What comes from one peer that was let in: messages, entries and calls, each handed to the node."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from tqnode.clock import Clock
from tqnode.errors import DiskFull
from tqnode.replication.messages import AnyMessage, Append, Lend
from tqnode.replication.peer_contacts import Contacts
from tqnode.replication.peer_intake import Content, EntryShelf, take_entries
from tqnode.replication.peer_link import Link, LinkBroken
from tqnode.replication.peer_refusals import Refused
from tqnode.replication.wire import FRAME_BYTES_MAX, LOG, Hello, Kind, Request, Response, pack, unpack_message

CALLS_MAX: Final = 64
"""Calls of one peer at a time."""
WRITE_S: Final = 5.0
FULL_S: Final = 5.0
"""A peer that sends entries to a full disk is made to wait so long before it may try again."""

logger = logging.getLogger(__name__)

OnMessage = Callable[[str, str, AnyMessage, Sequence[Content]], None]
"""Told of each message: the sender's name, its node id, the message, and what belongs to its heads."""
OnCall = Callable[[str, str, Any], Awaitable[Any]]
"""Does what a peer calls for: the caller's name, that of the call, its payload; returns what came of it."""


class CallRefused(Exception):
    """Raised by an :data:`OnCall`: the call is not done; the text, which the caller gets, says why."""


class Inbox:
    """Hands everything on.

    Args:
        shelf: takes the large entries.
        clock: the node's clock.
        contacts: told of each sign of life.
        on_message: gets the messages. Files among the entries are then its own to store or discard.
        on_call: does what is called for.
    """

    def __init__(
        self, shelf: EntryShelf, *, clock: Clock, contacts: Contacts, on_message: OnMessage, on_call: OnCall
    ) -> None:
        self._shelf = shelf
        self._clock = clock
        self._contacts = contacts
        self._on_message = on_message
        self._on_call = on_call

    async def serve(self, link: Link, hello: Hello, *, silent_s: float) -> None:
        """Takes what comes over one connection, until that ends.

        Args:
            link: the connection.
            hello: what the peer said of itself, proved.
            silent_s: after so long without a frame the peer is gone.

        Raises:
            LinkBroken: the connection has ended.
            Refused: what came is not part of the protocol.
            DiskFailed: the process must end.
        """
        calls: set[asyncio.Task[None]] = set()
        try:
            while True:
                kind, body = await link.read(bytes_max=FRAME_BYTES_MAX, within_s=silent_s)
                self._contacts.heard(hello.card.name)
                if kind == Kind.MESSAGE:
                    await self._take(link, hello, body)
                elif kind == Kind.PING:
                    link.write(Kind.PONG, body)
                    await link.drain(within_s=WRITE_S)
                elif kind == Kind.REQUEST:
                    if len(calls) >= CALLS_MAX:
                        raise Refused("too_many", f"more than {CALLS_MAX} calls at a time")
                    call = asyncio.create_task(self._call(link, hello.card.name, body))
                    calls.add(call)
                    call.add_done_callback(calls.discard)
                else:
                    raise Refused("malformed", f"a frame of kind {kind} came: upgrade the older node")
        finally:
            for call in calls:
                call.cancel()

    async def _take(self, link: Link, hello: Hello, body: bytes) -> None:
        try:
            message = unpack_message(body)
        except msgspec.DecodeError as error:
            raise Refused(
                "malformed",
                f"a message came that this version does not know ({error}): upgrade the older node",
            ) from error
        heads = message.heads if isinstance(message, Append | Lend) else ()
        if heads and hello.lane != LOG:
            raise Refused("malformed", "entries came where only small messages belong")
        entries: Sequence[Content] = ()
        if heads:
            try:
                entries = await take_entries(link, heads, self._shelf)
            except DiskFull as error:
                logger.error("the disk is full: %d entries of %s are not taken", len(heads), hello.card.name)
                await self._clock.sleep(FULL_S)
                raise LinkBroken("the disk is full") from error
        self._on_message(hello.card.name, hello.card.node_id, message, entries)

    async def _call(self, link: Link, caller: str, body: bytes) -> None:
        try:
            request = msgspec.msgpack.decode(body, type=Request)
            payload = msgspec.msgpack.decode(request.payload)
        except msgspec.DecodeError as error:
            logger.warning("a call of %s cannot be read: %s", caller, error)
            return
        problem, result = "", None
        try:
            result = await self._on_call(caller, request.name, payload)
        except CallRefused as refused:
            problem = str(refused)
        except Exception:
            logger.exception("the call %s of %s failed", request.name, caller)
            problem = "an error within the node: its log says which"
        try:
            link.write(Kind.RESPONSE, pack(Response(request.number, problem, msgspec.Raw(pack(result)))))
            await link.drain(within_s=WRITE_S)
        except LinkBroken as broken:
            logger.info("the answer to the call %s of %s was not taken: %s", request.name, caller, broken)
