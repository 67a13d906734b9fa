"""huey: no results stored, since the others store none."""

from huey import RedisHuey, SqliteHuey

from bench.peers.work.task import URL, VARIANT, append

huey = (
    RedisHuey(url=URL, results=False)
    if VARIANT == "redis"
    else SqliteHuey(filename=URL, fsync=VARIANT == "sqlite, fsync", results=False)
)


@huey.task()
def no_op() -> None:
    append()


def one(count: int) -> None:
    for _ in range(count):
        no_op()
