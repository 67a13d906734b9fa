"""The HTTP server: uvicorn embedded, with a start and a stop that the node decides."""

import asyncio
import errno
import functools
import ipaddress
import logging
import resource
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

import uvicorn

from tqnode.clock import Clock
from tqnode.config import Config
from tqnode.connection import Connection, Watch

BACKLOG: Final = 2048
IDLE_S: Final = 75
"""How long a connection may stay open between two requests; more than the usual 60 s of proxies."""
FILES_BESIDE_CONNECTIONS: Final = 256
TICK_S: Final = 1.0
POLL_S: Final = 0.01
ABORT_S: Final = 0.5

logger = logging.getLogger(__name__)

AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]


class ListenError(Exception):
    """The address can't be listened on; the text says why and what to do."""


def bind(config: Config) -> socket.socket:
    """Reserves the address without accepting anyone yet.

    Raises:
        ListenError: it is taken, not ours, or needs privileges.
    """
    host, port = config.address
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ListenError(f"cannot listen on {config.listen}: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit these: a client that has lost its power must not keep its long poll.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 60_000)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise ListenError(_explain(config.listen, error)) from error
    return listener


def _explain(listen: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{listen} is in use; stop what listens there, or set listen to another port"
    if error.errno == errno.EACCES:
        return f"{listen} needs privileges; set listen to a port from 1024 on"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{listen} is no address of this machine; set listen to one that is, or to 0.0.0.0"
    return f"cannot listen on {listen}: {error.strerror}"


def url_of(listener: socket.socket) -> str:
    """The address as clients write it."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _connections_possible(wanted: int) -> int:
    """Raises the limit of open files as far as allowed; returns how many connections that leaves."""
    needed = wanted + FILES_BESIDE_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        wished = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wished, hard))
            soft = wished
        except OSError as error:  # a sandbox may forbid the call
            logger.info("the limit of open files stays at %d: %s", soft, error)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    possible = max(1, soft - FILES_BESIDE_CONNECTIONS)
    logger.warning(
        "this process may open %d files: that is enough for %d connections, not for connections_max = %d",
        soft,
        possible,
        wanted,
    )
    return possible


class HttpServer:
    """Serves one ASGI app on one listening socket.

    Args:
        app: the application.
        listener: from :func:`bind`.
        config: the node's configuration.
        clock: the node's clock.
    """

    def __init__(self, app: AsgiApp, *, listener: socket.socket, config: Config, clock: Clock) -> None:
        self._listener = listener
        self._listen = config.listen
        self._clock = clock
        self._tick_s = min(TICK_S, config.request_read_s / 4)
        self._watch = Watch(
            connections_max=_connections_possible(config.connections_max),
            patience_s=config.request_read_s,
            tick_s=self._tick_s,
        )
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=functools.partial(Connection, watch=self._watch),  # type: ignore[arg-type]  # called like the class
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=BACKLOG,
                timeout_keep_alive=IDLE_S,
            )
        )
        self._ticking: asyncio.Task[None] | None = None
        self._hurried = False

    async def start(self) -> None:
        """Begins to accept and answer.

        Raises:
            ListenError: someone else was quicker to listen there.
        """
        server = self._server
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.on_tick(0)
        try:
            await server.startup(sockets=[self._listener])
        except OSError as error:
            raise ListenError(_explain(self._listen, error)) from error
        self._ticking = asyncio.create_task(self._tick(), name="connections-watch")

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep(self._tick_s)
            # uvicorn renews the Date header when its counter is a multiple of ten.
            await self._server.on_tick(0)
            self._watch.check(self._server.server_state.connections)  # type: ignore[arg-type]  # all are Connection

    @property
    def connections(self) -> int:
        """Open client connections."""
        return len(self._server.server_state.connections)

    def hurry(self) -> None:
        """Makes :meth:`stop` wait no longer."""
        self._hurried = True

    async def stop(self, *, grace_s: float) -> None:
        """Accepts no one more, lets requests in flight be answered, then ends what is left.

        Args:
            grace_s: seconds the requests in flight have.
        """
        state = self._server.server_state
        if self._ticking is not None:
            self._ticking.cancel()
        for server in self._server.servers:
            server.close()
        self._listener.close()
        for connection in list(state.connections):
            connection.shutdown()
        until = self._clock.monotonic() + grace_s
        while (state.connections or state.tasks) and self._clock.monotonic() < until and not self._hurried:
            await self._clock.sleep(POLL_S)
        if state.tasks:
            logger.warning("%d requests were not answered in time and are cut off", len(state.tasks))
        for connection in list(state.connections):
            connection.transport.abort()
        if state.tasks:
            # They see that their client is gone; who does not end on that is cancelled.
            _, stubborn = await asyncio.wait(list(state.tasks), timeout=ABORT_S)
            for task in stubborn:
                task.cancel()


def warn_if_open(config: Config) -> None:
    """Says so where others than this machine may reach the node: it takes everybody for its owner."""
    host, _ = config.address
    try:
        alone = ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        alone = host == "localhost"
    if not alone:
        logger.warning(
            "whoever can reach %s can read and change every task: let only those through you trust",
            config.listen,
        )
