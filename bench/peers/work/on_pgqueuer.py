"""pgqueuer over asyncpg, as its documentation begins. As a program it is the consumer."""

import asyncio

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from bench.peers.peer import SLOTS
from bench.peers.work.task import URL, append

BATCH = 1000

_queries: list[Queries] = []


async def consume() -> None:
    """Runs tasks until the process is ended."""
    queue = PgQueuer.from_asyncpg_connection(await asyncpg.connect(URL))

    @queue.entrypoint("no_op")
    async def no_op(_job: Job) -> None:
        append()

    await queue.run(batch_size=SLOTS)


async def _opened() -> Queries:
    if not _queries:
        _queries.append(Queries.from_asyncpg_connection(await asyncpg.connect(URL)))
    return _queries[0]


async def one(count: int) -> None:
    queries = await _opened()
    for _ in range(count):
        await queries.enqueue("no_op", None)


async def bulk(count: int) -> None:
    queries = await _opened()
    for start in range(0, count, BATCH):
        size = min(BATCH, count - start)
        await queries.enqueue(["no_op"] * size, [None] * size, [0] * size)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(consume())
