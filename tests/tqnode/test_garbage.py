"""The garbage collector of a process that serves keeps out of the way of batches, and still does its work."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import pytest

from tests.tqnode.nodes import FakeClock, settle
from tqnode.garbage import ALL_TICKS, YOUNG_MAX, YOUNG_TICKS, collect_between, collect_seldom


class Knot:
    """Holds itself."""

    def __init__(self) -> None:
        self.itself = self


def knot() -> weakref.ref[Knot]:
    """Of one that nobody else holds."""
    return weakref.ref(Knot())


@pytest.fixture
def looks() -> Iterator[list[int]]:
    """The generations that were looked through."""
    before = gc.get_threshold()
    seen: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            seen.append(info["generation"])

    collect_seldom()
    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)
    gc.set_threshold(*before)
    gc.unfreeze()


@asynccontextmanager
async def collecting() -> AsyncIterator[FakeClock]:
    """The clock by which a process looks between its work."""
    clock = FakeClock()
    running = asyncio.create_task(collect_between(clock))
    await settle()
    yield clock
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def pass_time(clock: FakeClock, seconds: int) -> None:
    for _ in range(seconds):
        clock.advance(1)
        await settle()


async def test_large_requests_are_not_looked_through(looks: list[int]) -> None:
    async with collecting() as clock:
        batch = [[number] for number in range(YOUNG_MAX // 2)]
        await pass_time(clock, 5)
        assert len(batch) == YOUNG_MAX // 2
        assert looks == []


async def test_objects_that_hold_each_other_go_within_a_minute(looks: list[int]) -> None:
    async with collecting() as clock:
        gone = knot()
        await pass_time(clock, YOUNG_TICKS - 1)
        assert gone() is not None
        await pass_time(clock, 1)
        assert (gone(), looks) == (None, [0])


async def test_very_many_of_them_go_within_a_second(looks: list[int]) -> None:
    async with collecting() as clock:
        gone = [knot() for _ in range(YOUNG_MAX)]
        await pass_time(clock, 1)
        assert looks == [0]
        assert not any(one() for one in gone)


async def test_those_that_grew_old_go_as_well(looks: list[int]) -> None:
    async with collecting() as clock:
        held = Knot()
        gone = weakref.ref(held)
        gc.collect(1)
        del held
        await pass_time(clock, YOUNG_TICKS)
        assert gone() is not None
        await pass_time(clock, ALL_TICKS - YOUNG_TICKS)
        assert gone() is None


def test_what_is_there_from_the_beginning_is_not_looked_at_again(looks: list[int]) -> None:
    assert gc.get_freeze_count() > 0
    assert gc.get_threshold()[0] > YOUNG_MAX
    assert looks == []
