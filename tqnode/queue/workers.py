"""The registry of workers: who is there, and who was told to stop."""

import msgspec

from tqnode import ids
from tqnode.clock import Rng
from tqnode.errors import NotFound, Overloaded
from tqnode.queue.rows import Reads, texts_of
from tqnode.sql import statement
from tqnode.store.tx import Tx

_ADD = statement("add_worker")
_COUNT = statement("count_workers")
_READ = statement("read_workers")
_TOUCH = statement("touch_worker")
_STEER = statement("steer_worker")
_DELETE = statement("delete_worker")


class WorkerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that registers, once per boot."""

    name: str
    host: str | None = None
    pid: int | None = None
    queues: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    concurrency: int = 1
    version: str | None = None


class WorkerRow(msgspec.Struct, frozen=True, kw_only=True):
    """A registered worker, and how many tasks it holds."""

    id: str
    name: str
    state: str
    started_at_ms: int
    heartbeat_at_ms: int
    concurrency: int
    host: str | None
    pid: int | None
    queues: tuple[str, ...]
    kinds: tuple[str, ...]
    version: str | None
    running: int


def register(tx: Tx, spec: WorkerSpec, rng: Rng, *, limit: int) -> WorkerRow:
    """Adds a worker under a new id.

    Raises:
        Overloaded: ``limit`` workers are registered already.
    """
    if sum(count for _, count in tx.all(_COUNT)) >= limit:
        raise Overloaded(f"{limit} workers are registered already, the most allowed", retry_after_s=10.0)
    packed = ids.pack(at_ms=tx.now_ms, seq=rng.bits(ids.SEQ_BITS), nonce=rng.bits(ids.NONCE_BITS))
    worker_id = ids.text(packed)
    params = {
        "id": worker_id,
        "name": spec.name,
        "now_ms": tx.now_ms,
        "concurrency": spec.concurrency,
        "host": spec.host,
        "pid": spec.pid,
        "queues": msgspec.json.encode(spec.queues).decode(),
        "kinds": msgspec.json.encode(spec.kinds).decode(),
        "version": spec.version,
    }
    tx.run(_ADD, params)
    return workers(tx, worker_id)[0]


def workers(reader: Reads, worker_id: str | None = None) -> list[WorkerRow]:
    """All workers, or the one of that id."""
    return [
        WorkerRow(
            id=row[0],
            name=row[1],
            state=row[2],
            started_at_ms=row[3],
            heartbeat_at_ms=row[4],
            concurrency=row[5],
            host=row[6],
            pid=row[7],
            queues=texts_of(row[8]),
            kinds=texts_of(row[9]),
            version=row[10],
            running=row[11],
        )
        for row in reader.all(_READ, {"id": worker_id})
    ]


def touch(tx: Tx, worker_id: str) -> str:
    """Notes a worker's sign of life; answers what it was told: run, quiet or terminate.

    Raises:
        NotFound: it is not registered, or was dropped.
    """
    row = tx.one(_TOUCH, {"id": worker_id, "now_ms": tx.now_ms})
    if row is None:
        raise NotFound("worker", worker_id)
    state: str = row[0]
    return state


def steer(tx: Tx, worker_id: str, state: str) -> WorkerRow:
    """Tells a worker, at its next heartbeat, to ``run``, be ``quiet`` or ``terminate``.

    Raises:
        NotFound: it is not registered, or was dropped.
    """
    if not tx.run(_STEER, {"id": worker_id, "state": state}):
        raise NotFound("worker", worker_id)
    if state == "run":
        tx.effects.steered.append(worker_id)
    return workers(tx, worker_id)[0]


def forget(tx: Tx, worker_id: str) -> None:
    """Takes a worker out; the leases it may hold end by their own deadline.

    Raises:
        NotFound: it is not registered, or was dropped.
    """
    if not tx.run(_DELETE, {"id": worker_id}):
        raise NotFound("worker", worker_id)
