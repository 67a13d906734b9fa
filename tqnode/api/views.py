"""From the core's types to the wire's."""

import msgspec
from msgspec import UNSET, Raw, UnsetType

from tq import wire
from tqnode import task as core
from tqnode.api.stamps import stamp, stamp_or_none

_FINAL: dict[str, wire.FinalState] = {state: state for state in ("succeeded", "dead", "cancelled")}
_retry = msgspec.json.Decoder(wire.RetryPolicy).decode


def raw(value: bytes | None) -> Raw | UnsetType:
    """Stored JSON, to be sent as it is; absent stays absent."""
    return UNSET if value is None else Raw(value)


def seconds(ms: int) -> float:
    """Milliseconds as seconds."""
    return ms / 1000


def seconds_or_none(ms: int | None) -> float | None:
    """The same of what may be absent."""
    return None if ms is None else ms / 1000


def retry_of(stored: bytes | None) -> wire.RetryPolicy | None:
    """A stored retry policy."""
    return None if stored is None else _retry(stored)


def task_of(task: core.Task, *, bodies: bool = True, duplicate: bool = False) -> wire.Task:
    """A stored task as it is read.

    Args:
        task: the core's.
        bodies: whether payload and result are part of it.
        duplicate: whether an enqueue found it instead of making one.
    """
    return wire.Task(
        id=task.id,
        queue=task.queue,
        kind=task.kind,
        state=task.state.value,
        reason=task.reason,
        priority=task.priority,
        created_at=stamp(task.created_at_ms),
        run_at=stamp(task.run_at_ms),
        started_at=stamp_or_none(task.started_at_ms),
        finished_at=stamp_or_none(task.finished_at_ms),
        expires_at=stamp_or_none(task.expires_at_ms),
        lease_expires_at=stamp_or_none(task.lease_expires_at_ms),
        cancel_requested_at=stamp_or_none(task.cancel_requested_at_ms),
        attempt=task.attempt,
        max_attempts=task.max_attempts,
        crashes=task.crashes,
        lease_s=seconds(task.lease_ms),
        timeout_s=seconds_or_none(task.timeout_ms),
        worker=task.worker,
        attempted_by=list(task.attempted_by),
        unique_key=task.unique_key,
        tags=list(task.tags),
        payload=raw(task.payload) if bodies else UNSET,
        meta=raw(task.meta),
        retry=retry_of(task.retry),
        result=raw(task.result) if bodies else UNSET,
        progress=raw(task.progress),
        errors=[error_of(error) for error in task.errors],
        duplicate=duplicate,
        after=list(task.after),
        after_policy=None if task.needs is None else task.needs.value,
        pending=task.pending,
        webhook=webhook_of(task.webhook),
        limit_key=task.limit_key,
        batch=task.batch,
        result_ttl_s=seconds_or_none(task.result_ttl_ms),
        result_expired=task.result_expired,
    )


def webhook_of(hook: core.Webhook | None) -> wire.TaskWebhook | None:
    """Where a task's end is told."""
    if hook is None:
        return None
    on = [_FINAL[state] for state in hook.on]
    return wire.TaskWebhook(
        endpoint=hook.endpoint,
        url=hook.url,
        secret=hook.secret,
        on=on,
        max_attempts=hook.max_attempts,
        retry=retry_of(hook.retry),
    )


def given_of(given: core.Given | None) -> wire.Given | None:
    """What a new task has from its queue's settings."""
    if given is None:
        return None
    return wire.Given(
        priority=given.priority,
        max_attempts=given.max_attempts,
        lease_s=seconds_or_none(given.lease_ms),
        retry=retry_of(given.retry),
        timeout_s=seconds_or_none(given.timeout_ms),
    )


def error_of(error: core.TaskError) -> wire.TaskError:
    """One failed attempt."""
    return wire.TaskError(
        type=error.type,
        message=error.message,
        trace=error.trace,
        attempt=error.attempt,
        at=stamp(error.at_ms),
    )


def claimed_of(task: core.ClaimedTask) -> wire.ClaimedTask:
    """A task in its worker's hands."""
    # By position: by name it takes three times as long, and a claim's answer is little else.
    return wire.ClaimedTask(
        task.id,
        task.token,
        task.queue,
        task.kind,
        Raw(task.payload),
        task.priority,
        task.attempt,
        task.max_attempts,
        task.lease_ms / 1000,
        stamp(task.lease_expires_at_ms),
        stamp(task.created_at_ms),
        stamp(task.run_at_ms),
        task.crashes,
        seconds_or_none(task.timeout_ms),
        list(task.tags),
        raw(task.meta),
        [input_of(one) for one in task.inputs] if task.inputs else [],
        task.inputs_truncated,
        task.limit_key,
        task.batch,
    )


def input_of(one: core.Input) -> wire.Input:
    """What a parent came to."""
    return wire.Input(
        id=one.id, kind=one.kind, state=one.state.value, result=raw(one.result), left_out=one.left_out
    )


def finished_of(finished: core.Finished) -> wire.Finished:
    """Where a finish took a task."""
    return wire.Finished(
        id=finished.id,
        state=finished.state.value,
        reason=finished.reason,
        run_at=stamp_or_none(finished.run_at_ms),
        then=list(finished.then),
    )
