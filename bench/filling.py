"""Brings a node's tasks into the states a benchmark begins with: over HTTP, in large requests."""

import json
import time
from collections.abc import Sequence
from typing import Final

from bench.load.client import Connection, address_of, request
from bench.progress import Progress

ENQUEUE_MAX: Final = 10_000
CLAIM_MAX: Final = 1_000
PAYLOAD_BYTES: Final = 100
QUEUE: Final = "default"
PRIORITY: Final = 128
WORKER: Final = "bench"


def task_of(queue: str, priority: int, payload_bytes: int = PAYLOAD_BYTES) -> bytes:
    """A task as JSON; its payload is a string of that many bytes with its quotes."""
    shape = b'{"kind":"bench","queue":"%s","priority":%d,"payload":"%s"}'
    return shape % (queue.encode(), priority, b"x" * (payload_bytes - 2))


def batch_of(tasks: Sequence[bytes]) -> bytes:
    """The request that enqueues these."""
    return request("/v1/tasks", b"[%s]" % b",".join(tasks))


def claim_of(queues: Sequence[str], size: int) -> bytes:
    """The request that claims so many tasks from the queues, drained in their order."""
    ask = {"worker": WORKER, "queues": queues, "max": size}
    return request("/v1/claims", json.dumps(ask).encode())


class Filling:
    """What is there before something is measured.

    Args:
        url: of the node.
    """

    def __init__(self, url: str) -> None:
        self._address = address_of(url)
        self._connection = Connection(self._address)

    def close(self) -> None:
        self._connection.close()

    def enqueue(
        self,
        tasks: int,
        *,
        queues: Sequence[str] = (QUEUE,),
        priorities: Sequence[int] = (PRIORITY,),
        together: int = 1,
    ) -> None:
        """Enqueues tasks, evenly over the queues and, in each, over the priorities.

        Args:
            tasks: how many.
            queues: names.
            priorities: in each of them.
            together: so many of one queue and priority come one after the other.
        """
        progress = Progress(f"enqueued in {len(queues)} x {len(priorities)}", tasks)
        shapes = [task_of(queue, priority) for priority in priorities for queue in queues]
        for start in range(0, tasks, ENQUEUE_MAX):
            count = min(ENQUEUE_MAX, tasks - start)
            numbers = range(start, start + count)
            self._connection.ask(batch_of([shapes[at // together % len(shapes)] for at in numbers]))
            progress.advance(count)

    def claim_until(self, tasks: int, *, queue: str, until: float) -> None:
        """Claims so many tasks under leases that all end at the same moment.

        Args:
            tasks: how many; the queue has them.
            queue: of which queue.
            until: the moment, by the monotonic clock.
        """
        progress = Progress("claimed", tasks)
        left = tasks
        while left:
            ask = {
                "worker": WORKER,
                "queues": [queue],
                "max": min(CLAIM_MAX, left),
                "lease_s": round(until - time.monotonic(), 3),
            }
            claimed = self._connection.ask(request("/v1/claims", json.dumps(ask).encode()))
            count = claimed.count(b'"token"')
            assert count, f"{queue} has not so many tasks: {left} are missing"
            left -= count
            progress.advance(count)

    def finish(self, tasks: int, *, queue: str) -> None:
        """Has so many tasks go through a queue and succeed."""
        progress = Progress("finished", tasks)
        claim = claim_of((queue,), CLAIM_MAX)
        for start in range(0, tasks, CLAIM_MAX):
            count = min(CLAIM_MAX, tasks - start)
            self._connection.ask(batch_of([task_of(queue, PRIORITY)] * count))
            held = json.loads(self._connection.ask(claim))["tasks"]
            outcomes = [{"outcome": "complete", "id": one["id"], "token": one["token"]} for one in held]
            body = json.dumps({"outcomes": outcomes}).encode()
            answer = self._connection.ask(request("/v1/outcomes", body))
            assert answer.count(b'"succeeded"') == count, answer[:500]
            progress.advance(count)

    def counts(self, queue: str) -> dict[str, int]:
        """How many tasks of a queue stand in each state; states without any are left out."""
        head = f"GET /v1/queues/{queue} HTTP/1.1\r\nhost: bench\r\n\r\n"
        # Of its own: a node closes a connection on which nothing is asked for long.
        connection = Connection(self._address)
        found: dict[str, int] = json.loads(connection.ask(head.encode()))["counts"]
        connection.close()
        return found
