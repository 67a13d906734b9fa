"""One connection to a peer: frames in and out, each within its time, sealed once there are keys."""

import asyncio
import contextlib
import hmac
import socket
import ssl
from typing import Final

from tqnode.replication.peer_auth import Sealer
from tqnode.replication.peer_refusals import Refused
from tqnode.replication.wire import HEADER, MAC_BYTES, Kind

READ_AHEAD_BYTES: Final = 512 * 1024
WRITE_AHEAD_BYTES: Final = 256 * 1024
UNACKED_MS: Final = 10_000
_NOT_A_FRAME: Final = 1 << 24
_TLS_RECORD: Final = b"\x16\x03"


class LinkBroken(Exception):
    """The connection has ended, or the other side is too slow."""


class Link:
    """A connection, from its first byte on.

    Args:
        reader: what comes in.
        writer: what goes out.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._sealer: Sealer | None = None
        self._checker: Sealer | None = None
        name = writer.get_extra_info("peername")
        self.address = f"{name[0]}:{name[1]}" if name else "unknown"
        self.host = str(name[0]) if name else "unknown"
        self.ssl_object = writer.get_extra_info("ssl_object")
        writer.transport.set_write_buffer_limits(high=WRITE_AHEAD_BYTES)
        tune(writer.get_extra_info("socket"))

    def secure(self, *, send: bytes, receive: bytes) -> None:
        """From now on each frame carries a MAC, in both directions."""
        self._sealer = Sealer(send, MAC_BYTES)
        self._checker = Sealer(receive, MAC_BYTES)

    async def read(self, *, bytes_max: int, within_s: float) -> tuple[int, bytes]:
        """The next frame: its kind and body.

        Args:
            bytes_max: of the body.
            within_s: seconds in which it must have come.

        Raises:
            LinkBroken: the connection has ended, or nothing came in time.
            Refused: the frame is too large, or not one of this connection.
        """
        try:
            async with asyncio.timeout(within_s):
                header = await self._reader.readexactly(HEADER.size)
                length, kind = HEADER.unpack(header)
                if length > bytes_max:
                    raise _too_large(header, length, bytes_max)
                mac_bytes = 0 if self._checker is None else MAC_BYTES
                body = await self._reader.readexactly(length + mac_bytes)
        except TimeoutError as error:
            raise LinkBroken(f"nothing came for {within_s:g} s") from error
        except asyncio.IncompleteReadError as error:
            raise LinkBroken("the other side closed the connection") from error
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            raise LinkBroken("the other side closed the connection") from error
        except ssl.SSLError as error:
            raise tls_failed(error) from error
        except OSError as error:
            raise LinkBroken(str(error) or type(error).__name__) from error
        if self._checker is not None:
            body, mac = body[:length], body[length:]
            if not hmac.compare_digest(self._checker.seal(bytes([kind]), body), mac):
                raise Refused("mac", "a frame was changed on its way, or is not of this connection")
        return kind, body

    def write(self, kind: Kind, body: bytes = b"") -> None:
        """Hands a frame to the connection; :meth:`drain` says when the other side is slow to take it.

        Raises:
            LinkBroken: the connection has ended.
        """
        # Some event loops say so with a RuntimeError, others take the bytes and drop them.
        if self._writer.transport.is_closing():
            raise LinkBroken("the connection has ended")
        mac = b"" if self._sealer is None else self._sealer.seal(bytes([kind]), body)
        self._writer.writelines((HEADER.pack(len(body), kind), body, mac))

    async def drain(self, *, within_s: float) -> None:
        """Waits until little enough waits to be taken by the other side.

        Raises:
            LinkBroken: the connection has ended, or it takes nothing for so long.
        """
        try:
            async with asyncio.timeout(within_s):
                await self._writer.drain()
        except TimeoutError as error:
            raise LinkBroken(f"it has taken nothing for {within_s:g} s") from error
        except OSError as error:
            raise LinkBroken(str(error)) from error

    async def say_last(self, kind: Kind, body: bytes, *, within_s: float) -> None:
        """Sends a last frame, if the other side still takes it, and closes."""
        with contextlib.suppress(LinkBroken, OSError):
            self.write(kind, body)
            await self.drain(within_s=within_s)
        self._writer.close()
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(within_s):
                await self._writer.wait_closed()
        self.close()

    def close(self) -> None:
        """Ends the connection at once."""
        self._writer.transport.abort()


def tune(sock: socket.socket) -> None:
    """Makes a connection quick for small frames, and quick to notice that the other side is gone."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKED_MS)


def tls_failed(error: Exception) -> Refused:
    """What to say of a peer whose certificate is not trusted, or that does not trust this node's."""
    return Refused(
        "tls",
        f"TLS with it failed: {str(error) or type(error).__name__}; all nodes need certificates of one "
        "authority, which have not run out, and that one as their peer_tls_ca",
    )


def _too_large(header: bytes, length: int, bytes_max: int) -> Refused:
    if header.startswith(_TLS_RECORD):
        return Refused("protocol", "it speaks TLS: configure peer_tls_cert on all nodes or on none")
    if length >= _NOT_A_FRAME:
        return Refused("protocol", "it does not speak this protocol: is that port meant for something else?")
    return Refused("too_large", f"a frame of {length} bytes, where {bytes_max} are the most")
