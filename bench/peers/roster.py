"""The queues that are compared, each in the configuration its documentation names for tasks like these."""

from dataclasses import replace
from functools import partial
from typing import Final

from bench.peers import servers
from bench.peers.peer import SLOTS, Peer

MEMORY: Final = "memory; a snapshot now and then"
FSYNC: Final = "fsync each"
LAGS: Final = "the last commits, up to 0.6 s, may be lost"
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


def _on_postgresql(name: str, module: str, consumer: tuple[str, ...], **more: object) -> list[Peer]:
    """One queue on PostgreSQL as it comes, then on one that answers before the commit is on the disk."""
    make = partial(Peer, module=module, consumer=consumer, bulk=True, programs=POSTGRESQL, **more)  # type: ignore[arg-type] # fields of Peer by name
    return [
        make(name=f"{name}, PostgreSQL", durability=FSYNC, serve=servers.postgresql),
        make(name=f"{name}, PostgreSQL, asynchronous", durability=LAGS, serve=servers.postgresql_that_lags),
    ]


_WORKER: Final = ("python", "-m", "tq", "worker", "--app", f"{_WORK}.on_tqnode:app", "-c", str(SLOTS))
_PLAIN: Final = Peer(
    name="tqnode, as it comes",
    module="on_tqnode",
    durability=FSYNC,
    serve=servers.node,
    consumer=_WORKER,
    bulk=True,
    lock=None,
)
# What the documents advise for tasks that take less than a claim does.
OURS: Final = replace(_PLAIN, name="tqnode, --prefetch 500", consumer=(*_WORKER, "--prefetch", "500"))

_HUEY: Final = ("huey_consumer", f"{_WORK}.on_huey.huey", "-k", "thread", "-w", str(SLOTS), "-q")
PEERS: Final = [
    _PLAIN,
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
    *_on_redis(
        "dramatiq",
        "on_dramatiq",
        ("dramatiq", f"{_WORK}.on_dramatiq", "--processes", "1", "--threads", str(SLOTS)),
    ),
    *(
        one
        for broker in ("list", "stream")
        for one in _on_redis(
            f"taskiq ({broker})",
            "on_taskiq",
            (
                *("taskiq", "worker", f"{_WORK}.on_taskiq:broker", "--workers", "1"),
                *("--max-async-tasks", str(SLOTS), "--log-level", "WARNING"),
            ),
            variant=broker,
        )
    ),
    *(
        one
        for pool in ("threads", "prefork")
        for one in _on_redis(
            f"Celery ({pool})",
            "on_celery",
            (
                *("celery", "-A", f"{_WORK}.on_celery:app", "worker", "-P", pool, "-c", str(SLOTS)),
                *("-l", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat"),
            ),
        )
    ),
    *_on_redis("arq", "on_arq", ("arq", f"{_WORK}.on_arq.WorkerSettings"), lock="requirements-arq.lock"),
    Peer(
        name="beanstalkd",
        module="on_beanstalkd",
        durability=FSYNC,
        serve=servers.beanstalkd,
        consumer=("python", "-m", f"{_WORK}.on_beanstalkd"),
        programs=(("beanstalkd", "beanstalkd"),),
    ),
    *_on_postgresql(
        "procrastinate",
        "on_procrastinate",
        ("procrastinate", "-a", f"{_WORK}.on_procrastinate.app", "worker", "-c", str(SLOTS)),
        prepare=("procrastinate", "-a", f"{_WORK}.on_procrastinate.app", "schema", "--apply"),
    ),
    *_on_postgresql(
        "pgqueuer",
        "on_pgqueuer",
        ("python", "-m", f"{_WORK}.on_pgqueuer"),
        prepare=("pgq", "--pg-dsn", "{url}", "install"),
    ),
]
