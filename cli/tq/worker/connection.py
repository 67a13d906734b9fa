"""One kept-alive HTTP/1.1 connection to the node, for one thread at a time.

The standard library's client rather than httpx: a claim and a finish cross here for every handful
of tasks, httpx spends four times the processor on each, and a long poll has to be broken off from
another thread without losing the tasks its answer may already carry.
"""

import http.client
import select
import socket
import ssl
import threading
from typing import NamedTuple
from urllib.parse import urlsplit

# A node that answers more than this is not one of ours: 1000 tasks of 1 MiB each stay below it.
_ANSWER_BYTES_MAX = 2 * 1024**3


# A machine that is gone says nothing: without these, a long poll would wait for it to its end.
_SILENT_S = 3
_PROBES = 3
_DEAD_AFTER_MS = 6_000


class NotReached(Exception):
    """The request was not answered: no connection, or it broke, or it took too long.

    Args:
        why: in a few words.
        sent: whether the node may have received it.
    """

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent


class Answer(NamedTuple):
    """``location`` is where a redirect leads, None for any other answer."""

    status: int
    body: bytes
    location: str | None


class Connection:
    """Sends a request at a time and reads its answer; connects when needed.

    Args:
        url: the node's base URL, ``http`` or ``https``.
        token: sent as a bearer token when there is one.
        connect_s: seconds a connection may take to come up.

    Raises:
        ValueError: ``url`` is not an http(s) URL with a host.
    """

    def __init__(self, url: str, *, token: str | None, connect_s: float = 5.0) -> None:
        self.url = url
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not an http:// or https:// URL with a host: {url!r}")
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port or (443 if self._secure else 80)
        self._base = parts.path.rstrip("/")
        self._connect_s = connect_s
        self._tls = ssl.create_default_context() if self._secure else None
        self._headers = {"content-type": "application/json", "accept": "application/json"}
        if token:
            self._headers["authorization"] = f"Bearer {token}"
        self._mutex = threading.Lock()
        self._open: http.client.HTTPConnection | None = None
        self._broken_off = False

    def exchange(self, method: str, path: str, body: bytes | None, *, timeout_s: float) -> Answer:
        """Sends one request and returns its answer.

        Args:
            method: of HTTP.
            path: from the base URL on, with a leading slash.
            body: JSON, or None.
            timeout_s: seconds without a byte after which the node counts as not reached.

        Raises:
            NotReached: there was no whole answer. What the node did, if it was sent, is unknown.
        """
        connection = self._connected(timeout_s)
        try:
            connection.request(method, self._base + path, body, self._headers)
            answer = connection.getresponse()
            if (answer.length or 0) > _ANSWER_BYTES_MAX:
                raise http.client.HTTPException(f"an answer of {answer.length} bytes")
            content = answer.read()
            if answer.will_close:
                self.close()
            redirect = answer.getheader("location") if answer.status in (307, 308) else None
            return Answer(answer.status, content, redirect)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise NotReached(_why(error), sent=True) from error

    def break_off(self) -> None:
        """Ends the exchange another thread is in, and all later ones; callable from any thread.

        In the clear it closes our half alone: the node takes that as the client being gone, yet an
        answer already on its way is still read, so no claimed task is lost between the two. TLS has
        no half-close, and the whole connection goes.
        """
        self._shut(socket.SHUT_RDWR if self._secure else socket.SHUT_WR)

    def cut_off(self) -> None:
        """As :meth:`break_off`, without regard for answers: for a node that does not react."""
        self._shut(socket.SHUT_RDWR)

    def _shut(self, how: int) -> None:
        with self._mutex:
            self._broken_off = True
            sock = self._open.sock if self._open is not None else None
            if sock is None:
                return
            try:
                sock.shutdown(how)
            except OSError:
                return  # already gone, which is what was wanted

    def close(self) -> None:
        """Closes the connection; the next exchange opens another."""
        with self._mutex:
            if self._open is not None:
                self._open.close()
                self._open = None

    def _connected(self, timeout_s: float) -> http.client.HTTPConnection:
        if self._open is not None and _ended(self._open):
            # Nodes close connections that sit idle; a request on one would look like a lost answer.
            self.close()
        with self._mutex:
            if self._broken_off:
                raise NotReached("broken off", sent=False)
            if self._open is not None:
                self._open.sock.settimeout(timeout_s)
                return self._open
        connection = self._connect()
        with self._mutex:
            if self._broken_off:
                connection.close()
                raise NotReached("broken off", sent=False)
            connection.sock.settimeout(timeout_s)
            self._open = connection
            return connection

    def _connect(self) -> http.client.HTTPConnection:
        connection = (
            http.client.HTTPSConnection(self._host, self._port, timeout=self._connect_s, context=self._tls)
            if self._secure
            else http.client.HTTPConnection(self._host, self._port, timeout=self._connect_s)
        )
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise NotReached(_why(error), sent=False) from error
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _notice_death(connection.sock)
        return connection


def _notice_death(sock: socket.socket) -> None:
    """Has the kernel end the connection some seconds after the machine at its other end is gone."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _SILENT_S),
        ("TCP_KEEPINTVL", 1),
        ("TCP_KEEPCNT", _PROBES),
        ("TCP_USER_TIMEOUT", _DEAD_AFTER_MS),
    ):
        # Each is Linux's; elsewhere the timeout of the request has to do.
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _ended(connection: http.client.HTTPConnection) -> bool:
    if connection.sock is None:
        return True
    # Nothing was asked, so whatever there is to read is the end of the connection. Not select(): a
    # worker with many slots has descriptors beyond what it can take.
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__
