"""Tasks: made, read, cancelled, retried, deleted."""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from tq import wire
from tqnode import ids
from tqnode.api.call import Call, Reply, json_reply
from tqnode.api.decode import Decoder, within, without_place
from tqnode.api.dependencies import DEPENDENCY_ERRORS
from tqnode.api.errors import problem_of
from tqnode.api.filters import LIST_PARAMETERS, list_query
from tqnode.api.hooks import WEBHOOK_ERRORS
from tqnode.api.past import AT, PAST_ERRORS, queue_at
from tqnode.api.query import flag, moment, query_of, seconds
from tqnode.api.queues import QUOTA_ERRORS
from tqnode.api.route import Parameter, Route
from tqnode.api.stamps import stamp, stamp_or_none
from tqnode.api.views import given_of, retry_of, seconds_or_none, task_of, webhook_of
from tqnode.api.views import seconds as in_seconds
from tqnode.errors import BadRequest, Draining, IdempotencyMismatch, InvalidField, TqnodeError
from tqnode.task import Enqueued, Idempotency, TaskSpec

_one = Decoder(wire.NewTask)
_many = Decoder(list[wire.NewTask])
_parts = Decoder(list[msgspec.Raw])
_WAIT = Parameter(
    name="wait_s",
    schema={"type": "number", "minimum": 0, "default": 0},
    about="Answer when the task has ended, or as it stands after so long.",
)
_KEY = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,198}[\x21-\x7e]|[\x21-\x7e]")

IDEMPOTENCY_KEY = Parameter(
    name="Idempotency-Key",
    place="header",
    schema={"type": "string", "minLength": 1, "maxLength": 200},
    about="A repeated request with the same key and body gets the same answer and makes nothing.",
)


async def enqueue(call: Call) -> Reply:
    """One task from an object, many from an array."""
    body = await call.body()
    await call.judge(body)
    partial = bool(call.scope["query_string"]) and flag(query_of(call.scope, ("partial",)), "partial")
    idempotency = _idempotency(call, body, partial=partial)
    if body[:1] == b"[" or body.lstrip()[:1] == b"[":
        return await _enqueue_many(call, body, idempotency, partial=partial)
    new = _one(body)
    spec = call.context.conversion.spec(new, call.context.clock.now_ms())
    try:
        (enqueued,) = await call.context.queue.enqueue([spec], idempotency=idempotency)
    except InvalidField as error:
        raise without_place(error) from None
    if enqueued.duplicate:
        return await _survivor(call, enqueued)
    return json_reply(201, _made(new, spec, enqueued))


async def _survivor(call: Call, enqueued: Enqueued) -> Reply:
    """The task that an enqueue found instead of making one."""
    task = await call.context.queue.get(enqueued.id)
    return json_reply(200, task_of(task, duplicate=True))


def _made(new: wire.NewTask, spec: TaskSpec, enqueued: Enqueued) -> wire.Task:
    """A fresh task, told from what was sent: what the client knows already is not echoed."""
    created_at_ms = ids.time_ms_of(enqueued.id)
    created_at = stamp(created_at_ms)
    run_at_ms = created_at_ms if enqueued.run_at_ms is None else enqueued.run_at_ms
    given, retry = enqueued.given, new.retry
    if given is not None:
        said = {name: value for name, value in msgspec.structs.asdict(given).items() if value is not None}
        spec = msgspec.structs.replace(spec, **said)
        retry = retry_of(given.retry) or retry
    return wire.Task(
        id=enqueued.id,
        queue=spec.queue,
        kind=spec.kind,
        state=enqueued.state.value,
        priority=spec.priority,
        created_at=created_at,
        run_at=created_at if run_at_ms == created_at_ms else stamp(run_at_ms),
        attempt=0,
        max_attempts=spec.max_attempts,
        lease_s=in_seconds(spec.lease_ms),
        tags=list(spec.tags),
        retry=retry,
        timeout_s=seconds_or_none(spec.timeout_ms),
        expires_at=stamp_or_none(spec.expires_at_ms),
        unique_key=spec.unique_key,
        limit_key=spec.limit_key,
        after=[ids.text(parent) for parent in spec.after if isinstance(parent, bytes)],
        after_policy=new.after_policy if new.after else None,
        webhook=webhook_of(spec.webhook),
        given=given_of(given),
        result_ttl_s=seconds_or_none(spec.result_ttl_ms),
    )


