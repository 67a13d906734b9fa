"""What a claimed task's parents came to, for its worker: read with the claim, within bounds."""

from collections.abc import Sequence
from contextlib import closing

import msgspec

from tqnode import ids
from tqnode.sql import statement
from tqnode.store.tx import Tx
from tqnode.task import ClaimedTask, Input, TaskState

_READ = statement("read_inputs")

TASK_BYTES_MAX = 1024 * 1024
"""Of all inputs of one task."""
CLAIM_BYTES_MAX = 16 * 1024 * 1024
"""Of all inputs of one claim: the answer has to fit in memory."""
INPUT_BYTES = 128
"""What an input takes besides its result."""


class _Taken:
    """The inputs of one task so far."""

    __slots__ = ("inputs", "left", "truncated")

    def __init__(self) -> None:
        self.inputs: list[Input] = []
        self.left = TASK_BYTES_MAX
        self.truncated = False


def with_inputs(tx: Tx, claimed: Sequence[ClaimedTask]) -> list[ClaimedTask]:
    """The same tasks with their parents, in the order these were enqueued.

    A result that does not fit is left out; a parent that does not fit even without is not listed.
    """
    taken = {ids.seq_of(ids.parse(task.id)): _Taken() for task in claimed}
    left = CLAIM_BYTES_MAX
    params = {"seqs": msgspec.json.encode(list(taken)).decode(), "bytes_max": TASK_BYTES_MAX}
    with closing(tx.each(_READ, params)) as rows:
        for child, packed, kind, state, size, result in rows:
            of = taken[child]
            room = min(of.left, left) - INPUT_BYTES
            if room < 0:
                of.truncated = True
                continue
            left_out = size is not None and size > room
            used = INPUT_BYTES + (0 if left_out or size is None else size)
            of.left -= used
            left -= used
            found = Input(ids.text(packed), kind, TaskState(state), None if left_out else result, left_out)
            of.inputs.append(found)
    return [
        msgspec.structs.replace(task, inputs=tuple(of.inputs), inputs_truncated=of.truncated)
        for task, of in zip(claimed, taken.values(), strict=True)
    ]
