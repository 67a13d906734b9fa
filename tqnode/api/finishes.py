"""What a worker says of a task it holds: heartbeat, complete, fail, snooze; one by one or many at once."""

from tq import wire
from tqnode.api.call import Call, Reply, checked_uuid, json_reply
from tqnode.api.convert import Conversion, json_part
from tqnode.api.decode import Decoder, within
from tqnode.api.dependencies import DEPENDENCY_ERRORS
from tqnode.api.errors import problem_of
from tqnode.api.hooks import WEBHOOK_ERRORS
from tqnode.api.logs import lines_of
from tqnode.api.route import Route
from tqnode.api.stamps import stamp, stamp_or_none
from tqnode.api.views import finished_of
from tqnode.config import Config
from tqnode.errors import BadRequest, InvalidField, TqnodeError
from tqnode.queue.logs import NewLines
from tqnode.task import Complete, Fail, Finish, Finished, Snooze, TaskState

_heartbeat = Decoder(wire.Heartbeat)
_complete = Decoder(wire.Complete)
_fail = Decoder(wire.Fail)
_snooze = Decoder(wire.Snooze)
_outcomes = Decoder(wire.Outcomes)

_FENCED = ["task_not_found", "lease_lost"]


async def heartbeat(call: Call) -> Reply:
    """Resets the lease, and says whether the task shall stop."""
    asked = await call.json(_heartbeat)
    context = call.context
    lease = await context.queue.heartbeat(
        call.uuid(),
        asked.token,
        lease_ms=context.conversion.lease_ms(asked.lease_s),
        progress=json_part(asked.progress, "progress", context.config.progress_bytes_max),
        lines=() if asked.log is None else (lines_of(call.uuid(), asked.token, asked.log),),
    )
    answer = wire.HeartbeatAnswer(lease_expires_at=stamp(lease.lease_expires_at_ms), cancel=lease.cancel)
    return json_reply(200, answer)


async def complete(call: Call) -> Reply:
    """The attempt succeeded."""
    asked = await call.json(_complete)
    return await _finish(call, asked)


async def fail(call: Call) -> Reply:
    """The attempt failed."""
    asked = await call.json(_fail)
    return await _finish(call, asked)


async def snooze(call: Call) -> Reply:
    """The task is given back."""
    asked = await call.json(_snooze)
    return await _finish(call, asked)


async def _finish(call: Call, asked: wire.Complete | wire.Fail | wire.Snooze) -> Reply:
    context = call.context
    finish = _finish_of(call.uuid(), asked, context.config, context.conversion, context.clock.now_ms())
    (answer,) = await context.queue.finish([finish])
    if isinstance(answer, TqnodeError):
        raise answer
    return json_reply(200, finished_of(answer))


async def finish_many(call: Call) -> Reply:
    """Many finishes, each on its own, answered in order."""
    asked = (await call.json(_outcomes)).outcomes
    context = call.context
    limit = context.config.batch_max
    if len(asked) > limit:
        raise InvalidField(
            f"a request may bring {limit} outcomes", field="outcomes", limit=limit, code="batch_too_large"
        )
    followers = sum(len(outcome.then) for outcome in asked if isinstance(outcome, wire.Complete))
    if followers > limit:
        raise InvalidField(
            f"a request may bring {limit} tasks in all its then",
            field="outcomes",
            limit=limit,
            code="batch_too_large",
        )
    now_ms = context.clock.now_ms()
    rows: list[wire.OutcomeAnswer | None] = []
    finishes: list[Finish] = []
    lines: list[NewLines] = []
    for index, outcome in enumerate(asked):
        try:
            task_id = checked_uuid(outcome.id)
            finishes.append(_finish_of(task_id, outcome, context.config, context.conversion, now_ms))
            rows.append(None)
            if outcome.log is not None:
                lines.append(lines_of(task_id, outcome.token, outcome.log))
        except BadRequest as error:
            problem = problem_of(within(error, f"outcomes[{index}]"))
            rows.append(wire.OutcomeAnswer(id=outcome.id, error=problem))
    answers = await context.queue.finish(finishes, lines=lines) if finishes else []
    made = iter(zip(finishes, answers, strict=True))
    results = [row or _row(*next(made), index) for index, row in enumerate(rows)]
    return json_reply(200, wire.OutcomesAnswer(results=results))


