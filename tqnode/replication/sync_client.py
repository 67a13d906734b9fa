"""Speaks with a running Litestream over its control socket: has it write the log, and finds what it wrote."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import httptools
import msgspec

from tqnode.clock import Clock

T = TypeVar("T")

TRIES_MAX: Final = 5
RETRY_S: Final = 0.02
ANSWER_BYTES_MAX: Final = 1_048_576
_NAME_BYTES_MAX: Final = 100
"""A socket's path may have 107 bytes; a longer one is reached by way of its folder's descriptor."""
_ENTRY: Final = re.compile(r"([0-9a-f]{16})-\1\.ltx")


class SyncError(Exception):
    """Litestream did not do what it was asked; the text says what it answered."""


class EntriesGone(Exception):
    """Entries that were not read yet are there no more: what follows them can't be used.

    Args:
        after: the last transaction that was read.
        found: the first one that is still there; None without any.
    """

    def __init__(self, *, after: int, found: int | None) -> None:
        super().__init__(f"no entry {after + 1}: the next one is {found}")
        self.after = after
        self.found = found


class Synced(msgspec.Struct, frozen=True):
    """What a sync reached: ``txid`` is in files on this disk, ``replicated_txid`` in the archive too."""

    txid: int
    replicated_txid: int


class Info(msgspec.Struct, frozen=True):
    """Who answers on the socket."""

    version: str
    pid: int


@dataclass(slots=True)
class _Answer:
    """Collects one HTTP answer: httptools calls its methods."""

    body: bytes = b""
    done: bool = False

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_message_complete(self) -> None:
        self.done = True


class SyncClient:
    """The socket of one Litestream; one call at a time, since abandoned ones would queue up inside it.

    Args:
        socket: its path.
        clock: for the pause between two tries.
    """

    def __init__(self, socket: Path, *, clock: Clock) -> None:
        self._socket = socket
        self._clock = clock
        self._turn = asyncio.Lock()
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def info(self, *, within_s: float) -> Info:
        """Who answers.

        Args:
            within_s: seconds it has.

        Raises:
            SyncError: nobody does, or not in time.
        """
        async with self._called(within_s):
            status, body = await self._exchange(b"GET", b"/info", b"")
        return _decoded(status, body, Info)

    async def sync(self, database: Path, *, archived: bool, within_s: float) -> Synced:
        """Returns once all that was committed before the call is in the log's files.

        Args:
            database: whose log.
            archived: and in the archive.
            within_s: seconds it has.

        Raises:
            SyncError: it is not, or not in time; what was committed may still get there.
        """
        asked: dict[str, Any] = {"path": str(database), "wait": archived}
        if archived:
            # Whole seconds; the bound that counts is ours.
            asked["timeout"] = max(1, int(within_s) + 1)
        wanted = msgspec.json.encode(asked)
        async with self._called(within_s):
            for tried in range(1, TRIES_MAX + 1):
                status, body = await self._exchange(b"POST", b"/sync", wanted)
                if status != 500 or tried == TRIES_MAX:
                    break
                await self._clock.sleep(RETRY_S * tried)
        return _decoded(status, body, Synced)

    def close(self) -> None:
        """Ends the connection."""
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None

    @asynccontextmanager
    async def _called(self, within_s: float) -> AsyncIterator[None]:
        """One call: in turn, in time, and with a connection that is only kept if all went well."""
        try:
            # The wait for the turn counts: the call before may be one that never ends.
            async with asyncio.timeout(within_s), self._turn:
                try:
                    yield
                except BaseException:
                    self.close()
                    raise
        except TimeoutError:
            raise SyncError(f"litestream did not answer within {within_s:g} s") from None
        except (OSError, EOFError, httptools.HttpParserError) as error:
            raise SyncError(f"litestream does not answer: {error or type(error).__name__}") from error

    async def _exchange(self, method: bytes, path: bytes, body: bytes) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = await _connect(self._socket)
        reader, writer = self._connection
        writer.write(
            b"%s %s HTTP/1.1\r\nhost: litestream\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%s" % (method, path, len(body), body)
        )
        answer = _Answer()
        parser = httptools.HttpResponseParser(answer)
        while not answer.done:
            part = await reader.read(65_536)
            if not part:
                raise EOFError("it closed the connection")
            parser.feed_data(part)
            if len(answer.body) > ANSWER_BYTES_MAX:
                raise SyncError("litestream answers without an end")
        if not parser.should_keep_alive():
            self.close()
        return parser.get_status_code(), answer.body


async def _connect(socket: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if len(os.fsencode(socket)) <= _NAME_BYTES_MAX:
        return await asyncio.open_unix_connection(socket)
    folder = os.open(socket.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return await asyncio.open_unix_connection(f"/proc/self/fd/{folder}/{socket.name}")
    finally:
        os.close(folder)


def _decoded(status: int, body: bytes, kind: type[T]) -> T:
    if status != 200:
        try:
            said = msgspec.json.decode(body, type=dict[str, Any]).get("error", "")
        except msgspec.DecodeError:
            said = body[:200]
        raise SyncError(f"litestream answered {status}: {said}")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise SyncError(f"litestream's answer is not as expected: {error}") from error


def entries_after(meta: Path, txid: int) -> list[tuple[int, Path]]:
    """The log's entries after one, in order and without a gap: (txid, file).

    Litestream removes an entry some seconds after the archive has it, read or not: what was read must be kept
    elsewhere by then, and whoever falls behind goes on in a new term.

    Args:
        meta: the folder of the term.
        txid: of the last entry that was read; 0 before the first.

    Raises:
        EntriesGone: the next one is there no more.
    """
    found: list[tuple[int, Path]] = []
    folder = meta / "ltx" / "0"
    if folder.is_dir():
        with os.scandir(folder) as listed:
            for one in listed:
                match = _ENTRY.fullmatch(one.name)
                if match and int(match[1], 16) > txid:
                    found.append((int(match[1], 16), folder / one.name))
    found.sort()
    for expected, (number, _) in enumerate(found, start=txid + 1):
        if number != expected:
            raise EntriesGone(after=expected - 1, found=number)
    return found
