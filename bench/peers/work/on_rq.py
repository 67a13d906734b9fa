"""RQ: no results kept."""

from redis import Redis
from rq import Queue

from bench.peers.work.task import URL, append

BATCH = 1000

queue = Queue(connection=Redis.from_url(URL))


def no_op() -> None:
    append()


def one(count: int) -> None:
    for _ in range(count):
        queue.enqueue("bench.peers.work.on_rq.no_op", result_ttl=0)


def bulk(count: int) -> None:
    for start in range(0, count, BATCH):
        jobs = range(min(BATCH, count - start))
        queue.enqueue_many([Queue.prepare_data("bench.peers.work.on_rq.no_op", result_ttl=0) for _ in jobs])
