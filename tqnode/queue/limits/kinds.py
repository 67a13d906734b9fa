"""Which tasks come first among those of several kinds, each of which has a line of its own.

Called by claims. No number of tasks of other kinds stands before those that a worker can do.
"""

from collections.abc import Sequence
from functools import partial
from heapq import heapify, heappop, heapreplace
from typing import Any

import msgspec

from tqnode.queue.limits.line import Line
from tqnode.settings import PRIORITY_MAX
from tqnode.sql import statement
from tqnode.store.tx import Row, Tx

_HEADS = statement("find_heads_of_kinds")
_OF_KIND = statement("find_unkeyed")
_KINDS = statement("find_ready_kinds")


def ready_kinds(tx: Tx, queue: str) -> tuple[str, ...]:
    """The kinds that have ready tasks without a key, in the order of their names."""
    return tuple([kind for (kind,) in tx.all(_KINDS, {"queue": queue})])


def first_of(tx: Tx, queue: str, kinds: Sequence[str], *, min_priority: int, wanted: int) -> list[int]:
    """The row numbers of the first ``wanted`` tasks without a key, in the order of claims.

    Args:
        queue: of this queue;
        kinds: of these kinds, each named once;
        min_priority: none below this.
    """
    params: dict[str, Any] = {"queue": queue, "now_ms": tx.now_ms, "low": min_priority, "high": PRIORITY_MAX}
    heads = tx.all(_HEADS, {**params, "kinds": msgspec.json.encode(kinds).decode()})

    def read(kind: str, limit: int) -> list[Row]:
        return tx.all(_OF_KIND, {**params, "kind": kind, "max": limit})

    heap = [((-row[0], row[1], row[2]), row[3]) for row in heads]
    heapify(heap)
    share = wanted // max(1, len(heads)) + 1
    lines: dict[str, Line] = {}
    chosen: list[int] = []
    while heap and len(chosen) < wanted:
        (_, _, seq), kind = heap[0]
        chosen.append(seq)
        line = lines.get(kind)
        if line is None:
            line = lines[kind] = Line(None, partial(read, kind), expected=share, start=1)
        after = line.next() if len(chosen) < wanted else None
        if after is None:
            heappop(heap)
        else:
            heapreplace(heap, ((-after[0], after[1], after[2]), kind))
    return chosen
