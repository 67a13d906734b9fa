"""dramatiq: its default middleware, no results."""

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.peers.work.task import URL, append

dramatiq.set_broker(RedisBroker(url=URL))


@dramatiq.actor
def no_op() -> None:
    append()


def one(count: int) -> None:
    for _ in range(count):
        no_op.send()
