"""A real HTTP server on loopback that answers as a test tells it, also wrongly or not at all."""

import contextlib
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import msgspec


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that refuses the certificate is no fault of the server."""
        if not isinstance(sys.exc_info()[1], ssl.SSLError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # passed on as it came

    # With the usual 5, a burst of connections would wait for the kernel to try again.
    request_queue_size = 128


class Got(NamedTuple):
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Say(NamedTuple):
    """An answer to give.

    Attributes:
        cut_after: of the body's bytes only so many are sent, then the connection is cut; 0 also cuts
            the head off, as when the node dies while it works.
        drop_s: seconds between the bytes of the body.
        hang: whether to hold the connection open in silence after that, instead of cutting it.
    """

    status: int = 200
    value: Any = None
    raw: bytes | None = None
    headers: dict[str, str] = {}  # noqa: RUF012  # never changed
    cut_after: int | None = None
    hang: bool = False
    drop_s: float = 0.0

    @property
    def body(self) -> bytes:
        return msgspec.json.encode(self.value) if self.raw is None else self.raw


class Server:
    """Answers requests in order; the last answer stays. A server without answers refuses to speak."""

    def __init__(self, *answers: Say, tls: ssl.SSLContext | None = None) -> None:
        self.answers = list(answers)
        self.got: list[Got] = []
        self.connections = 0
        self._released = threading.Event()
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                scripted.connections += 1
                super().setup()

            def _any(self) -> None:
                scripted._answer(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815, RUF100  # as http.server calls

            def log_message(self, format: str, *args: Any) -> None:
                """Tests read `got` instead."""

        self._http = _Listener(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._http.socket = tls.wrap_socket(
                self._http.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._http.server_port}"

    def stop(self) -> None:
        """Ends what still hangs, and frees the port."""
        self._released.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(10)

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.got.append(Got(handler.command, handler.path, headers, body))
        say = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if say.cut_after != 0:
            handler.send_response(say.status)
            for name, value in {"content-type": "application/json", **say.headers}.items():
                handler.send_header(name, value)
            if "transfer-encoding" not in say.headers:
                handler.send_header("content-length", str(len(say.body)))
            handler.end_headers()
            self._write(handler, say)
        if say.hang:
            self._released.wait(30)
        if say.cut_after is not None:
            handler.close_connection = True
            with contextlib.suppress(OSError):
                handler.connection.shutdown(socket.SHUT_RDWR)

    def _write(self, handler: BaseHTTPRequestHandler, say: Say) -> None:
        body = say.body[: say.cut_after]
        if not say.drop_s:
            handler.wfile.write(body)
            return
        with contextlib.suppress(OSError):
            for byte in body:
                handler.wfile.write(bytes((byte,)))
                self._released.wait(say.drop_s)


@contextlib.contextmanager
def serving(*answers: Say) -> Iterator[Server]:
    """A server for the length of a ``with`` block."""
    server = Server(*answers)
    try:
        yield server
    finally:
        server.stop()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
