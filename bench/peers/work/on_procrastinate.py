"""procrastinate, with the connector that its documentation names first."""

from procrastinate import App, PsycopgConnector

from bench.peers.peer import SLOTS
from bench.peers.work.task import URL, append

BATCH = 1000

app = App(connector=PsycopgConnector(conninfo=URL, max_size=SLOTS + 2))


@app.task(name="no_op")
async def no_op() -> None:
    append()


async def one(count: int) -> None:
    if count == 1:
        await app.open_async()
    for _ in range(count):
        await no_op.defer_async()


async def bulk(count: int) -> None:
    if count == 1:
        await app.open_async()
    for start in range(0, count, BATCH):
        await no_op.batch_defer_async(*({} for _ in range(min(BATCH, count - start))))
