"""Batches: made, looked at, added to, closed, cancelled."""

import hashlib
from contextlib import suppress

import msgspec
from msgspec import Raw

from tq import wire
from tqnode.api.call import Call, Reply, json_reply
from tqnode.api.convert import ms_of
from tqnode.api.decode import Decoder, within
from tqnode.api.dependencies import DEPENDENCY_ERRORS
from tqnode.api.hooks import WEBHOOK_ERRORS
from tqnode.api.paging import asked_page, page_parameters
from tqnode.api.query import query_of, seconds
from tqnode.api.route import Parameter, Route
from tqnode.api.stamps import stamp, stamp_or_none
from tqnode.api.tasks import IDEMPOTENCY_KEY, idempotency_of
from tqnode.api.views import retry_of
from tqnode.errors import BadRequest, Draining, InvalidField
from tqnode.queue.batches import Batch, BatchHook, BatchSpec, Made
from tqnode.queue.batches.callbacks import META_KEY
from tqnode.queue.membership import BatchEvent
from tqnode.queue.schedules import Template
from tqnode.task import Idempotency

_new = Decoder(wire.NewBatch)
_tasks = Decoder(list[wire.NewTask])
_WAIT = Parameter(
    name="wait_s",
    schema={"type": "number", "minimum": 0, "default": 0},
    about="Answer when the batch has ended, or as it stands after so long.",
)
_object = msgspec.json.Decoder(dict[str, Raw]).decode

_UNKNOWN = ["batch_not_found"]
_OF_ENQUEUE = [
    "batch_too_large",
    *DEPENDENCY_ERRORS,
    *WEBHOOK_ERRORS,
    "unique_conflict",
    "idempotency_mismatch",
    "queue_full",
]


async def create(call: Call) -> Reply:
    """Makes a batch with its first tasks."""
    body = await call.body()
    await call.judge(body)
    new = _new(body)
    now_ms = call.context.clock.now_ms()
    _judge_size(call, new.tasks, "tasks")
    spec = BatchSpec(
        name=None if new.name is None else call.context.conversion.name(new.name, "name"),
        open=new.open,
        callbacks={
            event: _template(call, task, f"on_{event}", now_ms)
            for event in BatchEvent
            if (task := getattr(new, f"on_{event}")) is not None
        },
        webhook=call.context.hooks.of_batch(new.webhook),
    )
    tasks = call.context.conversion.specs(new.tasks, now_ms, field="tasks")
    try:
        made = await call.context.queue.batcher.create(
            spec, tasks, idempotency=_idempotency(call, b"batch", body)
        )
    except InvalidField as error:
        raise within(error, "tasks") from None
    return json_reply(201, _made_of(made))


async def add(call: Call) -> Reply:
    """Adds tasks to a batch that has not finished."""
    batch_id = call.uuid()
    body = await call.body()
    await call.judge(body)
    new = _tasks(body)
    _judge_size(call, new, "")
    if not new:
        raise InvalidField("the array is empty: nothing to add")
    tasks = call.context.conversion.specs(new, call.context.clock.now_ms())
    idempotency = _idempotency(call, batch_id.encode(), body)
    made = await call.context.queue.batcher.add(batch_id, tasks, idempotency=idempotency)
    return json_reply(201, _made_of(made))


def _judge_size(call: Call, tasks: list[wire.NewTask], field: str) -> None:
    limit = call.context.config.batch_max
    if len(tasks) > limit:
        raise InvalidField(
            f"a request may bring {limit} tasks", field=field or None, limit=limit, code="batch_too_large"
        )


def _idempotency(call: Call, what: bytes, body: bytes) -> Idempotency | None:
    # The same tasks enqueued for themselves, or in another batch, are another request.
    return idempotency_of(call, hashlib.sha256(what + b"\n" + body).digest())


def _template(call: Call, task: wire.CallbackTask, field: str, now_ms: int) -> Template:
    """
    Raises:
        InvalidField: a field of the task is beyond this node's limits.
    """
    fields = {name: getattr(task, name) for name in task.__struct_fields__ if name != "expires_s"}
    try:
        spec = call.context.conversion.spec(wire.NewTask(**fields), now_ms)
        if spec.meta is not None and META_KEY in _object(spec.meta):
            raise InvalidField("the batch is told under this key", field=f"meta.{META_KEY}")
    except BadRequest as error:
        raise within(error, field) from None
    return Template(spec=spec, expires_ms=None if task.expires_s is None else max(1, ms_of(task.expires_s)))


def _made_of(made: Made) -> wire.EnqueuedBatch:
    results = [wire.Enqueued(id=one.id, state=one.state.value, duplicate=one.duplicate) for one in made.tasks]
    return wire.EnqueuedBatch(id=made.id, results=results)


