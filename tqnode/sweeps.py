"""The sweeps: each does up to a limit of its work in one transaction."""

from tqnode.queue.moves import Held, Movement, move
from tqnode.sql import statement
from tqnode.store import Reader, TaskEvent, Tx
from tqnode.task import Reason, TaskState

_FIND_DUE = statement("find_due")
_MAKE_READY = statement("make_ready")
_FIND_OUTDATED = statement("find_outdated")
_DELETE_SILENT = statement("delete_silent_workers")
_SHIFT_HEARTBEATS = statement("shift_heartbeats")
_AGE_HEARTBEATS = statement("age_heartbeats")
_DELETE_OLD_IDEMPOTENCY = statement("delete_old_idempotency")
_PAGES = statement("page_counts")
_NEXT = tuple(
    map(
        statement,
        (
            *("next_due", "next_lease_end", "next_expiry", "next_schedule", "next_settlement"),
            *("next_token", "next_batch_event", "next_batch_cancel", "next_pause_end"),
            *("next_remains", "next_result", "next_bulk"),
        ),
    )
)

FREE_PAGES_KEPT = 256
"""Free pages left in the file for the next tasks; giving back and growing again costs more."""
NEVER_MS = 1 << 62


def make_due_ready(tx: Tx, limit: int) -> int:
    """Tasks whose time has come."""
    rows = tx.all(_FIND_DUE, {"now_ms": tx.now_ms, "limit": limit})
    for seq, packed, queue, kind, priority, attempt in rows:
        move(tx, _MAKE_READY, {"seq": seq})
        tx.moved(queue, TaskState.SCHEDULED, TaskState.READY)
        tx.effects.ready.append((queue, kind, priority))
        tx.effects.events.append(TaskEvent(packed, queue, kind, TaskState.READY, tx.now_ms, attempt))
    return len(rows)


def delete_outdated(tx: Tx, limit: int, *, movement: Movement) -> int:
    """Waiting tasks past their ``expires_at``: cancelled."""
    rows = tx.all(_FIND_OUTDATED, {"now_ms": tx.now_ms, "limit": limit})
    for row in rows:
        held = Held(
            seq=row[0],
            packed=row[1],
            queue=row[2],
            kind=row[3],
            state=TaskState(row[4]),
            priority=row[5],
            run_at_ms=row[6],
            attempt=row[7],
            crashes=0,
            worker=None,
        )
        movement.cancel_found(tx, held, Reason.EXPIRED, receipt=row[8])
    return len(rows)


def drop_silent_workers(tx: Tx, limit: int, *, silent_ms: int) -> int:
    """Workers that sent no heartbeat for ``silent_ms``: out of the registry."""
    return tx.run(_DELETE_SILENT, {"before_ms": tx.now_ms - silent_ms, "limit": limit})


def shift_heartbeats(tx: Tx, *, by_ms: int) -> None:
    """Moves every worker's last sign of life by what the wall clock stepped."""
    tx.run(_SHIFT_HEARTBEATS, {"by_ms": by_ms})


def age_heartbeats(tx: Tx) -> None:
    """Has no worker's last sign of life be one still to come, by a clock that was ahead of this one."""
    tx.run(_AGE_HEARTBEATS, {"now_ms": tx.now_ms})


def delete_old_idempotency(tx: Tx, limit: int, *, age_ms: int) -> int:
    """Idempotency keys older than they are promised to be known."""
    return tx.run(_DELETE_OLD_IDEMPOTENCY, {"before_ms": tx.now_ms - age_ms, "limit": limit})


def give_back_pages(tx: Tx, limit: int) -> int:
    """Free pages beyond a reserve go back to the file system."""
    _, _, free = tx.one(_PAGES) or (0, 0, 0)
    pages: int = min(limit, free - FREE_PAGES_KEPT)
    if pages <= 0:
        return 0
    tx.give_back_pages(pages)
    return pages


def next_moment_ms(reader: Reader, *, began_ms: int) -> int:
    """When the next sweep has something to do, in wall time.

    Args:
        began_ms: when the last one began. A lease that had ended by then and is still there was spared:
            it is looked at again with every tick, not at once.
    """
    moments = [reader.one(sql, {"began_ms": began_ms}) for sql in _NEXT]
    return min((row[0] for row in moments if row and row[0] is not None), default=NEVER_MS)
