"""The garbage collector of a process that serves keeps out of the way of batches, and still does its work."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from tqnode.garbage import OBJECTS, collect_seldom


class Knot:
    """Holds itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def looks() -> Iterator[list[int]]:
    """The generations that were looked through."""
    before = gc.get_threshold()
    seen: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            seen.append(info["generation"])

    collect_seldom()
    gc.collect()
    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)
    gc.set_threshold(*before)


def test_a_batch_of_thousands_is_not_looked_through(looks: list[int]) -> None:
    batch = [[number] for number in range(OBJECTS // 2)]
    assert len(batch) == OBJECTS // 2
    assert looks == []


def test_objects_that_hold_each_other_still_go(looks: list[int]) -> None:
    knot = Knot()
    gone = weakref.ref(knot)
    del knot
    made = [[number] for number in range(2 * OBJECTS)]
    assert len(made) == 2 * OBJECTS
    assert 0 in looks
    assert gone() is None
