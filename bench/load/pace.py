"""Sends requests over many connections, as fast as answers come or at a rate of its own, and times each.

At a rate (an open loop) a request that finds every connection busy waits for one, and its time counts from
when it was due: a server that stalls does not make the load wait for it unseen, which closed loops do
("coordinated omission", Gil Tene).
"""

import random
import select
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from bench.load.client import Connection
from bench.load.work import Work

LATE_S: Final = 30.0
"""How long answers are waited for after the last request."""


def run(
    connections: list[Connection],
    work: Work,
    *,
    seconds: float,
    rate: float | None,
    chance: random.Random,
    ended: Callable[[], bool] = lambda: False,
) -> dict[str, list[float]]:
    """How long each request took, in seconds, by its kind.

    Args:
        connections: to send over.
        work: gives the requests.
        seconds: for how long requests are sent.
        rate: requests a second, at random moments (a Poisson process); None sends the next one over a
            connection when the last is answered.
        chance: for the moments.
        ended: whether to stop before; at a rate it is asked all the time.

    Raises:
        RuntimeError: the server refused a request, or left one without an answer.
    """
    loop = _Loop(connections, work)
    began = time.perf_counter()
    until = began + seconds
    if rate is not None:
        _send_at(loop, _moments(began, rate, chance), until, ended)
    else:
        while (now := time.perf_counter()) < until and not ended():
            while loop.free:
                loop.send(now)
            loop.receive(until - now)
    loop.drain()
    return loop.took


def _send_at(loop: "_Loop", moments: Iterator[float], until: float, ended: Callable[[], bool]) -> None:
    """Sends a request for each moment before ``until`` or the end, once there is a connection for it."""
    owed: deque[float] = deque()
    at = next(moments)
    while at < until or owed:
        now = time.perf_counter()
        if ended():
            until = min(until, now)
        while at <= min(now, until):
            owed.append(at)
            at = next(moments)
        while owed and loop.free:
            loop.send(owed.popleft())
        if now > until + LATE_S:
            raise RuntimeError(f"{len(owed)} requests found no connection within {LATE_S:g} s")
        if at < until or owed:
            loop.receive(at - now if at < until else LATE_S)


class _Loop:
    """The connections, of which some are busy."""

    def __init__(self, connections: list[Connection], work: Work) -> None:
        self._work = work
        self.free = deque(connections)
        self._busy: dict[int, tuple[Connection, str, float]] = {}
        self._poll = select.epoll()
        for connection in connections:
            self._poll.register(connection.socket.fileno(), select.EPOLLIN)
        self.took: dict[str, list[float]] = {}

    def send(self, since: float) -> None:
        """Sends the next request over a free connection; its time counts from ``since``."""
        connection = self.free.popleft()
        kind, data = self._work.next()
        self._busy[connection.socket.fileno()] = connection, kind, since
        connection.send(data)

    def receive(self, within_s: float) -> None:
        """Takes in what comes in time."""
        for descriptor, _ in self._poll.poll(max(0.0, within_s)):
            connection, kind, since = self._busy[descriptor]
            body = connection.receive()
            if body is None:
                continue
            self.took.setdefault(kind, []).append(time.perf_counter() - since)
            self._work.take(kind, body)
            del self._busy[descriptor]
            self.free.append(connection)

    def drain(self) -> None:
        """Waits for the answers that are owed."""
        until = time.perf_counter() + LATE_S
        while self._busy:
            if time.perf_counter() > until:
                raise RuntimeError(f"{len(self._busy)} requests were not answered within {LATE_S:g} s")
            self.receive(until - time.perf_counter())
        self._poll.close()


def _moments(began: float, rate: float, chance: random.Random) -> Iterator[float]:
    at = began
    while True:
        at += chance.expovariate(rate)
        yield at
