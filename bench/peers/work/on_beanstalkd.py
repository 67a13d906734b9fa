"""beanstalkd with the greenstalk client. As a program it is the consumer, with a connection for each slot."""

from threading import Thread, local

import greenstalk

from bench.peers.peer import SLOTS
from bench.peers.work.task import URL, append

_own = local()  # its client is for one thread at a time


def connected() -> greenstalk.Client:
    """A connection of its own."""
    host, _, port = URL.partition(":")
    return greenstalk.Client((host, int(port)))


def one(count: int) -> None:
    if not hasattr(_own, "client"):
        _own.client = connected()
    for _ in range(count):
        _own.client.put("no_op")


def work() -> None:
    """Runs tasks until the process is ended."""
    client = connected()
    while True:
        job = client.reserve()
        append()
        client.delete(job)


if __name__ == "__main__":
    for _ in range(SLOTS):
        Thread(target=work).start()
