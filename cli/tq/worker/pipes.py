"""Bounded reading of what a program writes."""

import os
from collections.abc import Callable

_CHUNK_BYTES = 64 * 1024


class Kept:
    """The bytes of a stream up to a limit, and beyond it only the last ones.

    Args:
        most: bytes kept as long as there are no more.
        tail: bytes kept once there are.
    """

    def __init__(self, *, most: int, tail: int) -> None:
        self._most = most
        self._tail = tail
        self._bytes = bytearray()
        self.cut = False

    def add(self, chunk: bytes) -> None:
        self._bytes += chunk
        if self.cut or len(self._bytes) > self._most:
            self.cut = True
            del self._bytes[: -self._tail]

    def bytes(self) -> bytes:
        return bytes(self._bytes)

    def text(self) -> str:
        """As text; what is not UTF-8 becomes U+FFFD."""
        return self._bytes.decode(errors="replace")


class Lines:
    """Calls back with the newest whole line of each chunk; over-long lines are dropped.

    Args:
        most: bytes of a line.
        newest: takes it, without the line feed.
    """

    def __init__(self, *, most: int, newest: Callable[[bytes], None]) -> None:
        self._most = most
        self._newest = newest
        self._begun = bytearray()
        self._too_long = False

    def add(self, chunk: bytes) -> None:
        *whole, rest = chunk.split(b"\n")
        if whole:
            first = bytes(self._begun) + whole[0]
            lines = ([] if self._too_long else [first]) + whole[1:]
            self._begun.clear()
            self._too_long = False
            fitting = [line for line in lines if line.strip() and len(line) <= self._most]
            if fitting:
                self._newest(fitting[-1])
        self._begun += rest
        if len(self._begun) > self._most:
            self._begun.clear()
            self._too_long = True


class EachLine:
    """Calls back with each line, without its end; of one that is too long with its beginning.

    Args:
        most: bytes of a line.
        each: takes it.
    """

    def __init__(self, *, most: int, each: Callable[[bytes], None]) -> None:
        self._most = most
        self._each = each
        self._begun = bytearray()

    def add(self, chunk: bytes) -> None:
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            self._begin(line)
            self.end()
        self._begin(rest)

    def end(self) -> None:
        """There is no more of the line that has begun; an empty one is passed over."""
        line = bytes(self._begun).rstrip(b"\r")
        self._begun.clear()
        if line.strip():
            self._each(line)

    def _begin(self, part: bytes) -> None:
        self._begun += part[: self._most - len(self._begun)]


def read_available(descriptor: int, sink: Callable[[bytes], None]) -> bool:
    """Reads a chunk of a non-blocking descriptor into ``sink``; False at its end."""
    try:
        chunk = os.read(descriptor, _CHUNK_BYTES)
    except BlockingIOError:
        return True
    if chunk:
        sink(chunk)
    return bool(chunk)


def drain(descriptor: int, sink: Callable[[bytes], None], *, most: int) -> None:
    """Reads what a non-blocking descriptor holds right now, at most about ``most`` bytes."""
    taken = 0
    while taken < most:
        try:
            chunk = os.read(descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return
        if not chunk:
            return
        sink(chunk)
        taken += len(chunk)
