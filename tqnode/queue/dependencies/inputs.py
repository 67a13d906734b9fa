"""What a claimed task's parents came to, for its worker: read with the claim, within bounds."""

from collections.abc import Iterable, Sequence
from itertools import dropwhile

import msgspec

from tqnode import ids
from tqnode.queue.rows import listed
from tqnode.sql import statement
from tqnode.store.tx import Row, Tx
from tqnode.task import ClaimedTask, Input, TaskState

_READ = statement("read_inputs")
_READ_RESULTS = statement("read_results")

TASK_BYTES_MAX = 1024 * 1024
"""Of all inputs of one task."""
CLAIM_BYTES_MAX = 16 * 1024 * 1024
"""Of all inputs of one claim: the answer has to fit in memory."""
INPUTS_MAX = 10_000
"""Inputs of one claim: more would hold the writer for too long."""
INPUT_BYTES = 128
"""What an input takes besides its result."""


class _Taken:
    """The rows of one task's parents that come along."""

    __slots__ = ("left", "rows", "truncated")

    def __init__(self) -> None:
        self.rows: list[tuple[Row, bool]] = []
        """Each with whether its result is left out."""
        self.left = TASK_BYTES_MAX
        self.truncated = False


def with_inputs(tx: Tx, claimed: Sequence[ClaimedTask]) -> list[ClaimedTask]:
    """The same tasks with their parents, in the order these were enqueued.

    A result that does not fit is left out; a parent that does not fit even without is not listed.
    """
    taken = {ids.seq_of(ids.parse(task.id)): _Taken() for task in claimed}
    rows = tx.all(_READ, {"seqs": listed(list(taken)), "limit": INPUTS_MAX + 1})
    _take(rows[:INPUTS_MAX], taken)
    if len(rows) > INPUTS_MAX:
        # They come task by task: of this one and those behind it some have not been read.
        for child in dropwhile(rows[INPUTS_MAX][0].__ne__, taken):
            taken[child].truncated = True
    wanted = {
        row[1]
        for of in taken.values()
        for row, left_out in of.rows
        if row[5] is not None and not left_out
    }  # fmt: skip
    results: dict[int, bytes] = dict(tx.all(_READ_RESULTS, {"seqs": listed(list(wanted))})) if wanted else {}
    return [
        msgspec.structs.replace(
            task,
            inputs=tuple(_input(row, None if out else results.get(row[1]), out) for row, out in of.rows),
            inputs_truncated=of.truncated,
        )
        for task, of in zip(claimed, taken.values(), strict=True)
    ]


def _take(rows: Iterable[Row], taken: dict[int, _Taken]) -> None:
    """Decides, by the results' sizes alone, which of them come along."""
    left = CLAIM_BYTES_MAX
    for row in rows:
        of, size = taken[row[0]], row[5] or 0
        room = min(of.left, left) - INPUT_BYTES
        if room < 0:
            of.truncated = True
            continue
        left_out = size > room
        used = INPUT_BYTES + (0 if left_out else size)
        of.left -= used
        left -= used
        of.rows.append((row, left_out))


def _input(row: Row, result: bytes | None, left_out: bool) -> Input:
    _, _, packed, kind, state, _ = row
    return Input(ids.text(packed), kind, TaskState(state), result, left_out)
