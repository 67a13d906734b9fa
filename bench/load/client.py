"""One HTTP/1.1 connection over a raw socket, at a few microseconds a request."""

import socket
import time
from typing import Final
from urllib.parse import urlsplit

RECEIVE_BYTES: Final = 1 << 18
_LENGTH: Final = b"content-length: "
_HEAD_END: Final = b"\r\n\r\n"


def request(path: str, body: bytes) -> bytes:
    """A POST of JSON, ready to be sent."""
    head = f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def address_of(url: str) -> tuple[str, int]:
    """Host and port of a server's URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 80


class Connection:
    """Carries one request at a time.

    Args:
        address: host and port of the server.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._got = b""
        self._whole = 0
        self.sent_at = 0.0
        """When the request was sent, by the performance counter."""

    def send(self, data: bytes) -> None:
        """Sends a whole request."""
        self.sent_at = time.perf_counter()
        self.socket.sendall(data)

    def receive(self) -> bytes | None:
        """Takes in what came; the body once it is whole, None before.

        Raises:
            RuntimeError: the server refused, or closed the connection.
        """
        data = self.socket.recv(RECEIVE_BYTES)
        if not data:
            raise RuntimeError("the server closed a connection")
        self._got = self._got + data if self._got else data
        if not self._whole:
            head = self._got.find(_HEAD_END)
            if head < 0:
                return None
            if self._got[9:10] != b"2":
                raise RuntimeError(f"the server refused: {self._got[:500]!r}")
            at = self._got.index(_LENGTH) + len(_LENGTH)
            self._whole = head + len(_HEAD_END) + int(self._got[at : self._got.index(b"\r", at)])
        if len(self._got) < self._whole:
            return None
        body = self._got[self._got.index(_HEAD_END) + len(_HEAD_END) :]
        self._got, self._whole = b"", 0
        return body

    def ask(self, data: bytes) -> bytes:
        """Sends a whole request and waits for the body of its answer."""
        self.send(data)
        while (body := self.receive()) is None:
            pass
        return body

    def close(self) -> None:
        self.socket.close()
