"""All the other nodes: messages to and from them, calls, and what is known of each."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from tqnode.clock import Clock, Rng
from tqnode.replication.control_lane import CallFailed, ControlLane
from tqnode.replication.log_lane import LogLane, Source
from tqnode.replication.messages import AnyMessage, Append, Lend
from tqnode.replication.peer_auth import Auth
from tqnode.replication.peer_client import Route
from tqnode.replication.peer_contacts import Contact, Contacts
from tqnode.replication.peer_handshake import Handshake
from tqnode.replication.peer_inbox import CallRefused, Inbox, OnCall, OnMessage
from tqnode.replication.peer_intake import Content, EntryShelf
from tqnode.replication.peer_refusals import Refusals
from tqnode.replication.peer_server import PeerListenError, PeerServer, bind_peers
from tqnode.replication.wire import NEWEST, OLDEST, Card

__all__ = ["Address", "CallFailed", "CallRefused", "Contact", "Content", "PeerListenError", "Peers"]

Address = tuple[str, int]
SMALL_BYTES: Final = 256 * 1024
"""Entries up to this size delay nothing that goes beside them."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Way:
    """Both connections to one peer."""

    control: ControlLane
    log: LogLane


class Peers:
    """Talks to all peers, from :meth:`start` to :meth:`close`. Used on the event loop alone.

    Messages may be lost, and come late, twice or in another order.

    Args:
        card: who this node is.
        addresses: of all the other nodes, by name.
        listen: where this node listens for them; port 0 lets the system choose.
        auth: how nodes prove who they are.
        shelf: takes the large entries that come.
        lease_ttl_s: from it follows how soon a silent peer counts as gone.
        clock: the node's clock.
        rng: makes nonces, and spreads attempts to connect.
        on_message: gets the messages. Files among the entries are then its own to store or discard.
        on_call: does what peers call for.
        on_fatal: called when the disk failed: the process must end at once.
        versions: of the protocol that this node speaks: the oldest and the newest.
    """

    def __init__(
        self,
        card: Card,
        addresses: Mapping[str, Address],
        *,
        listen: Address,
        auth: Auth,
        shelf: EntryShelf,
        lease_ttl_s: float,
        clock: Clock,
        rng: Rng,
        on_message: OnMessage,
        on_call: OnCall,
        on_fatal: Callable[[BaseException], None],
        versions: tuple[int, int] = (OLDEST, NEWEST),
    ) -> None:
        self._card = card
        self._addresses = dict(addresses)
        self._listen = listen
        self._auth = auth
        self._clock = clock
        self._rng = rng
        self._on_fatal = on_fatal
        self._ping_s = lease_ttl_s / 4
        self._silent_s = max(1.5 * lease_ttl_s, 1.0)
        self._refusals = Refusals(clock)
        self._contacts = Contacts(
            {name: f"{host}:{port}" for name, (host, port) in addresses.items()}, clock=clock
        )
        self._handshake = Handshake(
            lambda: self._card,
            peers=frozenset(addresses),
            auth=auth,
            rng=rng,
            oldest=versions[0],
            newest=versions[1],
        )
        self._inbox = Inbox(
            shelf, clock=clock, contacts=self._contacts, on_message=on_message, on_call=on_call
        )
        self._listener: socket.socket | None = None
        self._server: PeerServer | None = None
        self._ways: dict[str, _Way] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.port = 0
        """Where it listens, once started."""

    async def start(self) -> None:
        """Listens, and connects to everybody; returns without waiting for anybody.

        Raises:
            PeerListenError: the address can't be listened on.
        """
        listener = self._listener = bind_peers(*self._listen)
        self.port = listener.getsockname()[1]
        server = self._server = PeerServer(
            listener,
            handshake=self._handshake,
            auth=self._auth,
            inbox=self._inbox,
            clock=self._clock,
            contacts=self._contacts,
            refusals=self._refusals,
            silent_s=self._silent_s,
            on_fatal=self._on_fatal,
        )
        self._spawn(server.run(), "peers")
        for name, (host, port) in self._addresses.items():
            route = Route(
                name,
                host,
                port,
                handshake=self._handshake,
                auth=self._auth,
                clock=self._clock,
                rng=self._rng,
                contacts=self._contacts,
                refusals=self._refusals,
            )
            log = LogLane(route)
            control = ControlLane(route, ping_s=self._ping_s, silent_s=self._silent_s, on_lost=log.hang_up)
            self._ways[name] = _Way(control, log)
            self._spawn(control.run(), f"peer {name}")
            self._spawn(log.run(), f"log to peer {name}")

    def _spawn(self, work: Any, name: str) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)
        task.add_done_callback(self._on_end)
        self._tasks.append(task)

    def _on_end(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled():
            # Each runs until it is cancelled: without it this node would be silent, and not know it.
            self._on_fatal(task.exception() or RuntimeError(f"{task.get_name()} has ended"))

    def send(self, to: str, message: AnyMessage, sources: Sequence[Source] = ()) -> bool:
        """Sends a message; False if its entries were not taken along, and are to be sent again later.

        Args:
            to: name of the peer.
            message: what to send.
            sources: of each head of the message the bytes, or the file that has them.

        Raises:
            ValueError: the sources are not those of the heads.
        """
        way = self._ways[to]
        if not isinstance(message, Append | Lend) or not message.heads:
            way.control.put(message)
            return True
        if len(sources) != len(message.heads):
            raise ValueError(f"{len(message.heads)} heads come with the bytes of {len(sources)}")
        for head, source in zip(message.heads, sources, strict=True):
            if isinstance(source, bytes) and len(source) != head.size:
                raise ValueError(f"entry {head.position} has {head.size} bytes, not {len(source)}")
        quick = way.log.idle and sum(head.size for head in message.heads) <= SMALL_BYTES
        taken = way.log.put(message, sources)
        if isinstance(message, Append) and not (quick and taken):
            # It renews a lease, which must not wait for the bytes to get through.
            way.control.put(msgspec.structs.replace(message, heads=()))
        return taken

    async def call(self, to: str, name: str, payload: object, *, timeout_s: float) -> Any:
        """Has a peer do something; returns what came of it, of built-in types.

        Args:
            to: name of the peer.
            name: of what is called.
            payload: for it; up to 1 MiB as MessagePack.
            timeout_s: seconds within which the answer must have come.

        Raises:
            CallFailed: the peer was not reached, did not answer in time, or has refused.
        """
        return await self._ways[to].control.call(name, payload, timeout_s)

    def introduce(self, card: Card) -> None:
        """Says from now on that this node is ``card``, to the peers that are connected already as well."""
        if card == self._card:
            return
        self._card = card
        if self._server is not None:
            self._server.hang_up()
        for way in self._ways.values():
            way.control.hang_up()
            way.log.hang_up()

    @property
    def card(self) -> Card:
        """Who this node says it is."""
        return self._card

    def contacts(self) -> dict[str, Contact]:
        """What is known of each peer, by name."""
        return self._contacts.all()

    def refusals(self) -> Mapping[str, int]:
        """How often a peer, or something it sent, was refused, by reason; for metrics."""
        return self._refusals.counts

    async def close(self) -> None:
        """Ends all connections, and listens no more."""
        for task in self._tasks:
            task.remove_done_callback(self._on_end)
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()
        if self._listener is not None:
            self._listener.close()