async def _enqueue_many(call: Call, body: bytes, idempotency: Idempotency | None, *, partial: bool) -> Reply:
    now_ms = call.context.clock.now_ms()
    if partial:
        return await _enqueue_partial(call, _parts(body), now_ms, idempotency)
    tasks = _many(body)
    _judge_size(call, tasks)
    specs = call.context.conversion.specs(tasks, now_ms)
    made = await call.context.queue.enqueue(specs, idempotency=idempotency)
    return json_reply(201, wire.EnqueuedMany(results=[_row(one) for one in made]))


async def _enqueue_partial(
    call: Call, parts: list[msgspec.Raw], now_ms: int, idempotency: Idempotency | None
) -> Reply:
    """Each task on its own: one that is refused leaves its problem in its place."""
    _judge_size(call, parts)
    rows: list[wire.Enqueued | None] = []
    specs: list[TaskSpec] = []
    for index, part in enumerate(parts):
        try:
            specs.append(call.context.conversion.spec(_one(part), now_ms))
            rows.append(None)
        except BadRequest as error:
            rows.append(wire.Enqueued(error=problem_of(within(error, f"[{index}]"))))
    made = await call.context.queue.enqueue_partial(specs, idempotency=idempotency) if specs else []
    if len(made) != len(specs):
        raise IdempotencyMismatch("since this Idempotency-Key came first, time has made a task invalid")
    rest = iter(made)
    results = [row or _row(next(rest), index) for index, row in enumerate(rows)]
    return json_reply(201, wire.EnqueuedMany(results=results))


def _row(made: Enqueued | TqnodeError, index: int = 0) -> wire.Enqueued:
    if isinstance(made, Enqueued):
        given = given_of(made.given)
        return wire.Enqueued(id=made.id, state=made.state.value, duplicate=made.duplicate, given=given)
    if isinstance(made, InvalidField):
        made = within(without_place(made), f"[{index}]")
    return wire.Enqueued(error=problem_of(made))


def _judge_size(call: Call, tasks: Sequence[Any]) -> None:
    limit = call.context.config.batch_max
    if len(tasks) > limit:
        raise InvalidField(f"a request may bring {limit} tasks", limit=limit, code="batch_too_large")
    if not tasks:
        raise InvalidField("the array is empty: nothing to enqueue")


def _idempotency(call: Call, body: bytes, *, partial: bool) -> Idempotency | None:
    if call.idempotency_key is None:
        return None
    # The same tasks asked for in another way are another request.
    return idempotency_of(call, hashlib.sha256(b"partial\n" + body if partial else body).digest())


def idempotency_of(call: Call, digest: bytes) -> Idempotency | None:
    """The request's Idempotency-Key with the digest of what it asks for; None without one.

    Raises:
        InvalidField: no key is like that.
    """
    key = call.idempotency_key
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise InvalidField("must be 1 to 200 printable ASCII characters", field="idempotency-key", limit=200)
    return Idempotency(key, digest)


async def read(call: Call) -> Reply:
    """One task, whole; when it has ended, if it is waited for."""
    at_ms = None
    if call.scope["query_string"]:
        query = query_of(call.scope, (AT.name, _WAIT.name))
        at_ms = moment(query, AT.name)
        wait_s = seconds(query, _WAIT.name, high=call.context.config.read_wait_s_max)
        if wait_s and at_ms is not None:
            raise InvalidField("the past has ended: nothing in it can be waited for", field=_WAIT.name)
        if wait_s:
            return await _read_ended(call, wait_s)
    async with queue_at(call.context, at_ms) as queue:
        return json_reply(200, task_of(await queue.get(call.uuid())))