def _row(asked: Finish, answer: Finished | TqnodeError, index: int) -> wire.OutcomeAnswer:
    if isinstance(answer, BadRequest):
        answer = within(answer, f"outcomes[{index}]")
    if isinstance(answer, TqnodeError):
        return wire.OutcomeAnswer(id=asked.id, error=problem_of(answer))
    if answer.state is TaskState.SUCCEEDED and not answer.then:
        # Nearly all are like that, and there are many of them in an answer.
        return wire.OutcomeAnswer(id=answer.id, state="succeeded")
    return wire.OutcomeAnswer(
        id=answer.id,
        state=answer.state.value,
        reason=answer.reason,
        run_at=stamp_or_none(answer.run_at_ms),
        then=list(answer.then),
    )


def _finish_of(
    task_id: str,
    asked: wire.Complete | wire.Fail | wire.Snooze,
    config: Config,
    conversion: Conversion,
    now_ms: int,
) -> Finish:
    if isinstance(asked, wire.Complete):
        return Complete(
            id=task_id,
            token=asked.token,
            result=json_part(asked.result, "result", config.result_bytes_max),
            then=tuple(conversion.specs(asked.then, now_ms, field="then")) if asked.then else (),
        )
    if isinstance(asked, wire.Snooze):
        return Snooze(id=task_id, token=asked.token, delay_ms=conversion.delay_ms(asked.delay_s))
    error = asked.error or wire.Failure()
    return Fail(
        id=task_id,
        token=asked.token,
        type=error.type[: config.error_type_chars_max],
        message=error.message[: config.error_message_chars_max],
        trace=error.trace[: config.error_trace_chars_max],
        retry=asked.retry,
        delay_ms=None if asked.delay_s is None else conversion.delay_ms(asked.delay_s),
    )


ROUTES = [
    Route(
        method="POST",
        path="/v1/tasks/{id}/heartbeat",
        handler=heartbeat,
        name="heartbeat",
        about="Reset the lease to now plus lease_s, report progress, and learn of a cancel.",
        body=wire.Heartbeat,
        answers={200: wire.HeartbeatAnswer},
        errors=_FENCED,
    ),
    Route(
        method="POST",
        path="/v1/tasks/{id}/complete",
        handler=complete,
        name="complete",
        about="End the attempt as a success, with a result and tasks to enqueue in the same transaction.",
        body=wire.Complete,
        answers={200: wire.Finished},
        errors=[*_FENCED, *DEPENDENCY_ERRORS, *WEBHOOK_ERRORS, "unique_conflict", "queue_full"],
    ),
    Route(
        method="POST",
        path="/v1/tasks/{id}/fail",
        handler=fail,
        name="fail",
        about="End the attempt as a failure; the task's retry policy decides when it runs again.",
        body=wire.Fail,
        answers={200: wire.Finished},
        errors=_FENCED,
    ),
    Route(
        method="POST",
        path="/v1/tasks/{id}/snooze",
        handler=snooze,
        name="snooze",
        about="Give the task back for delay_s without spending the attempt.",
        body=wire.Snooze,
        answers={200: wire.Finished},
        errors=_FENCED,
    ),
    Route(
        method="POST",
        path="/v1/outcomes",
        handler=finish_many,
        name="finish_many",
        about="Many finishes in one request, each on its own, answered in order.",
        body=wire.Outcomes,
        answers={200: wire.OutcomesAnswer},
        errors=["batch_too_large"],
    ),
]
