from tqnode.queue.sliced import SLICE_MAX, SLICE_MIN, SLICE_S, Sliced


def test_slices_grow_while_they_are_quick_and_shrink_when_they_are_slow() -> None:
    sliced = Sliced(lambda tx, limit: 0)
    sliced.adapt(SLICE_S / 10, full=True)
    assert sliced.limit == SLICE_MIN * 2
    sliced.adapt(SLICE_S / 1.5, full=True)
    assert sliced.limit == SLICE_MIN * 3
    sliced.adapt(SLICE_S * 1.5, full=False)
    assert sliced.limit == SLICE_MIN * 2
    sliced.adapt(SLICE_S * 10, full=False)
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