async def _read_ended(call: Call, wait_s: float) -> Reply:
    context, task_id = call.context, call.uuid()
    queue = context.queue
    try:
        task = await context.waiting.run(queue.results.wait(task_id, wait_s=wait_s), call.receive)
    except Draining:
        task = await queue.get(task_id)
    return json_reply(200, task_of(task))


async def read_page(call: Call) -> Reply:
    """A page of tasks, newest first."""
    query = list_query(call.scope, call.context.config)
    async with queue_at(call.context, query.at_ms) as queue:
        page = await queue.page(query.filters, limit=query.limit, cursor=query.cursor, bodies=query.bodies)
    tasks = [task_of(task, bodies=query.bodies) for task in page.tasks]
    return json_reply(200, wire.TaskPage(tasks=tasks, next_cursor=page.next_cursor))


async def cancel(call: Call) -> Reply:
    """Cancels a waiting task at once; a running one is asked to stop at its next heartbeat."""
    return json_reply(200, task_of(await call.context.queue.cancel(call.uuid())))


async def retry(call: Call) -> Reply:
    """Makes a scheduled or final task ready."""
    return json_reply(200, task_of(await call.context.queue.retry(call.uuid())))


async def delete(call: Call) -> Reply:
    """Deletes a task that no worker holds."""
    await call.context.queue.delete(call.uuid())
    return Reply(204, b"", ())


ROUTES = [
    Route(
        method="POST",
        path="/v1/tasks",
        handler=enqueue,
        name="enqueue",
        about="Enqueue one task (an object) or many (an array: all or nothing, unless partial).",
        body=(wire.NewTask, list[wire.NewTask]),
        answers={201: (wire.Task, wire.EnqueuedMany), 200: wire.Task},
        parameters=[
            Parameter(
                name="partial",
                schema={"type": "boolean", "default": False},
                about="Of an array, enqueue what can be; the rest comes back with an error in its place.",
            ),
            IDEMPOTENCY_KEY,
        ],
        errors=[
            "batch_too_large",
            *DEPENDENCY_ERRORS,
            "unique_conflict",
            "idempotency_mismatch",
            *QUOTA_ERRORS,
            *WEBHOOK_ERRORS,
        ],
    ),
    Route(
        method="GET",
        path="/v1/tasks",
        handler=read_page,
        name="list_tasks",
        about="A page of tasks, newest first; several values of queue, state and kind mean any of them.",
        answers={200: wire.TaskPage},
        parameters=LIST_PARAMETERS,
        errors=["invalid_cursor", *PAST_ERRORS],
    ),
    Route(
        method="GET",
        path="/v1/tasks/{id}",
        handler=read,
        name="get_task",
        about="One task, with its payload, result and errors; at once, or when it has ended.",
        answers={200: wire.Task},
        parameters=[AT, _WAIT],
        errors=["task_not_found", *PAST_ERRORS],
    ),
    Route(
        method="DELETE",
        path="/v1/tasks/{id}",
        handler=delete,
        name="delete_task",
        about="Delete a task that is not running.",
        answers={204: None},
        errors=["task_not_found", "wrong_state"],
    ),
    Route(
        method="POST",
        path="/v1/tasks/{id}/cancel",
        handler=cancel,
        name="cancel_task",
        about="Cancel a waiting task at once; ask a running one's worker to stop at its next heartbeat.",
        answers={200: wire.Task},
        errors=["task_not_found"],
    ),
    Route(
        method="POST",
        path="/v1/tasks/{id}/retry",
        handler=retry,
        name="retry_task",
        about="Make a scheduled or final task ready now, with one more attempt if they are spent.",
        answers={200: wire.Task},
        errors=["task_not_found", "unique_conflict", "wrong_state"],
    ),
]
