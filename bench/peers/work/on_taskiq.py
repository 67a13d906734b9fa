"""taskiq: both of its brokers that keep tasks in Redis, no results."""

from taskiq_redis import ListQueueBroker, RedisStreamBroker

from bench.peers.work.task import URL, VARIANT, append

broker = (RedisStreamBroker if VARIANT == "stream" else ListQueueBroker)(URL)


@broker.task
async def no_op() -> None:
    append()


async def one(count: int) -> None:
    if not broker.is_worker_process and count == 1:
        await broker.startup()
    for _ in range(count):
        await no_op.kiq()
