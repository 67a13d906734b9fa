"""arq: no results kept; it looks for tasks more often than twice a second, which is its default."""

import uvloop
from arq import ArqRedis, create_pool
from arq.connections import RedisSettings

from bench.peers.peer import SLOTS
from bench.peers.work.task import URL, append

SETTINGS = RedisSettings.from_dsn(URL)
uvloop.install()
_pools: list[ArqRedis] = []


async def no_op(_context: object) -> None:
    append()


class WorkerSettings:
    """What the arq command reads."""

    functions = (no_op,)
    redis_settings = SETTINGS
    max_jobs = SLOTS
    keep_result = 0
    poll_delay = 0.005


async def one(count: int) -> None:
    if not _pools:
        _pools.append(await create_pool(SETTINGS))
    for _ in range(count):
        await _pools[0].enqueue_job("no_op")
