"""A load generator: closed-loop HTTP/1.1 clients over raw sockets, in a process of their own.

Run as ``python -m bench.load``; it takes orders as JSON lines on its standard input and answers each with a
line. One thread waits on all connections with epoll: a request costs it a few microseconds, so that it takes
little from the server it measures.
"""

import json
import select
import socket
import sys
import time
from collections.abc import Generator
from typing import Any, Final
from urllib.parse import urlsplit

Script = Generator[bytes, bytes, None]
"""Yields requests; is sent the body of each answer."""

PAYLOAD: Final = b'{"user":12345,"template":"welcome","to":"someone@example.com"}'
NEW_TASK: Final = b'{"kind":"bench","payload":%s}' % PAYLOAD
RECEIVE_BYTES: Final = 1 << 18
_LENGTH: Final = b"content-length: "


def request(path: str, body: bytes) -> bytes:
    """A POST of JSON, ready to be sent."""
    head = f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def single_enqueues(requests: int) -> Script:
    """One task with each request."""
    one = request("/v1/tasks", NEW_TASK)
    for _ in range(requests):
        yield one


def lifecycles(requests: int, *, size: int, stored: bool) -> Script:
    """Enqueues, claims and completes ``size`` tasks each time.

    Args:
        requests: how often.
        size: tasks in a request.
        stored: whether the server gives tasks out; else outcomes of the same size are sent for none.
    """
    many = request("/v1/tasks", b"[%s]" % b",".join([NEW_TASK] * size))
    claim = request("/v1/claims", b'{"worker":"bench","max":%d}' % size)
    outcome = {"outcome": "complete", "id": "0198c0de-0000-7000-8000-000000000000"}
    made_up = [outcome | {"token": "1-0123456789abcdef"}] * size
    for _ in range(requests):
        yield many
        claimed = yield claim
        outcomes = made_up
        if stored:
            tasks = json.loads(claimed)["tasks"]
            outcomes = [{"outcome": "complete", "id": task["id"], "token": task["token"]} for task in tasks]
        answer = yield request("/v1/outcomes", json.dumps({"outcomes": outcomes}).encode())
        if stored and answer.count(b'"succeeded"') != size:
            raise RuntimeError(f"not every task was completed: {answer[:500]!r}")


class Connection:
    """One client that sends the next request when the answer is there.

    Args:
        address: host and port of the server.
        script: its requests.
    """

    def __init__(self, address: tuple[str, int], script: Script) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._script = script
        self._got = b""
        self._whole = 0
        self.sent_at = 0.0

    def start(self) -> bool:
        """Sends the first request; False if there is none."""
        return self._send(next(self._script, None))

    def advance(self, waits: list[float]) -> bool:
        """Takes in what came; False once the script has ended."""
        data = self.socket.recv(RECEIVE_BYTES)
        if not data:
            raise RuntimeError("the server closed a connection")
        self._got = self._got + data if self._got else data
        if not self._whole:
            head = self._got.find(b"\r\n\r\n")
            if head < 0:
                return True
            if self._got[9:10] != b"2":
                raise RuntimeError(f"the server refused: {self._got[:500]!r}")
            at = self._got.index(_LENGTH) + len(_LENGTH)
            self._whole = head + 4 + int(self._got[at : self._got.index(b"\r", at)])
        if len(self._got) < self._whole:
            return True
        waits.append(time.perf_counter() - self.sent_at)
        body = self._got[self._got.index(b"\r\n\r\n") + 4 :]
        self._got, self._whole = b"", 0
        try:
            return self._send(self._script.send(body))
        except StopIteration:
            return False

    def _send(self, data: bytes | None) -> bool:
        if data is None:
            return False
        self.sent_at = time.perf_counter()
        self.socket.sendall(data)
        return True


def make_script(order: dict[str, Any]) -> Script:
    if order["script"] == "single":
        return single_enqueues(order["requests"])
    return lifecycles(order["requests"], size=order["size"], stored=order["stored"])


def run(connections: list[Connection]) -> list[float]:
    """Runs all scripts to their end; how long each answer took, in seconds."""
    waits: list[float] = []
    poll = select.epoll()
    by_descriptor = {connection.socket.fileno(): connection for connection in connections}
    left = 0
    for descriptor, connection in by_descriptor.items():
        poll.register(descriptor, select.EPOLLIN)
        left += connection.start()
    while left:
        for descriptor, _ in poll.poll():
            left -= not by_descriptor[descriptor].advance(waits)
    poll.close()
    return waits


def main() -> None:
    """Takes orders ``{url, script, connections, requests, …}``; connects, says so, waits for a line, runs."""
    for line in sys.stdin:
        order = json.loads(line)
        parts = urlsplit(order["url"])
        address = (parts.hostname or "", parts.port or 80)
        connections = [Connection(address, make_script(order)) for _ in range(order["connections"])]
        print("connected", flush=True)
        sys.stdin.readline()
        waits = sorted(run(connections))
        for connection in connections:
            connection.socket.close()
        answer = {"p50_ms": waits[len(waits) // 2] * 1000, "p99_ms": waits[len(waits) * 99 // 100] * 1000}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
