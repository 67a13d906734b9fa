"""Servers on 127.0.0.1 that answer a request with whatever bytes a test wants."""

import asyncio
import contextlib
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from tqnode.delivery.target import Address

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
Answering = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """What came: each request as it stood on the wire."""

    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    at_hand: int = 0
    """Requests that are not answered yet,"""
    most_at_hand: int = 0
    """and the most that were so at a time."""


@contextlib.asynccontextmanager
async def server(
    answer: bytes | Answering = NO_CONTENT, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """Answers each request with these bytes, or as the function does."""
    found = Server()
    # Nothing else holds one that waits for ever, once its connection is gone.
    serving: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        found.at_hand += 1
        found.most_at_hand = max(found.most_at_hand, found.at_hand)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            found.requests.append(head + await reader.readexactly(length))
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            found.at_hand -= 1
            writer.close()
            serving.discard(asyncio.current_task())

    running = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    found.port = running.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        running.close()
        for task in [task for task in serving if task is not None]:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


class Names:
    """A name server: the same addresses for each name; who asked.

    Args:
        addresses: what it answers.
    """

    def __init__(self, *addresses: str) -> None:
        self._addresses: list[Address] = [ipaddress.ip_address(one) for one in addresses]
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> list[Address]:
        self.asked.append((host, port))
        if not self._addresses:
            raise OSError(-2, "Name or service not known")
        return self._addresses