async def read(call: Call) -> Reply:
    """One batch; when it has ended, if it is waited for."""
    context, batch_id = call.context, call.uuid()
    batcher = context.queue.batcher
    if call.scope["query_string"]:
        query = query_of(call.scope, (_WAIT.name,))
        wait_s = seconds(query, _WAIT.name, high=context.config.read_wait_s_max)
        if wait_s:
            with suppress(Draining):
                waiting = batcher.wait(batch_id, wait_s=wait_s)
                return json_reply(200, _batch_of(await context.waiting.run(waiting, call.receive)))
    return json_reply(200, _batch_of(await batcher.get(batch_id)))


async def read_page(call: Call) -> Reply:
    """A page of batches."""
    limit, cursor = asked_page(call)
    page = await call.context.queue.batcher.page(limit=limit, cursor=cursor)
    rows = [_batch_of(batch) for batch in page.batches]
    return json_reply(200, wire.BatchPage(batches=rows, next_cursor=page.next_cursor))


async def close(call: Call) -> Reply:
    """Lets a batch finish."""
    return json_reply(200, _batch_of(await call.context.queue.batcher.close(call.uuid())))


async def cancel(call: Call) -> Reply:
    """Has what is left of a batch cancelled."""
    return json_reply(200, _batch_of(await call.context.queue.batcher.cancel(call.uuid())))


def _batch_of(batch: Batch) -> wire.Batch:
    callbacks = {
        f"on_{one.event}": wire.Callback(kind=one.kind, queue=one.queue, task=one.task)
        for one in batch.callbacks
    }
    return wire.Batch(
        id=batch.id,
        name=batch.name,
        state=batch.state.value,
        total=batch.total,
        pending=batch.pending,
        succeeded=batch.succeeded,
        dead=batch.dead,
        cancelled=batch.cancelled,
        created_at=stamp(batch.created_at_ms),
        failed_at=stamp_or_none(batch.failed_at_ms),
        finished_at=stamp_or_none(batch.finished_at_ms),
        succeeded_at=stamp_or_none(batch.succeeded_at_ms),
        cancelled_at=stamp_or_none(batch.cancelled_at_ms),
        webhook=None if batch.webhook is None else _webhook_of(batch.webhook),
        **callbacks,
    )


def _webhook_of(hook: BatchHook) -> wire.BatchWebhook:
    return wire.BatchWebhook(
        endpoint=hook.to.endpoint,
        url=hook.to.url,
        secret=hook.to.secret,
        on=[event.value for event in hook.on],
        max_attempts=hook.to.max_attempts,
        retry=retry_of(hook.to.retry),
    )


ROUTES = [
    Route(
        method="POST",
        path="/v1/batches",
        handler=create,
        name="create_batch",
        about="Make a batch with its first tasks and its callbacks: all of it or nothing.",
        body=wire.NewBatch,
        answers={201: wire.EnqueuedBatch},
        parameters=[IDEMPOTENCY_KEY],
        errors=_OF_ENQUEUE,
    ),
    Route(
        method="GET",
        path="/v1/batches",
        handler=read_page,
        name="list_batches",
        about="A page of batches, newest first.",
        answers={200: wire.BatchPage},
        parameters=page_parameters("Batches"),
        errors=["invalid_cursor"],
    ),
    Route(
        method="GET",
        path="/v1/batches/{id}",
        handler=read,
        name="get_batch",
        about="One batch: how its members stand, and which callbacks have come.",
        answers={200: wire.Batch},
        parameters=[_WAIT],
        errors=_UNKNOWN,
    ),
    Route(
        method="POST",
        path="/v1/batches/{id}/tasks",
        handler=add,
        name="add_to_batch",
        about="Add tasks to a batch that has not finished: all or none.",
        body=list[wire.NewTask],
        answers={201: wire.EnqueuedBatch},
        parameters=[IDEMPOTENCY_KEY],
        errors=[*_UNKNOWN, "batch_finished", "batch_cancelled", *_OF_ENQUEUE],
    ),
    Route(
        method="POST",
        path="/v1/batches/{id}/close",
        handler=close,
        name="close_batch",
        about="Let an open batch finish once its members have ended; a closed one stays as it is.",
        answers={200: wire.Batch},
        errors=_UNKNOWN,
    ),
    Route(
        method="POST",
        path="/v1/batches/{id}/cancel",
        handler=cancel,
        name="cancel_batch",
        about="Close a batch, cancel its waiting members and ask those of running ones to stop.",
        answers={200: wire.Batch},
        errors=_UNKNOWN,
    ),
]
