"""tqnode: its SDK."""

import tq
from bench.peers.work.task import URL, append

CALL = {"args": [], "kwargs": {}}

app = tq.App(tq.Client(URL))


@app.task
def no_op() -> None:
    append()


def one(count: int) -> None:
    for _ in range(count):
        app.client.enqueue("no_op", CALL)


def bulk(count: int) -> None:
    app.client.enqueue_many(tq.new_task("no_op", CALL) for _ in range(count))
