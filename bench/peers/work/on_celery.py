"""Celery: no results, and a long prefetch, as its guide to optimizing advises for short tasks."""

from celery import Celery

from bench.peers.work.task import URL, append

app = Celery("bench", broker=URL)
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=64,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
)


@app.task
def no_op() -> None:
    append()


def one(count: int) -> None:
    for _ in range(count):
        no_op.delay()
