"""Takes deliveries back whose deliverer is gone: the node that led before, or this one before it ended."""

from tqnode import ids
from tqnode.queue.moves import Held, Movement, place_in_line_ms
from tqnode.queue.webhooks import QUEUE
from tqnode.sql import statement
from tqnode.store.tx import Tx
from tqnode.task import TaskState

_FIND_RUNNING = statement("find_running_of")


def take_back(tx: Tx, kept: frozenset[str], *, movement: Movement) -> int:
    """Makes running deliveries ready again, without an attempt spent; how many.

    There is one deliverer at a time: what it does not know of, nobody will finish.

    Args:
        kept: ids of those that it has at hand.
        movement: moves the tasks.
    """
    taken = [row for row in tx.all(_FIND_RUNNING, {"queue": QUEUE}) if ids.text(row[1]) not in kept]
    for seq, packed, queue, kind, priority, run_at_ms, attempt, worker in taken:
        held = Held(
            seq=seq,
            packed=packed,
            queue=queue,
            kind=kind,
            state=TaskState.RUNNING,
            priority=priority,
            run_at_ms=run_at_ms,
            attempt=attempt,
            crashes=0,
            worker=worker,
        )
        at_ms = place_in_line_ms(tx, held)
        movement.put_back(tx, held, run_at_ms=at_ms, attempt=attempt - 1, crashes=0, receipt=None)
    return len(taken)
