"""What a slot and its handler process say to each other: lengths, a kind, and JSON."""

import socket
import struct

_HEAD = struct.Struct("!IB")
_CHUNK_BYTES = 64 * 1024

TASK = 1
"""To the process: a claimed task."""
READY = 2
"""From the process: the app is loaded."""
PROGRESS = 3
"""From the process: a progress."""
OUTCOME = 4
"""From the process: how the task ended."""
BROKEN = 5
"""From the process: the app could not be loaded; the rest is text."""
LINE = 6
"""From the process: a log line."""


def send(sock: socket.socket, kind: int, body: bytes) -> None:
    """Sends one frame, blocking.

    Raises:
        OSError: the other side is gone.
    """
    sock.sendall(_HEAD.pack(len(body), kind) + body)


def receive(sock: socket.socket) -> tuple[int, bytes] | None:
    """Receives one frame, blocking; None when the other side is gone."""
    head = _exactly(sock, _HEAD.size)
    if head is None:
        return None
    size, kind = _HEAD.unpack(head)
    body = _exactly(sock, size)
    return None if body is None else (kind, body)


class Frames:
    """Puts frames together from the chunks of a non-blocking socket."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def read(self, sock: socket.socket) -> tuple[list[tuple[int, bytes]], bool]:
        """Reads what there is: the whole frames in it, and whether the other side is still there."""
        try:
            chunk = sock.recv(_CHUNK_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return [], True
        except ConnectionResetError:
            chunk = b""
        self._bytes += chunk
        frames = []
        while len(self._bytes) >= _HEAD.size:
            size, kind = _HEAD.unpack_from(self._bytes)
            end = _HEAD.size + size
            if len(self._bytes) < end:
                break
            frames.append((kind, bytes(self._bytes[_HEAD.size : end])))
            del self._bytes[:end]
        return frames, bool(chunk)


def _exactly(sock: socket.socket, count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        try:
            chunk = sock.recv(min(count - len(parts), _CHUNK_BYTES))
        except ConnectionResetError:
            return None
        if not chunk:
            return None
        parts += chunk
    return bytes(parts)
