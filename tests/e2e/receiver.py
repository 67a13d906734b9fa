"""Receivers of webhooks for tests: real servers that check what comes, and answer as they are told."""

import base64
import contextlib
import hashlib
import hmac
import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
ALLOW = ("--webhook-allow", "127.0.0.0/8")


def hooks_file(folder: Path, **urls: str) -> str:
    """Writes a node's webhooks file: the secret ``default``, and a webhook for each URL."""
    file = folder / "webhooks.toml"
    tables = [f'[default]\nsecret = "{SECRET}"\n']
    tables += [f'[{name}]\nsecret = "{SECRET}"\nurl = "{url}"\n' for name, url in urls.items()]
    file.write_text("".join(tables))
    file.chmod(0o600)
    return str(file)


class Receiver:
    """Takes events until it is closed.

    Args:
        port: where; 0 lets the system choose.
    """

    def __init__(self, port: int = 0) -> None:
        self.events: list[dict[str, Any]] = []
        """The bodies that were answered with 204, in the order of their coming."""
        self.attempts: Counter[str] = Counter()
        """By ``webhook-id``, how often it came."""
        self.bodies: dict[str, set[bytes]] = {}
        self.wrong: list[str] = []
        """What was not as it should be."""
        self.answers: list[tuple[int, dict[str, str]]] = []
        """How the next requests are answered, instead of 204."""
        self.lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.take(self)

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing: what matters is in the events."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook?a=b"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def take(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["content-length"]))
        event_id, at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        signed = f"{event_id}.{at}.".encode() + body
        right = "v1," + base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
        event = json.loads(body)
        with self.lock:
            if request.headers["webhook-signature"] != right:
                self.wrong.append(f"{event_id}: {request.headers['webhook-signature']}")
            if event["id"] != event_id or request.headers["content-type"] != "application/json":
                self.wrong.append(f"{event_id}: {dict(request.headers)}")
            self.attempts[event_id] += 1
            self.bodies.setdefault(event_id, set()).add(body)
            status, headers = self.answers.pop(0) if self.answers else (204, {})
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        if status != 204:
            request.send_header("content-length", "0")
        with contextlib.suppress(OSError):  # a node that was killed reads no answer
            request.end_headers()
            if status == 204:
                # Only what was answered in full may count as known.
                request.wfile.flush()
        if status == 204:
            with self.lock:
                self.events.append(event)

    def told(self) -> Counter[tuple[str, str]]:
        """(task, type) of what came, each event counted once however often it came."""
        with self.lock:
            found = {event["id"]: (event["data"]["id"], event["type"]) for event in self.events}
        return Counter(found.values())

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """A receiver for the length of a ``with`` block."""
    receiver = Receiver(port)
    try:
        yield receiver
    finally:
        receiver.close()
