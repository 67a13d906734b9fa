"""Nodes that talk to each other over real sockets, for tests, and what may happen on the way."""

import asyncio
import contextlib
import functools
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.tqnode.replication.node_db_folder import opened
from tests.waiting import eventually_async
from tqnode.clock import SystemClock, SystemRng
from tqnode.replication.messages import AnyMessage, Release
from tqnode.replication.node_db import NodeDb
from tqnode.replication.peer_auth import Auth, Open
from tqnode.replication.peers import Address, CallRefused, Content, Peers
from tqnode.replication.wire import Card

TTL_S = 2.0


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody uses now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


def card_of(name: str, **changes: Any) -> Card:
    facts: dict[str, Any] = {
        "name": name,
        "node_id": f"disk-of-{name}",
        "cluster_id": "c1",
        "url": f"http://{name}:7333",
        "software": "0.1.0",
        "schema": 1,
    }
    return Card(**{**facts, **changes})


@dataclass
class Received:
    """One message that came, and when."""

    sender: str
    node_id: str
    message: AnyMessage
    entries: Sequence[Content]
    at: float


@dataclass
class Talker:
    """One node, and what it was told."""

    peers: Peers
    db: NodeDb
    received: list[Received] = field(default_factory=list)
    fatal: list[BaseException] = field(default_factory=list)

    def messages(self) -> list[AnyMessage]:
        return [received.message for received in self.received]

    async def until_connected(self, *names: str) -> None:
        for name in names:
            await eventually_async(functools.partial(self._is_connected, name))

    def _is_connected(self, name: str) -> bool:
        # Whoever sends entries before the log's own connection is there loses them.
        return self.peers.contacts()[name].connected and self.peers._ways[name].log.connected


async def answer_call(caller: str, name: str, payload: Any) -> Any:
    """What the test's nodes do when they are called."""
    if name == "echo":
        return {"caller": caller, "payload": payload}
    if name == "fail":
        raise RuntimeError("a bug in the handler")
    if name == "hang":
        await asyncio.Event().wait()
    raise CallRefused(f"there is no call {name}")


@contextlib.asynccontextmanager
async def talker(
    folder: Path,
    card: Card,
    addresses: dict[str, Address],
    *,
    listen: Address,
    auth: Auth | None = None,
    versions: tuple[int, int] = (1, 1),
    ttl_s: float = TTL_S,
) -> AsyncIterator[Talker]:
    """A node with a real node.db for the entries that come."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    clock = SystemClock()
    async with opened(folder) as db:
        received: list[Received] = []
        fatal: list[BaseException] = []

        def on_message(sender: str, node_id: str, message: AnyMessage, entries: Sequence[Content]) -> None:
            received.append(Received(sender, node_id, message, entries, clock.monotonic()))

        peers = Peers(
            card,
            addresses,
            listen=listen,
            auth=auth or Open(),
            shelf=db,
            lease_ttl_s=ttl_s,
            clock=clock,
            rng=SystemRng(),
            on_message=on_message,
            on_call=answer_call,
            on_fatal=fatal.append,
            versions=versions,
        )
        await peers.start()
        try:
            yield Talker(peers, db, received, fatal)
        finally:
            await peers.close()
    assert not fatal


@contextlib.asynccontextmanager
async def pair(
    folder: Path,
    *,
    auths: Sequence[Auth] = (Open(), Open()),
    cards: Sequence[Card] | None = None,
    versions: Sequence[tuple[int, int]] = ((1, 1), (1, 1)),
    ttl_s: float = TTL_S,
    via: "Wire | None" = None,
) -> AsyncIterator[tuple[Talker, Talker]]:
    """Nodes a and b; what a sends to b goes over ``via``, if given."""
    port_a, port_b = free_ports(2)
    card_a, card_b = cards or (card_of("a"), card_of("b"))
    async with contextlib.AsyncExitStack() as stack:
        to_b = ("127.0.0.1", port_b)
        if via is not None:
            await stack.enter_async_context(via.to(port_b))
            to_b = ("127.0.0.1", via.port)
        a = await stack.enter_async_context(
            talker(
                folder / "a",
                card_a,
                {"b": to_b},
                listen=("127.0.0.1", port_a),
                auth=auths[0],
                versions=versions[0],
                ttl_s=ttl_s,
            )
        )
        b = await stack.enter_async_context(
            talker(
                folder / "b",
                card_b,
                {"a": ("127.0.0.1", port_a)},
                listen=to_b if via is None else ("127.0.0.1", port_b),
                auth=auths[1],
                versions=versions[1],
                ttl_s=ttl_s,
            )
        )
        yield a, b


async def until_heard(sender: Talker, receiver: Talker, to: str, term: int) -> None:
    """Sends until it has come: what is sent may be lost."""

    def sent_and_come() -> bool:
        sender.peers.send(to, Release(term))
        return Release(term) in receiver.messages()

    await eventually_async(sent_and_come, every_s=0.05)
    await sender.until_connected(to)


class Wire:
    """A line between two nodes that a test can cut, slow down, listen to and disturb.

    Attributes:
        cut: nothing gets through, in either direction, and nobody is told.
        bytes_per_s: at most so much gets through to the far end; None for all.
        change: is given each block on its way to the far end, and returns what arrives.
        heard: all blocks on their way to the far end, by connection.
    """

    def __init__(self) -> None:
        self.cut = False
        self.bytes_per_s: float | None = None
        self.change: Callable[[bytes], bytes] = lambda block: block
        self.heard: list[bytearray] = []
        self.port = 0
        self._clock = SystemClock()

    @contextlib.asynccontextmanager
    async def to(self, port: int) -> AsyncIterator[None]:
        """Leads to ``port`` for as long as the context is open."""
        connections: set[asyncio.Task[None]] = set()

        async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            connections.add(task)
            try:
                await self._carry(reader, writer, port)
            finally:
                connections.discard(task)
                writer.transport.abort()

        server = await asyncio.start_server(connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for task in list(connections):
                task.cancel()
            await asyncio.gather(*connections, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return
        heard = bytearray()
        self.heard.append(heard)
        both = [
            asyncio.ensure_future(self._forward(reader, far_writer, heard)),
            asyncio.ensure_future(self._forward(far_reader, writer, None)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in both:
                direction.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            far_writer.transport.abort()

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: bytearray | None
    ) -> None:
        while True:
            while self.cut:
                await self._clock.sleep(0.01)
            block = await reader.read(16 * 1024)
            if not block:
                return
            if self.cut:
                continue  # lost
            if heard is not None:
                heard += block
                block = self.change(block)
                if self.bytes_per_s is not None:
                    await self._clock.sleep(len(block) / self.bytes_per_s)
            writer.write(block)
            await writer.drain()
