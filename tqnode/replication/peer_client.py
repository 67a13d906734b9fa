"""One outgoing connection to one peer: made, and made again whenever it ends."""

import asyncio
import logging
import ssl
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Any, Final

from tqnode.clock import Clock, Rng
from tqnode.replication.peer_auth import Auth
from tqnode.replication.peer_contacts import Contacts
from tqnode.replication.peer_handshake import Handshake
from tqnode.replication.peer_link import READ_AHEAD_BYTES, Link, LinkBroken, tls_failed
from tqnode.replication.peer_refusals import Refusals, Refused

CONNECT_S: Final = 1.5
BACK_OFF_S: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0)
REFUSED_S: Final = 3.0
"""Time between two attempts at a peer that does not match: that takes a person to change."""
LASTING_S: Final = 1.0
"""A connection that lasted so long was a good one: the next attempt is made at once."""

logger = logging.getLogger(__name__)


class Route:
    """How to get to one peer.

    Args:
        name: of the peer.
        host: where it listens.
        port: where it listens.
        handshake: introduces this node.
        auth: how nodes prove who they are.
        clock: the node's clock.
        rng: spreads the attempts.
        contacts: told how it went.
        refusals: told when it did not match.
    """

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        *,
        handshake: Handshake,
        auth: Auth,
        clock: Clock,
        rng: Rng,
        contacts: Contacts,
        refusals: Refusals,
    ) -> None:
        self.name = name
        self._host = host
        self._port = port
        self._handshake = handshake
        self._auth = auth
        self.clock = clock
        self.rng = rng
        self.contacts = contacts
        self.refusals = refusals

    async def connect(self, lane: str) -> Link:
        """A connection to the peer, which has proved that it is the one.

        Raises:
            LinkBroken: it can't be reached.
            Refused: it is another one, or does not match this node.
        """
        try:
            async with asyncio.timeout(CONNECT_S):
                streams = await asyncio.open_connection(
                    self._host, self._port, ssl=self._auth.context(server=False), limit=READ_AHEAD_BYTES
                )
        except TimeoutError as error:
            raise LinkBroken(f"no answer within {CONNECT_S:g} s") from error
        except ssl.SSLError as error:
            raise tls_failed(error) from error
        except OSError as error:
            raise LinkBroken(str(error) or type(error).__name__) from error
        link = Link(*streams)
        try:
            card, protocol = await self._handshake.dial(link, self.name, lane)
        except BaseException:
            link.close()
            raise
        self.contacts.met(card, protocol)
        return link


class Lane(ABC):
    """What goes over one connection. Runs until it is cancelled.

    Args:
        route: to the peer.
        kind: what the other side is told that the connection is for.
    """

    def __init__(self, route: Route, kind: str) -> None:
        self._route = route
        self._kind = kind
        self._link: Link | None = None

    @property
    def connected(self) -> bool:
        """There is a connection."""
        return self._link is not None

    def hang_up(self) -> None:
        """Ends the connection there is; another one is made at once."""
        if self._link is not None:
            self._link.close()

    async def run(self) -> None:
        """Connects, uses the connection until it ends, and so on."""
        clock, failures = self._route.clock, 0
        while True:
            began = clock.monotonic()
            try:
                await self._use_one()
            except Refused as refused:
                self._route.refusals.note(self._route.name, refused)
                self._lost(refused.detail)
                await clock.sleep(REFUSED_S * (0.5 + self._route.rng.fraction() / 2))
                continue
            except LinkBroken as broken:
                self._lost(str(broken))
            failures = 0 if clock.monotonic() > began + LASTING_S + CONNECT_S else failures + 1
            pause = BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)]
            await clock.sleep(pause * (0.5 + self._route.rng.fraction() / 2))

    async def _use_one(self) -> None:
        link = await self._route.connect(self._kind)
        try:
            self._link = link
            self._found()
            await both(self._read(link), self._write(link))
        finally:
            self._link = None
            link.close()

    @abstractmethod
    async def _read(self, link: Link) -> None:
        """Takes what comes back, for as long as the connection lasts."""

    @abstractmethod
    async def _write(self, link: Link) -> None:
        """Sends, for as long as the connection lasts."""

    @abstractmethod
    def _found(self) -> None:
        """There is a connection."""

    @abstractmethod
    def _lost(self, why: str) -> None:
        """There is none."""


async def both(first: Coroutine[Any, Any, None], second: Coroutine[Any, Any, None]) -> None:
    """Runs two coroutines until one ends, and ends the other; raises what the first to end raised."""
    tasks = [asyncio.ensure_future(first), asyncio.ensure_future(second)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        # Both have ended when this returns: nothing of an old connection touches the next one.
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
