"""The core in this process against the same SQL in a bare apsw loop."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from bench.bare import BareQueue, Held
from bench.core import Core
from bench.plain import PlainQueue
from bench.rounds import Duel, Plain
from tqnode.task import ClaimedTask

CALLERS = 32
SINGLES = CALLERS * 100
BATCHED = 4_000
SIZES = (1, 10, 100, 1000)


class Pair:
    """The core and the bare loop, over databases of the same history.

    Args:
        folder: where the files go.
    """

    def __init__(self, folder: Path) -> None:
        self.core = Core(folder)
        self.bare = BareQueue(folder)
        self.held: list[list[ClaimedTask]] = []
        self.rows: list[list[Held]] = []

    def close(self) -> None:
        self.core.close()
        self.bare.close()


@pytest.fixture
def pair(folder: Path, request: pytest.FixtureRequest) -> Iterator[Pair]:
    place = folder / "".join(char if char.isalnum() else "-" for char in request.node.name)
    place.mkdir()
    pair = Pair(place)
    yield pair
    pair.close()


def test_the_baseline_runs_the_same_statements_as_the_core(folder: Path) -> None:
    ran: list[Counter[str]] = []

    def count(connection: apsw.Connection) -> None:
        counter: Counter[str] = Counter()
        ran.append(counter)

        def note(_cursor: Any, sql: str, _bindings: Any) -> bool:
            counter[sql] += 1
            return True

        connection.exec_trace = note

    apsw.connection_hooks.append(count)
    try:
        core, bare = Core(folder), BareQueue(folder)
    finally:
        apsw.connection_hooks.remove(count)
    core.enqueue(callers=1, calls=1, size=1)
    bare.enqueue(1, 1)
    core_ran, bare_ran = ran[0], ran[-1]
    core_ran.clear()
    bare_ran.clear()
    core.lifecycle(callers=1, calls=2, size=7)
    for _ in range(2):
        bare.enqueue(1, 7)
        bare.complete(bare.claim(1, 7))
    assert core_ran == bare_ran
    core.close()
    bare.close()


def test_single_enqueues_of_32_callers(pair: Pair, duel: Duel) -> None:
    groups = SINGLES // CALLERS
    duel(
        "enqueue, single, 32 callers",
        ours=Plain(lambda: pair.core.enqueue(callers=CALLERS, calls=groups, size=1)),
        baseline=Plain(lambda: repeat(groups, lambda: pair.bare.enqueue(CALLERS, 1))),
        against="a",
        tasks=SINGLES,
    )


def test_single_claims_of_32_callers(pair: Pair, duel: Duel) -> None:
    groups = SINGLES // CALLERS
    duel(
        "claim, single, 32 callers",
        ours=Plain(
            lambda: discard(pair.core.claim(callers=CALLERS, calls=groups, size=1)),
            lambda: pair.core.enqueue(callers=1, calls=1, size=SINGLES),
        ),
        baseline=Plain(
            lambda: repeat(groups, lambda: discard(pair.bare.claim(CALLERS, 1))),
            lambda: pair.bare.enqueue(1, SINGLES),
        ),
        against="a",
        tasks=SINGLES,
    )


def test_single_completes_of_32_callers(pair: Pair, duel: Duel) -> None:
    def claim_ours() -> None:
        pair.core.enqueue(callers=1, calls=1, size=SINGLES)
        (tasks,) = pair.core.claim(callers=1, calls=1, size=SINGLES)
        pair.held = [[task] for task in tasks]

    def claim_bare() -> None:
        pair.bare.enqueue(1, SINGLES)
        (rows,) = pair.bare.claim(1, SINGLES)
        each = [[row] for row in rows]
        pair.rows = [each[start : start + CALLERS] for start in range(0, SINGLES, CALLERS)]

    duel(
        "complete, single, 32 callers",
        ours=Plain(lambda: pair.core.complete(pair.held, callers=CALLERS), claim_ours),
        baseline=Plain(lambda: complete_all(pair), claim_bare),
        against="a",
        tasks=SINGLES,
    )


@pytest.mark.parametrize("size", SIZES)
def test_enqueues_in_batches(pair: Pair, duel: Duel, size: int) -> None:
    calls = calls_of(size)
    duel(
        f"enqueue, batches of {size}",
        ours=Plain(lambda: pair.core.enqueue(callers=1, calls=calls, size=size)),
        baseline=Plain(lambda: repeat(calls, lambda: pair.bare.enqueue(1, size))),
        against="a",
        tasks=calls * size,
    )


@pytest.mark.parametrize("size", SIZES)
def test_claims_in_batches(pair: Pair, duel: Duel, size: int) -> None:
    calls = calls_of(size)
    duel(
        f"claim, batches of {size}",
        ours=Plain(
            lambda: discard(pair.core.claim(callers=1, calls=calls, size=size)),
            lambda: pair.core.enqueue(callers=1, calls=1, size=calls * size),
        ),
        baseline=Plain(
            lambda: repeat(calls, lambda: discard(pair.bare.claim(1, size))),
            lambda: pair.bare.enqueue(1, calls * size),
        ),
        against="a",
        tasks=calls * size,
    )


@pytest.mark.parametrize("size", SIZES)
def test_completes_in_batches(pair: Pair, duel: Duel, size: int) -> None:
    calls = calls_of(size)

    def claim_ours() -> None:
        pair.core.enqueue(callers=1, calls=1, size=calls * size)
        pair.held = pair.core.claim(callers=1, calls=calls, size=size)

    def claim_bare() -> None:
        pair.bare.enqueue(1, calls * size)
        pair.rows = [pair.bare.claim(1, size) for _ in range(calls)]

    duel(
        f"complete, batches of {size}",
        ours=Plain(lambda: pair.core.complete(pair.held, callers=1), claim_ours),
        baseline=Plain(lambda: complete_all(pair), claim_bare),
        against="a",
        tasks=calls * size,
    )


@pytest.mark.parametrize("callers", [1, 2])
@pytest.mark.parametrize("size", SIZES)
def test_lifecycles_in_batches(pair: Pair, duel: Duel, size: int, callers: int) -> None:
    calls = calls_of(size)

    def bare_lifecycle() -> None:
        # As many operations in a transaction as the callers can bring together in a group.
        pair.bare.enqueue(callers, size)
        pair.bare.complete(pair.bare.claim(callers, size))

    duel(
        f"enqueue+claim+complete, batches of {size}, {callers} caller{'s' * (callers - 1)}",
        ours=Plain(lambda: pair.core.lifecycle(callers=callers, calls=calls // callers, size=size)),
        baseline=Plain(lambda: repeat(calls // callers, bare_lifecycle)),
        against="a",
        tasks=calls * size,
    )


@pytest.mark.parametrize("callers", [8, 16])
def test_lifecycles_of_many_callers_against_a_loop_that_commits_each_batch(
    pair: Pair, duel: Duel, callers: int
) -> None:
    size = 100
    calls = 2 * 16

    def bare_lifecycle() -> None:
        pair.bare.enqueue(1, size)
        pair.bare.complete(pair.bare.claim(1, size))

    duel(
        f"enqueue+claim+complete, batches of {size}, {callers} callers",
        ours=Plain(lambda: pair.core.lifecycle(callers=callers, calls=calls // callers, size=size)),
        baseline=Plain(lambda: repeat(calls, bare_lifecycle)),
        against="1",
        tasks=calls * size,
    )


def test_lifecycles_in_batches_against_a_plain_loop(pair: Pair, duel: Duel, folder: Path) -> None:
    size = 100
    calls = calls_of(size)
    plain = PlainQueue(folder)

    def plain_lifecycle() -> None:
        plain.enqueue(1, size)
        plain.complete(plain.claim(1, size))

    duel(
        f"enqueue+claim+complete, batches of {size}, 1 caller",
        ours=Plain(lambda: pair.core.lifecycle(callers=1, calls=calls, size=size)),
        baseline=Plain(lambda: repeat(calls, plain_lifecycle)),
        against="p",
        tasks=calls * size,
    )
    plain.close()


def calls_of(size: int) -> int:
    """How many calls of ``size`` tasks make a round; fewer where each costs a commit for little."""
    return min(200, BATCHED // size)


def repeat(times: int, action: Callable[[], None]) -> None:
    for _ in range(times):
        action()


def discard(_result: object) -> None:
    """What a claim returned is looked at by nobody here."""


def complete_all(pair: Pair) -> None:
    for held in pair.rows:
        pair.bare.complete(held)
