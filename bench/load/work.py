"""What the clients of a load ask for, request by request."""

import json
from collections import deque
from itertools import cycle
from typing import Final, Protocol

from bench.load.client import request

CLAIM_MAX: Final = 10
SHAPE: Final = b'{"kind":"bench","payload":"%s"}'


class Work(Protocol):
    """Gives out requests, and learns what came of them."""

    def next(self) -> tuple[str, bytes]:
        """The next request and what kind it is of."""

    def take(self, kind: str, body: bytes) -> None:
        """Takes the answer to a request of that kind."""


class Enqueues:
    """Enqueues tasks, so many with each request.

    Args:
        payload_bytes: of each task.
        size: tasks in a request.
    """

    def __init__(self, *, payload_bytes: int, size: int = 1) -> None:
        task = SHAPE % (b"x" * payload_bytes)
        self._request = request("/v1/tasks", task if size == 1 else b"[%s]" % b",".join([task] * size))

    def next(self) -> tuple[str, bytes]:
        """An enqueue."""
        return "enqueue", self._request

    def take(self, kind: str, body: bytes) -> None:
        """Needs no answer."""


class Mixed:
    """Enqueues one by one, claims some at a time, and completes them together.

    Args:
        payload_bytes: of each task.
        claim_max: tasks of a claim.
    """

    def __init__(self, *, payload_bytes: int, claim_max: int = CLAIM_MAX) -> None:
        self._enqueue = Enqueues(payload_bytes=payload_bytes)
        self._claim = request("/v1/claims", json.dumps({"worker": "bench", "max": claim_max}).encode())
        self._held: deque[list[dict[str, str]]] = deque()
        # For each batch of tasks: so many enqueues, a claim, a completion.
        self._turns = cycle(["enqueue"] * claim_max + ["claim", "complete"])

    def next(self) -> tuple[str, bytes]:
        """The request whose turn it is; another claim where nothing is held that could be completed."""
        kind = next(self._turns)
        if kind == "enqueue":
            return self._enqueue.next()
        if kind == "complete" and self._held:
            outcomes = self._held.popleft()
            return kind, request("/v1/outcomes", json.dumps({"outcomes": outcomes}).encode())
        return "claim", self._claim

    def take(self, kind: str, body: bytes) -> None:
        """Remembers what was claimed."""
        if kind != "claim":
            return
        tasks = json.loads(body)["tasks"]
        if tasks:
            self._held.append(
                [{"outcome": "complete", "id": task["id"], "token": task["token"]} for task in tasks]
            )
