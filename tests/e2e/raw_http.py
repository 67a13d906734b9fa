"""The least HTTP client there can be, so that a test knows exactly what was sent and what came back."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


class NotSent(Exception):
    """The node could not be reached: it has seen nothing of the request."""


class NoAnswer(Exception):
    """The request was sent, at least in part; what became of it nobody knows."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: bytes
    head: bytes = b""

    def header(self, name: str) -> str:
        """The value of a header; empty without it."""
        found = self.head.lower().partition(f"\r\n{name.lower()}:".encode())
        value = self.head[len(found[0]) + len(found[1]) :] if found[1] else b""
        return value.partition(b"\r\n")[0].strip().decode()

    def json(self) -> Any:
        return json.loads(self.body)


class RawClient:
    """One connection that is opened anew when it broke; one request at a time.

    Args:
        url: of the node.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: Any, **headers: str) -> Answer:
        """Sends JSON.

        Raises:
            NotSent, NoAnswer: see there.
        """
        return await self.call("POST", path, json.dumps(body).encode(), headers)

    async def get(self, path: str) -> Answer:
        """Asks.

        Raises:
            NotSent, NoAnswer: see there.
        """
        return await self.call("GET", path, b"", {})

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The connection, opened if there is none.

        Raises:
            NotSent: see there.
        """
        if self._streams is not None and self._streams[0].at_eof():
            self.close()  # the node ended it while it was idle: nothing was asked on it
        if self._streams is None:
            try:
                self._streams = await asyncio.open_connection(self._host, self._port)
            except OSError as error:
                raise NotSent from error
        return self._streams

    async def call(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Sends a request and waits for its answer.

        Raises:
            NotSent, NoAnswer: see there.
        """
        reader, writer = await self.connect()
        lines = [f"{method} {path} HTTP/1.1", "host: node", "content-type: application/json"]
        lines += [f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            return Answer(int(head.split(None, 2)[1]), await reader.readexactly(int(length)), head)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            raise NoAnswer from error
        except asyncio.CancelledError:
            self.close()
            raise

    def close(self) -> None:
        """Ends the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
