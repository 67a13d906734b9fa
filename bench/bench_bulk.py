"""A bulk cancel against the same statements in a bare loop, a transaction for each slice in both."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from bench.bare import NOW_MS, QUEUE, BareQueue
from bench.core import Core
from bench.rounds import Duel, Plain
from tqnode.queue import Filters
from tqnode.queue.sliced import SLICE_MIN
from tqnode.sql import statement
from tqnode.task import TaskState

TASKS: Final = 8_000
WAITING: Final = Filters(queues=(QUEUE,), states=(TaskState.READY,))

_BEGIN = statement("begin")
_COMMIT = statement("commit")
_SLICE = statement("bulk_slice")
_CANCEL = statement("cancel_waiting")


class BareCancel(BareQueue):
    """The bare loop, with what a bulk cancel runs."""

    def cancel_all(self) -> None:
        """Cancels what was enqueued last, in slices."""
        execute = self._connection.execute
        last = self._seq
        after = last - TASKS
        while after < last:
            execute(_BEGIN)
            bounds = {"after": after, "reach": last, "limit": SLICE_MIN}
            rows = execute(_SLICE, {**WAITING.params(), **bounds}).fetchall()
            execute(_CANCEL, {"seqs": str([row[0] for row in rows]), "now_ms": NOW_MS})
            self._tally("ready", -len(rows))
            self._tally("cancelled", len(rows))
            execute(_COMMIT)
            after = rows[-1][0]


@pytest.fixture
def sides(folder: Path) -> Iterator[tuple[Core, BareCancel]]:
    core, bare = Core(folder), BareCancel(folder)
    yield core, bare
    core.close()
    bare.close()


def test_bulk_cancels(sides: tuple[Core, BareCancel], duel: Duel) -> None:
    core, bare = sides
    duel(
        "bulk cancel",
        ours=Plain(
            lambda: core.bulk_cancel(WAITING), lambda: core.enqueue(callers=1, calls=TASKS // 1000, size=1000)
        ),
        baseline=Plain(bare.cancel_all, lambda: bare.enqueue(1, TASKS)),
        against="a",
        tasks=TASKS,
    )
