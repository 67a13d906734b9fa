"""The port that peers connect to: lets them in, one connection for each purpose, and keeps strangers out."""

import asyncio
import errno
import logging
import socket
from collections import Counter
from collections.abc import Callable
from typing import Final

from tqnode.clock import Clock
from tqnode.replication.disk_errors import DiskFailed
from tqnode.replication.peer_auth import Auth
from tqnode.replication.peer_contacts import Contacts
from tqnode.replication.peer_handshake import HANDSHAKE_S, Handshake, RefusedByPeer, refuse
from tqnode.replication.peer_inbox import Inbox
from tqnode.replication.peer_link import READ_AHEAD_BYTES, Link, LinkBroken, tls_failed
from tqnode.replication.peer_refusals import Refusals, Refused
from tqnode.replication.wire import CONTROL, Hello

BACKLOG: Final = 128
STRANGERS_MAX: Final = 128
"""Connections that have not proved yet whose they are."""
STRANGERS_OF_HOST_MAX: Final = 16
LOG_SILENT_S: Final = 30.0
NO_FILES_S: Final = 1.0

logger = logging.getLogger(__name__)


class PeerListenError(Exception):
    """The address can't be listened on; the text says why and what to do."""


def bind_peers(host: str, port: int) -> socket.socket:
    """Reserves the address.

    Raises:
        PeerListenError: it is taken, or not one of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PeerListenError(f"cannot listen for peers on {host}:{port}: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        what = {
            errno.EADDRINUSE: "it is in use: stop what listens there, or set peer_listen to another port",
            errno.EADDRNOTAVAIL: "it is no address of this machine: set peer_listen to one that is",
            errno.EACCES: "it needs privileges: use a port from 1024 on",
        }.get(error.errno or 0, error.strerror)
        raise PeerListenError(f"cannot listen for peers on {host}:{port}: {what}") from error
    return listener


class PeerServer:
    """Accepts peers for as long as :meth:`run` runs.

    Args:
        listener: from :func:`bind_peers`.
        handshake: lets peers in.
        auth: how nodes prove who they are.
        inbox: takes what they send.
        clock: the node's clock.
        contacts: told who came.
        refusals: told who was not let in.
        silent_s: a peer that has sent nothing for so long on its control connection is gone.
        on_fatal: called when the disk failed: the process must end at once.
    """

    def __init__(
        self,
        listener: socket.socket,
        *,
        handshake: Handshake,
        auth: Auth,
        inbox: Inbox,
        clock: Clock,
        contacts: Contacts,
        refusals: Refusals,
        silent_s: float,
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self._listener = listener
        self._handshake = handshake
        self._auth = auth
        self._inbox = inbox
        self._clock = clock
        self._contacts = contacts
        self._refusals = refusals
        self._silent_s = silent_s
        self._on_fatal = on_fatal
        self._serving: set[asyncio.Task[None]] = set()
        self._links: dict[tuple[str, str], Link] = {}
        self._strangers: Counter[str] = Counter()

    def hang_up(self) -> None:
        """Ends the connections there are; the peers make new ones."""
        for link in list(self._links.values()):
            link.close()

    async def run(self) -> None:
        """Accepts, until it is cancelled; then all connections end. Who bound the listener closes it."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    sock, _ = await loop.sock_accept(self._listener)
                except OSError as error:
                    # Out of files, or gone before it was accepted: the next one may do better.
                    logger.warning("a peer could not be accepted: %s", error)
                    await self._clock.sleep(NO_FILES_S)
                    continue
                task = asyncio.create_task(self._serve(sock))
                self._serving.add(task)
                task.add_done_callback(self._serving.discard)
        finally:
            # A task that is cancelled before its first step would never close its socket.
            await asyncio.sleep(0)
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, sock: socket.socket) -> None:
        try:
            host = str(sock.getpeername()[0])
        except OSError:
            sock.close()  # gone already
            return
        if self._strangers.total() >= STRANGERS_MAX or self._strangers[host] >= STRANGERS_OF_HOST_MAX:
            sock.close()
            self._refusals.note(host, Refused("crowded", "too many connections that say nothing"))
            return
        self._strangers[host] += 1
        try:
            link = await self._open(sock, host)
            hello = None if link is None else await self._let_in(link)
        finally:
            self._strangers -= Counter({host: 1})
        if link is None:
            return
        try:
            if hello is not None:
                await self._take(link, hello)
        finally:
            link.close()

    async def _open(self, sock: socket.socket, host: str) -> Link | None:
        """Makes the connection, with TLS if configured."""
        reader = asyncio.StreamReader(limit=READ_AHEAD_BYTES)
        protocol = asyncio.StreamReaderProtocol(reader)
        loop = asyncio.get_running_loop()
        context = self._auth.context(server=True)
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                transport, _ = await loop.connect_accepted_socket(lambda: protocol, sock, ssl=context)
        except (OSError, TimeoutError) as error:
            self._refusals.note(host, tls_failed(error))
        else:
            return Link(reader, asyncio.StreamWriter(transport, protocol, reader, loop))
        sock.close()
        return None

    async def _let_in(self, link: Link) -> Hello | None:
        """What the peer says of itself, once it has proved it; None if it is not let in."""
        who = link.host

        def claimed(name: str) -> None:
            nonlocal who
            who = f"{name} ({link.host})"

        try:
            hello, protocol = await self._handshake.answer(link, claimed)
        except Refused as refused:
            self._refusals.note(who, refused)
            if not isinstance(refused, RefusedByPeer):
                await refuse(link, refused)
        except LinkBroken as broken:
            logger.debug("the connection of %s has ended: %s", who, broken)
        except BaseException:
            link.close()
            raise
        else:
            self._contacts.met(hello.card, protocol)
            return hello
        return None

    async def _take(self, link: Link, hello: Hello) -> None:
        """Takes all that the peer sends."""
        name, key = hello.card.name, (hello.card.name, hello.lane)
        if key in self._links:
            # It has begun anew, whatever the old connection seems to be.
            self._links[key].close()
        self._links[key] = link
        try:
            silent_s = self._silent_s if hello.lane == CONTROL else LOG_SILENT_S
            await self._inbox.serve(link, hello, silent_s=silent_s)
        except Refused as refused:
            self._refusals.note(name, refused)
            await refuse(link, refused)
        except LinkBroken as broken:
            logger.debug("the connection of %s has ended: %s", name, broken)
        except DiskFailed as error:
            self._on_fatal(error)
        except Exception:
            logger.exception("what %s sent could not be handled", name)
        finally:
            if self._links.get(key) is link:
                del self._links[key]
