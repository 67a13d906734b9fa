"""The two that touch the network: httpx, blocking and async, carrying out effects."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import urlsplit

from tq.clock import Clock
from tq.effects import Effect, Lost, Open, Pause, Receive, Reply, Request, Send, Wait

if TYPE_CHECKING:
    import asyncio

if TYPE_CHECKING or "httpx" in sys.modules:
    import httpx
else:
    # httpx imports its own command line when click and rich are there: 45 ms that nobody here uses.
    # It gets by without: it handles the ImportError that this entry causes.
    sys.modules["httpx._main"] = None
    try:
        import httpx
    finally:
        del sys.modules["httpx._main"]

C = TypeVar("C", httpx.Client, httpx.AsyncClient)

# The node, and most proxies, close what was idle for a minute or longer. Well before that, so that a
# request hardly ever meets a connection that is just being closed.
KEEPALIVE_S = 30.0
# The async pool of httpx looks at every connection and every waiting request for each request: with 8 at
# once each costs 1.9 ms of processor time, with 32 2.6 ms, with 200 5 ms.
ASYNC_REQUESTS_MAX = 8
LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))


class Pool(Generic[C]):
    """The connections of one client, made when first needed.

    One pool for each of http and https, since reading the certificates takes time that http need not
    spend; and one for this machine, since a proxy from the environment cannot reach it.
    """

    def __init__(self, make: type[C]) -> None:
        self._make: type[C] = make
        self._clients: dict[tuple[str, bool], C] = {}
        self._closed = False
        self._process = os.getpid()

    def client(self, url: str) -> C:
        """The httpx client for a URL.

        Raises:
            RuntimeError: the pool was closed.
        """
        if self._closed:
            raise RuntimeError("this client was closed")
        if self._process != os.getpid():
            # After a fork the connections belong to the parent: two must not talk on one.
            self._clients, self._process = {}, os.getpid()
        parts = urlsplit(url)
        key = (parts.scheme, parts.hostname in LOOPBACK)
        client = self._clients.get(key)
        if client is None:
            limits = httpx.Limits(
                max_connections=100, max_keepalive_connections=20, keepalive_expiry=KEEPALIVE_S
            )
            # Made here, since without `trust_env` httpx would also leave SSL_CERT_FILE unread.
            verify = httpx.create_ssl_context() if key[0] == "https" else False
            made = self._make(verify=verify, trust_env=not key[1], limits=limits)
            # Two threads may come here together: both use the one that was first.
            client = self._clients.setdefault(key, made)
        return client

    def drain(self) -> list[C]:
        """Marks the pool closed; answers what is to be closed."""
        self._closed = True
        clients = list(self._clients.values()) if self._process == os.getpid() else []
        self._clients = {}
        return clients


class SyncTransport:
    """Carries out effects by blocking."""

    def __init__(self, clock: Clock) -> None:
        self._pool: Pool[httpx.Client] = Pool(httpx.Client)
        self._clock = clock

    def performer(self) -> SyncPerformer:
        """For one program; leaving it closes what the program left open."""
        return SyncPerformer(self._pool, self._clock)

    def close(self) -> None:
        for client in self._pool.drain():
            client.close()


class SyncPerformer:
    """Carries out the effects of one program, one after another."""

    def __init__(self, pool: Pool[httpx.Client], clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._response: httpx.Response | None = None
        self._chunks: Iterator[bytes] = iter(())

    def __enter__(self) -> SyncPerformer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def perform(self, effect: Effect) -> Reply | Lost | bytes | None:
        """Answers as :mod:`tq.effects` says."""
        if isinstance(effect, Pause):
            self._clock.pause(effect.seconds)
            return None
        if isinstance(effect, Wait):
            effect.gate.wait(effect.seconds)
            return None
        if isinstance(effect, Receive):
            return self._receive()
        assert isinstance(effect, Send | Open), effect  # noqa: S101  # Emit is the client's own
        return self._send(effect.request, keep_open=isinstance(effect, Open))

    def _send(self, request: Request, *, keep_open: bool) -> Reply | Lost:
        self._close()
        client = self._pool.client(request.url)
        try:
            response = client.send(
                _request(client, request, now=self._clock.monotonic(), keep_open=keep_open), stream=True
            )
            if keep_open and _is_stream(response):
                self._response, self._chunks = response, response.iter_bytes()
                return _reply(response, b"")
            chunks = []
            try:
                for chunk in response.iter_bytes():
                    chunks.append(chunk)
                    if self._clock.monotonic() > request.until:
                        return _TOO_SLOW
            finally:
                response.close()
            return _reply(response, b"".join(chunks))
        except _FAILURES as error:
            return _lost(error)

    def _receive(self) -> bytes | Lost:
        try:
            return next(self._chunks, b"")
        except _FAILURES as error:
            return _lost(error)

    def _close(self) -> None:
        if self._response is not None:
            self._response.close()
        self._response, self._chunks = None, iter(())


class AsyncTransport:
    """Carries out effects by awaiting."""

    def __init__(self, clock: Clock) -> None:
        import asyncio  # who has an async client has it already; the blocking one need not load it

        self._pool: Pool[httpx.AsyncClient] = Pool(httpx.AsyncClient)
        self._clock = clock
        self._turns = asyncio.Semaphore(ASYNC_REQUESTS_MAX)

    def performer(self) -> AsyncPerformer:
        """For one program; leaving it closes what the program left open."""
        return AsyncPerformer(self._pool, self._clock, self._turns)

    async def close(self) -> None:
        for client in self._pool.drain():
            await client.aclose()


class AsyncPerformer:
    """:class:`SyncPerformer`, with each wait awaited."""

    def __init__(self, pool: Pool[httpx.AsyncClient], clock: Clock, turns: asyncio.Semaphore) -> None:
        self._pool = pool
        self._clock = clock
        self._turns = turns
        self._response: httpx.Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None

    async def __aenter__(self) -> AsyncPerformer:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def perform(self, effect: Effect) -> Reply | Lost | bytes | None:
        """Answers as :mod:`tq.effects` says."""
        if isinstance(effect, Pause):
            await self._clock.sleep(effect.seconds)
            return None
        if isinstance(effect, Wait):
            await effect.gate.wait(effect.seconds)
            return None
        if isinstance(effect, Receive):
            return await self._receive()
        assert isinstance(effect, Send | Open), effect  # noqa: S101  # Emit is the client's own
        if isinstance(effect, Open) or effect.request.long:
            # It may be held back for minutes: it must not hold back others.
            return await self._send(effect.request, keep_open=isinstance(effect, Open))
        async with self._turns:
            if self._clock.monotonic() >= effect.request.until:
                return _NO_TURN
            return await self._send(effect.request, keep_open=False)

    async def _send(self, request: Request, *, keep_open: bool) -> Reply | Lost:
        await self._close()
        client = self._pool.client(request.url)
        try:
            response = await client.send(
                _request(client, request, now=self._clock.monotonic(), keep_open=keep_open), stream=True
            )
            if keep_open and _is_stream(response):
                self._response, self._chunks = response, response.aiter_bytes()
                return _reply(response, b"")
            chunks = []
            try:
                async for chunk in response.aiter_bytes():
                    chunks.append(chunk)
                    if self._clock.monotonic() > request.until:
                        return _TOO_SLOW
            finally:
                await response.aclose()
            return _reply(response, b"".join(chunks))
        except _FAILURES as error:
            return _lost(error)

    async def _receive(self) -> bytes | Lost:
        if self._chunks is None:
            return b""
        try:
            return await anext(self._chunks, b"")
        except _FAILURES as error:
            return _lost(error)

    async def _close(self) -> None:
        if self._response is not None:
            await self._response.aclose()
        self._response, self._chunks = None, None


_FAILURES = (httpx.TransportError, httpx.DecodingError)
# These happen before the first byte of the request is written.
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_NO_TURN = Lost(sent=False, reason="too many other calls of this client were under way")
_TOO_SLOW = Lost(sent=True, reason="the answer did not arrive whole in time")


def _request(
    client: httpx.Client | httpx.AsyncClient, request: Request, *, now: float, keep_open: bool
) -> httpx.Request:
    # At least a moment: a timeout of nothing would be an error of its own.
    left_s = max(request.until - now, 0.001)
    timeout = httpx.Timeout(
        connect=min(request.connect_s, left_s),
        read=request.silence_s if keep_open else left_s,
        write=left_s,
        pool=left_s,
    )
    return client.build_request(
        request.method, request.url, headers=request.headers, content=request.body, timeout=timeout
    )


def _reply(response: httpx.Response, body: bytes) -> Reply:
    return Reply(status=response.status_code, headers=dict(response.headers), body=body)


def _is_stream(response: httpx.Response) -> bool:
    kind: str = response.headers.get("content-type", "")
    return kind.startswith("text/event-stream")


def _lost(error: httpx.TransportError | httpx.DecodingError) -> Lost:
    if isinstance(error, httpx.TimeoutException):
        reason = "no connection in time" if isinstance(error, _UNSENT) else "nothing came in time"
    else:
        reason = str(error) or type(error).__name__
    return Lost(sent=not isinstance(error, _UNSENT), reason=reason)
