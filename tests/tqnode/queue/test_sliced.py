from typing import Any

from tests.tqnode.nodes import FakeClock
from tqnode.queue.sliced import LONG_SLICE_S, SLICE_MAX, SLICE_MIN, SLICE_S, Sliced


def test_slices_grow_while_they_are_quick_and_shrink_when_they_are_slow() -> None:
    sliced = Sliced(lambda tx, limit: 0)
    sliced.adapt(SLICE_S / 10, full=True)
    assert sliced.limit == SLICE_MIN * 2
    sliced.adapt(SLICE_S / 2, full=True)
    assert sliced.limit == SLICE_MIN * 2
    sliced.adapt(SLICE_S * 2, full=False)
    assert sliced.limit == SLICE_MIN


def test_a_slice_that_had_little_to_do_makes_the_next_one_no_larger() -> None:
    sliced = Sliced(lambda tx, limit: 0)
    for _ in range(50):
        sliced.adapt(0, full=False)
    assert sliced.limit == SLICE_MIN


def test_slices_stay_between_their_bounds() -> None:
    sliced = Sliced(lambda tx, limit: 0)
    for _ in range(50):
        sliced.adapt(0, full=True)
    assert sliced.limit == SLICE_MAX
    for _ in range(50):
        sliced.adapt(1, full=True)
    assert sliced.limit == SLICE_MIN


def test_a_slice_is_longer_where_more_has_come_up_than_fits() -> None:
    clock, piece_s = FakeClock(), SLICE_S / (SLICE_MIN * 1.25)
    asked: list[int] = []

    def work(_tx: Any, limit: int) -> int:
        asked.append(limit)
        clock.advance(limit * piece_s)
        return limit

    sliced = Sliced(work)
    for fresh in (0, 0, 2 * SLICE_MIN, 100 * SLICE_MIN, 0):
        sliced.fresh += fresh
        sliced.do(None, clock)  # type: ignore[arg-type]  # the work needs no transaction
        sliced.settle()
    longest = round(LONG_SLICE_S / piece_s)
    assert asked == [SLICE_MIN, SLICE_MIN, 2 * SLICE_MIN * 5 // 4, longest, SLICE_MIN]


def test_what_comes_up_while_a_slice_is_on_its_way_counts_for_the_next() -> None:
    clock = FakeClock()
    sliced = Sliced(lambda tx, limit: 0)
    sliced.fresh = 10
    sliced.do(None, clock)  # type: ignore[arg-type]  # the work needs no transaction
    sliced.fresh += 7
    sliced.settle()
    assert sliced.fresh == 7
