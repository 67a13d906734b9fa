"""The queues that are compared, each in the configuration its documentation names for tasks like these."""

from functools import partial
from typing import Final

from bench.peers import servers
from bench.peers.peer import SLOTS, Peer

MEMORY: Final = "memory; a snapshot now and then"
FSYNC: Final = "fsync each"
REDIS: Final = (("redis-server", "redis-server"),)
POSTGRESQL: Final = (("postgres", "postgresql"), ("initdb", "postgresql"))
_WORK: Final = "bench.peers.work"


def _on_redis(name: str, module: str, consumer: tuple[str, ...], **more: object) -> list[Peer]:
    """One queue on Redis as it comes, then on Redis that fsyncs."""
    make = partial(Peer, module=module, consumer=consumer, programs=REDIS, **more)  # type: ignore[arg-type] # fields of Peer by name
    return [
        make(name=f"{name}, Redis", durability=MEMORY, serve=servers.redis),
        make(name=f"{name}, Redis that fsyncs", durability=FSYNC, serve=servers.redis_that_fsyncs),
    ]


OURS: Final = Peer(
    name="tqnode",
    module="on_tqnode",
    durability=FSYNC,
    serve=servers.node,
    consumer=("python", "-m", "tq", "worker", "--app", f"{_WORK}.on_tqnode:app", "-c", str(SLOTS)),
    bulk=True,
    lock=None,
)

_HUEY: Final = ("huey_consumer", f"{_WORK}.on_huey.huey", "-k", "thread", "-w", str(SLOTS), "-q")
PEERS: Final = [
    *_on_redis("huey", "on_huey", _HUEY, variant="redis"),
    Peer(
        name="huey, SQLite",
        module="on_huey",
        durability=FSYNC,
        serve=servers.file,
        consumer=_HUEY,
        variant="sqlite, fsync",
    ),
    Peer(
        name="huey, SQLite without fsync",
        module="on_huey",
        durability="the system's cache; a power cut may break the file",
        serve=servers.file,
        consumer=_HUEY,
        variant="sqlite",
    ),
    *_on_redis(
        "RQ",
        "on_rq",
        ("rq", "worker-pool", "-q", "-n", str(SLOTS), "-w", "rq.worker.SimpleWorker", "-u", "{url}"),
        bulk=True,
    ),
]
