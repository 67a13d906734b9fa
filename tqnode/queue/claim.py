"""Hands ready tasks to a worker, under a lease."""

from operator import itemgetter

import msgspec

from tqnode import ids
from tqnode.clock import Rng
from tqnode.queue import token
from tqnode.queue.rows import texts_of
from tqnode.sql import statement
from tqnode.store.tx import Row, TaskEvent, Tx
from tqnode.task import Ask, ClaimedTask, TaskState

_CLAIM = statement("claim_tasks")
_CLAIM_OF_KINDS = statement("claim_tasks_of_kinds")
_READ_BODY = statement("read_body")
_FIND_QUEUE = statement("find_queue")
_FIND_WORKER_STATE = statement("find_worker_state")

# RETURNING gives rows in no promised order: priority first, then run_at, then seq.
_run_at_and_seq = itemgetter(4, 0)
_priority = itemgetter(3)


def claim(tx: Tx, ask: Ask, rng: Rng) -> list[ClaimedTask]:
    """Claims up to ``ask.max`` tasks, best first; none for a worker that was told to be quiet."""
    steered = tx.one(_FIND_WORKER_STATE, {"id": ask.worker})
    if steered is not None and steered[0] != "run":
        return []
    claimed: list[ClaimedTask] = []
    secret = rng.bits(token.SECRET_BITS)
    for queue in ask.queues:
        wanted = ask.max - len(claimed)
        if wanted == 0:
            break
        known = tx.one(_FIND_QUEUE, {"queue": queue})
        if known is None or known[0]:
            continue
        params = {
            "queue": queue,
            "worker": ask.worker,
            "secret": secret,
            "lease_ms": ask.lease_ms,
            "min_priority": ask.min_priority,
            "now_ms": tx.now_ms,
            "max": wanted,
        }
        if ask.kinds is None:
            rows = tx.all(_CLAIM, params)
        else:
            rows = tx.all(_CLAIM_OF_KINDS, params | {"kinds": msgspec.json.encode(ask.kinds).decode()})
        if not rows:
            continue
        rows.sort(key=_run_at_and_seq)
        rows.sort(key=_priority, reverse=True)
        claimed += [_hand_over(tx, queue, secret, row) for row in rows]
        tx.moved(queue, TaskState.READY, TaskState.RUNNING, len(rows))
    return claimed


def _hand_over(tx: Tx, queue: str, secret: int, row: Row) -> ClaimedTask:
    (
        seq,
        packed,
        kind,
        priority,
        run_at_ms,
        grants,
        attempt,
        max_attempts,
        crashes,
        lease_ms,
        timeout_ms,
        created_at_ms,
    ) = row
    payload, meta, tags = tx.all(_READ_BODY, {"seq": seq})[0]
    tx.effects.events.append(TaskEvent(packed, queue, kind, TaskState.RUNNING, tx.now_ms, attempt))
    return ClaimedTask(
        id=ids.text(packed),
        token=token.write(grants, secret),
        queue=queue,
        kind=kind,
        priority=priority,
        attempt=attempt,
        max_attempts=max_attempts,
        crashes=crashes,
        lease_ms=lease_ms,
        lease_expires_at_ms=tx.now_ms + lease_ms,
        timeout_ms=timeout_ms,
        created_at_ms=created_at_ms,
        run_at_ms=run_at_ms,
        payload=payload,
        meta=meta,
        tags=texts_of(tags),
    )
