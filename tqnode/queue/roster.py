"""Which queues there are: made by their first task or by settings, forgotten when others need room."""

from collections.abc import Iterable

from tqnode.errors import QueueFull
from tqnode.sql import statement
from tqnode.store.tx import Tx

_FIND_EMPTY_QUEUES = statement("find_empty_queues")
_DROP_QUEUE = statement("drop_queue")
_DROP_TALLIES = statement("drop_tallies")
_DROP_TURNS = statement("drop_turns")
_COUNT_QUEUES = statement("count_queues")
_ADD_QUEUE = statement("add_queue")


def add(tx: Tx, name: str, *, queues_max: int, wanted: Iterable[str]) -> None:
    """Makes a queue.

    Args:
        name: one that is not there.
        queues_max: how many there may be.
        wanted: those that are not to be forgotten for it.

    Raises:
        QueueFull: there are too many, and none of them is empty.
    """
    (queues,) = tx.one(_COUNT_QUEUES) or (0,)
    if queues >= queues_max and not _drop_empty(tx, wanted):
        raise QueueFull(
            f"there are {queues} queues already, the most allowed",
            retry_after_s=60.0,
            field="queues_max",
            limit=queues_max,
        )
    tx.run(_ADD_QUEUE, {"queue": name, "now_ms": tx.now_ms})


def _drop_empty(tx: Tx, wanted: Iterable[str]) -> int:
    """Forgets the queues without a task that nobody told anything, but for the wanted ones; how many.

    Without that, names that are used once would use up the number of queues for good.
    """
    # What this group did is not in the tallies yet.
    touched = {move[0] for move in tx.effects.moves} | {*wanted}
    empty = [name for (name,) in tx.all(_FIND_EMPTY_QUEUES) if name not in touched]
    for name in empty:
        tx.run(_DROP_QUEUE, {"queue": name})
        tx.run(_DROP_TALLIES, {"queue": name})
        tx.run(_DROP_TURNS, {"queue": name})
        tx.depths.pop(name, None)
    return len(empty)
