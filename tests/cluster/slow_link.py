"""A TCP proxy that hands everything on late, in order: what a slow or far link does to a connection.

Run as ``python -m tests.cluster.slow_link DELAY_MS JITTER_MS ADDRESS...``, an address being ``host:port`` of
a node; prints the ports it listens on, one for each address, and ends with its standard input.
"""

import asyncio
import contextlib
import random
import sys

CHUNK_BYTES = 1 << 16
IN_FLIGHT_MAX = 256
"""Chunks on the way in one direction; a sender that is further ahead is held back, as a full link would."""

Chunk = tuple[float, bytes]


class SlowLink:
    """Forwards the connections to one address.

    Args:
        host, port: where to.
        delay_s: the least time on the way.
        jitter_s: the most that chance adds to it; later bytes never overtake earlier ones.
    """

    def __init__(self, host: str, port: int, *, delay_s: float, jitter_s: float) -> None:
        self._address = (host, port)
        self._delay_s, self._jitter_s = delay_s, jitter_s

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection until either end closes it."""
        try:
            onward = await asyncio.open_connection(*self._address)
        except OSError:
            writer.transport.abort()
            return
        ways = [
            asyncio.create_task(self._carry(reader, onward[1])),
            asyncio.create_task(self._carry(onward[0], writer)),
        ]
        # Cancelled when the link goes: its connections go with it, and there is nobody to tell.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait(ways)
        for end in (writer, onward[1]):
            end.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction, to its end."""
        on_the_way: asyncio.Queue[Chunk] = asyncio.Queue(IN_FLIGHT_MAX)
        receiving = asyncio.create_task(self._receive(reader, on_the_way))
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while True:
                due, data = await on_the_way.get()
                await asyncio.sleep(due - loop.time())
                if not data:
                    writer.write_eof()
                    break
                writer.write(data)
                await writer.drain()
        receiving.cancel()

    async def _receive(self, reader: asyncio.StreamReader, on_the_way: asyncio.Queue[Chunk]) -> None:
        loop = asyncio.get_running_loop()
        data = b"first"
        while data:
            try:
                data = await reader.read(CHUNK_BYTES)
            except OSError:
                data = b""
            await on_the_way.put((loop.time() + self._delay_s + random.random() * self._jitter_s, data))


async def main(delay_ms: str, jitter_ms: str, *addresses: str) -> None:
    """Listens for each address until standard input ends."""
    servers = []
    for address in addresses:
        host, _, port = address.rpartition(":")
        link = SlowLink(host, int(port), delay_s=float(delay_ms) / 1000, jitter_s=float(jitter_ms) / 1000)
        servers.append(await asyncio.start_server(link.connect, "0.0.0.0", 0))
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
