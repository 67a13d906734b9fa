"""The load of the benchmarks: closed loops of scripts, in a process of their own.

Run as ``python -m bench.load.orders``; it takes orders as JSON lines on its standard input and answers each
with a line. One thread waits on all connections with epoll: it takes little from the server it measures.
"""

import json
import select
import sys
import time
from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Final

from bench.load.client import Connection, address_of, request

Script = Generator[bytes, bytes, None]
"""Yields requests; is sent the body of each answer."""

PAYLOAD: Final = b'{"user":12345,"template":"welcome","to":"someone@example.com"}'
NEW_TASK: Final = b'{"kind":"bench","payload":%s}' % PAYLOAD


def enqueue_of(size: int) -> bytes:
    """The request that enqueues so many tasks."""
    return request("/v1/tasks", NEW_TASK if size == 1 else b"[%s]" % b",".join([NEW_TASK] * size))


def claim_of(size: int) -> bytes:
    """The request that claims so many tasks."""
    return request("/v1/claims", b'{"worker":"bench","max":%d}' % size)


def complete_of(claimed: bytes) -> bytes:
    """The request that completes what a claim was answered with."""
    tasks = json.loads(claimed)["tasks"]
    outcomes = [{"outcome": "complete", "id": task["id"], "token": task["token"]} for task in tasks]
    return request("/v1/outcomes", json.dumps({"outcomes": outcomes}).encode())


def made_up_complete(size: int) -> bytes:
    """A request that completes so many tasks that nobody has."""
    outcome = {"outcome": "complete", "id": "0198c0de-0000-7000-8000-000000000000"}
    outcomes = [outcome | {"token": "1-0123456789abcdef"}] * size
    return request("/v1/outcomes", json.dumps({"outcomes": outcomes}).encode())


def repeated(requests: int, one: bytes) -> Script:
    """The same request each time."""
    for _ in range(requests):
        yield one


def lifecycles(requests: int, *, size: int, stored: bool) -> Script:
    """Enqueues, claims and completes ``size`` tasks each time.

    Args:
        requests: how often.
        size: tasks in a request.
        stored: whether the server gives tasks out; else outcomes of the same size are sent for none.
    """
    many, claim, made_up = enqueue_of(size), claim_of(size), made_up_complete(size)
    for _ in range(requests):
        yield many
        claimed = yield claim
        answer = yield complete_of(claimed) if stored else made_up
        if stored and answer.count(b'"succeeded"') != size:
            raise RuntimeError(f"not every task was completed: {answer[:500]!r}")


def in_turn(requests: deque[bytes]) -> Script:
    """Each of the requests, in their order."""
    while requests:
        yield requests.popleft()


class Scripted(Connection):
    """A client that sends the next request of its script when the answer is there.

    Args:
        address: host and port of the server.
        script: makes the script; it may ask over the connection what has to be done before.
    """

    def __init__(self, address: tuple[str, int], script: Callable[[Connection], Script]) -> None:
        super().__init__(address)
        self._script = script(self)

    def start(self) -> bool:
        """Sends the first request; False if there is none."""
        return self._go_on(None)

    def advance(self, waits: list[float]) -> bool:
        """Takes in what came, notes how long a whole answer took; False once the script has ended."""
        body = self.receive()
        if body is None:
            return True
        waits.append(time.perf_counter() - self.sent_at)
        return self._go_on(body)

    def _go_on(self, body: bytes | None) -> bool:
        try:
            self.send(next(self._script) if body is None else self._script.send(body))
        except StopIteration:
            return False
        return True


def make_script(order: dict[str, Any], connection: Connection) -> Script:
    """The script that was ordered, with what it needs done before over the same connection."""
    requests, size = order["requests"], order.get("size", 1)
    match order["script"]:
        case "enqueue":
            return repeated(requests, enqueue_of(size))
        case "claim":
            connection.ask(enqueue_of(requests * size))
            return repeated(requests, claim_of(size))
        case "complete":
            connection.ask(enqueue_of(requests * size))
            return in_turn(deque(complete_of(connection.ask(claim_of(size))) for _ in range(requests)))
    return lifecycles(requests, size=size, stored=order["stored"])


def run(connections: list[Scripted]) -> list[float]:
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
        address = address_of(order["url"])
        connections = [Scripted(address, partial(make_script, order)) for _ in range(order["connections"])]
        print("connected", flush=True)
        sys.stdin.readline()
        waits = sorted(run(connections))
        for connection in connections:
            connection.close()
        answer = {"p50_ms": waits[len(waits) // 2] * 1000, "p99_ms": waits[len(waits) * 99 // 100] * 1000}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
