"""Hands ready tasks to a worker, under a lease."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from heapq import merge

import msgspec

from tqnode import ids
from tqnode.clock import Rng
from tqnode.queue import token
from tqnode.queue.rows import texts_of
from tqnode.sql import statement
from tqnode.store.tx import Params, Row, TaskEvent, Tx
from tqnode.task import Ask, ClaimedTask, TaskState

_FIND = statement("find_claimable")
_FIND_OF_KIND = statement("find_claimable_of_kind")
_CLAIM_ONE = statement("claim_task")
_CLAIM_MANY = statement("claim_tasks")
_FIND_QUEUE = statement("find_queue")
_FIND_WORKER_STATE = statement("find_worker_state")

PAYLOADS_MAX = 16 * 1024 * 1024
"""Bytes of payload after which a claim takes no further task."""
_PAYLOAD = 12


def claim(tx: Tx, ask: Ask, rng: Rng) -> list[ClaimedTask] | None:
    """Claims up to ``ask.max`` tasks, best first; None for a worker that was told to be quiet.

    Payloads of more than :data:`PAYLOADS_MAX` together end it early: the answer has to fit in memory.
    """
    steered = tx.one(_FIND_WORKER_STATE, {"id": ask.worker})
    if steered is not None and steered[0] != "run":
        return None
    claimed: list[ClaimedTask] = []
    room = PAYLOADS_MAX
    secret = rng.bits(token.SECRET_BITS)
    for queue in ask.queues:
        wanted = ask.max - len(claimed)
        if wanted == 0 or room <= 0:
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
        rows = []
        with ExitStack() as open_rows:
            for row in _best_first(tx, ask.kinds, params, open_rows):
                rows.append(row)
                room -= len(row[_PAYLOAD])
                if len(rows) == wanted or room <= 0:
                    break
        if not rows:
            continue
        # The statement that found them holds nothing up: nobody else writes during the transaction.
        if len(rows) == 1:
            tx.run(_CLAIM_ONE, params | {"seq": rows[0][0]})
        else:
            seqs = msgspec.json.encode([row[0] for row in rows]).decode()
            tx.run(_CLAIM_MANY, params | {"seqs": seqs})
        claimed += [_hand_over(tx, ask, queue, secret, row) for row in rows]
        tx.moved(queue, TaskState.READY, TaskState.RUNNING, len(rows))
    return claimed


def _best_first(tx: Tx, kinds: Sequence[str] | None, params: Params, open_rows: ExitStack) -> Iterable[Row]:
    """The ready tasks of a queue in the order of claims, found one by one."""
    if kinds is None:
        return open_rows.enter_context(closing(tx.each(_FIND, params)))
    # Each kind has its own line, so that no number of tasks of other kinds stands before a worker's own.
    lines = [
        open_rows.enter_context(closing(tx.each(_FIND_OF_KIND, {**params, "kind": kind}))) for kind in kinds
    ]
    return lines[0] if len(lines) == 1 else merge(*lines, key=_rank)


def _rank(row: Row) -> tuple[int, int, int]:
    return -row[3], row[4], row[0]


def _hand_over(tx: Tx, ask: Ask, queue: str, secret: int, row: Row) -> ClaimedTask:
    """The task as it is now; ``row`` is from before its claim."""
    (
        _,
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
        payload,
        meta,
        tags,
    ) = row
    attempt += 1
    if ask.lease_ms is not None:
        lease_ms = ask.lease_ms
    tx.effects.events.append(TaskEvent(packed, queue, kind, TaskState.RUNNING, tx.now_ms, attempt))
    return ClaimedTask(
        id=ids.text(packed),
        token=token.write(grants + 1, secret),
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
        tags=texts_of(tags) if tags else (),
    )
