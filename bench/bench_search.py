"""Pages and counts that look into payloads against those that don't, over the same tasks."""

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.core import Core, plain_task
from bench.rounds import Duel, Plain
from tqnode.queue import Filters
from tqnode.queue.search import Condition

TASKS = 20_000
PAGE = 100
CALLS = 4
VALUES = {2: "every second", 200: "one in 200"}
"""Values that the payloads have in turns, so what part of the tasks has one of them."""


@pytest.fixture(scope="module")
def core(folder: Path) -> Iterator[Core]:
    place = folder / "search"
    place.mkdir()
    core = Core(place)
    payloads = cycle(
        b'{"user":%d,"half":%d,"n":%d,"to":"someone@example.com"}' % (number, number % 2, number % 200)
        for number in range(200)
    )
    core.enqueue(
        callers=1, calls=TASKS // 1000, size=1000, make=lambda: replace(plain_task(), payload=next(payloads))
    )
    yield core
    core.close()


def having(values: int) -> Filters:
    """One value of so many."""
    return Filters(payload=(Condition("half" if values == 2 else "n", 1),))


@pytest.mark.parametrize("values", VALUES)
def test_pages_by_payload(core: Core, duel: Duel, values: int) -> None:
    wanted = having(values)
    assert len(core.page(wanted, calls=1, limit=PAGE).tasks) == PAGE
    duel(
        f"page of {PAGE} by payload, {VALUES[values]} of {TASKS:,} tasks",
        ours=Plain(lambda: discard(core.page(wanted, calls=CALLS, limit=PAGE))),
        baseline=Plain(lambda: discard(core.page(Filters(), calls=CALLS, limit=PAGE))),
        against="0",
        tasks=CALLS,
    )


def test_counts_by_payload(core: Core, duel: Duel) -> None:
    # The tallies know how many there are of a queue or state: of priorities they don't.
    unread, wanted = Filters(min_priority=1), having(200)
    assert core.count(wanted, calls=1) * 200 == core.count(unread, calls=1) == TASKS
    duel(
        f"count by payload over {TASKS:,} tasks",
        ours=Plain(lambda: discard(core.count(wanted, calls=CALLS))),
        baseline=Plain(lambda: discard(core.count(unread, calls=CALLS))),
        against="0",
        tasks=CALLS,
    )


def discard(_result: object) -> None:
    """What was found is looked at by nobody here."""
