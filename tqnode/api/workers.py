"""The registry of workers: registered, heard from, steered, let go."""

from tq import wire
from tqnode.api.call import Call, Reply, json_reply
from tqnode.api.convert import json_part
from tqnode.api.decode import Decoder, within
from tqnode.api.logs import lines_of
from tqnode.api.route import Route
from tqnode.api.stamps import stamp, stamp_or_none
from tqnode.errors import BadRequest
from tqnode.queue.lease import HeldLease
from tqnode.queue.logs import NewLines
from tqnode.queue.workers import WorkerRow, WorkerSpec

_new = Decoder(wire.NewWorker)
_heartbeat = Decoder(wire.WorkerHeartbeat)

_UNKNOWN = ["worker_not_found"]


async def register(call: Call) -> Reply:
    """Gives a worker its id."""
    new = await call.json(_new)
    conversion = call.context.conversion
    spec = WorkerSpec(
        name=conversion.name(new.name, "name"),
        host=None if new.host is None else conversion.name(new.host, "host"),
        pid=new.pid,
        queues=conversion.names(new.queues, "queues"),
        kinds=conversion.names(new.kinds, "kinds"),
        concurrency=new.concurrency,
        version=None if new.version is None else conversion.name(new.version, "version"),
    )
    worker = await call.context.queue.registry.register(spec)
    heartbeat_s = call.context.config.worker_heartbeat_s
    return json_reply(201, wire.Registered(id=worker.id, state=_state(worker), heartbeat_s=heartbeat_s))


async def heartbeat(call: Call) -> Reply:
    """A sign of life for the worker and all its leases."""
    asked = await call.json(_heartbeat)
    progress_max = call.context.config.progress_bytes_max
    held: list[HeldLease] = []
    lines: list[NewLines] = []
    for index, lease in enumerate(asked.leases):
        try:
            progress = json_part(lease.progress, "progress", progress_max)
        except BadRequest as error:
            raise within(error, f"leases[{index}]") from None
        held.append(HeldLease(id=lease.id, token=lease.token, progress=progress))
        if lease.log is not None:
            lines.append(lines_of(lease.id, lease.token, lease.log))
    state, answers = await call.context.queue.registry.heartbeat(call.uuid(), held, lines=lines)
    return json_reply(
        200,
        wire.WorkerHeartbeatAnswer(
            state=state,  # type: ignore[arg-type]  # as in _state
            leases=[
                wire.LeaseStatus(
                    id=answer.id,
                    status=answer.status,  # type: ignore[arg-type]  # the core knows these three alone
                    lease_expires_at=stamp_or_none(answer.lease_expires_at_ms),
                )
                for answer in answers
            ],
        ),
    )


async def read_all(call: Call) -> Reply:
    """Every worker that was heard from lately."""
    workers = [_worker_of(worker) for worker in await call.context.queue.registry.all()]
    return json_reply(200, wire.Workers(workers=workers))


async def run(call: Call) -> Reply:
    """Takes back ``quiet`` or ``terminate``."""
    return json_reply(200, _worker_of(await call.context.queue.registry.steer(call.uuid(), "run")))


async def quiet(call: Call) -> Reply:
    """Tells a worker to claim nothing more."""
    return json_reply(200, _worker_of(await call.context.queue.registry.steer(call.uuid(), "quiet")))


async def terminate(call: Call) -> Reply:
    """Tells a worker to end."""
    return json_reply(200, _worker_of(await call.context.queue.registry.steer(call.uuid(), "terminate")))


async def forget(call: Call) -> Reply:
    """A worker says good-bye."""
    await call.context.queue.registry.forget(call.uuid())
    return Reply(204, b"", ())


def _state(worker: WorkerRow) -> wire.WorkerState:
    return worker.state  # type: ignore[return-value]  # the database's CHECK allows these three alone


def _worker_of(worker: WorkerRow) -> wire.Worker:
    return wire.Worker(
        id=worker.id,
        name=worker.name,
        state=_state(worker),
        started_at=stamp(worker.started_at_ms),
        last_heartbeat_at=stamp(worker.heartbeat_at_ms),
        concurrency=worker.concurrency,
        host=worker.host,
        pid=worker.pid,
        queues=list(worker.queues),
        kinds=list(worker.kinds),
        version=worker.version,
        running=worker.running,
    )


ROUTES = [
    Route(
        method="POST",
        path="/v1/workers",
        handler=register,
        name="register_worker",
        about="Register a worker, once per boot of its process.",
        body=wire.NewWorker,
        answers={201: wire.Registered},
    ),
    Route(
        method="GET",
        path="/v1/workers",
        handler=read_all,
        name="list_workers",
        about="All workers that were heard from lately.",
        answers={200: wire.Workers},
    ),
    Route(
        method="POST",
        path="/v1/workers/{id}/heartbeat",
        handler=heartbeat,
        name="worker_heartbeat",
        about="One heartbeat for the worker and all its leases; says what to do with each.",
        body=wire.WorkerHeartbeat,
        answers={200: wire.WorkerHeartbeatAnswer},
        errors=_UNKNOWN,
    ),
    Route(
        method="POST",
        path="/v1/workers/{id}/run",
        handler=run,
        name="run_worker",
        about="Let a quiet worker claim again.",
        answers={200: wire.Worker},
        errors=_UNKNOWN,
    ),
    Route(
        method="POST",
        path="/v1/workers/{id}/quiet",
        handler=quiet,
        name="quiet_worker",
        about="Tell a worker, at its next heartbeat, to claim nothing more and finish what it holds.",
        answers={200: wire.Worker},
        errors=_UNKNOWN,
    ),
    Route(
        method="POST",
        path="/v1/workers/{id}/terminate",
        handler=terminate,
        name="terminate_worker",
        about="Tell a worker, at its next heartbeat, to end.",
        answers={200: wire.Worker},
        errors=_UNKNOWN,
    ),
    Route(
        method="DELETE",
        path="/v1/workers/{id}",
        handler=forget,
        name="forget_worker",
        about="Take a worker off the list; the leases it may hold end by their own deadline.",
        answers={204: None},
        errors=_UNKNOWN,
    ),
]
