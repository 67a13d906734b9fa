"""The words of explanations."""

import pytest

from tqnode.queue.explain.view import MOMENT_MAX_MS, counted, cut, from_now, moment, span


@pytest.mark.parametrize(
    ("ms", "told"),
    [
        (0, "less than a second"),
        (999, "less than a second"),
        (1_000, "1 second"),
        (59_999, "59 seconds"),
        (61_000, "1 minute 1 second"),
        (3_600_000, "1 hour"),
        (5_400_000, "1 hour 30 minutes"),
        (36_000_000 + 60_000, "10 hours"),
        (2 * 86_400_000 + 3_600_000, "2 days 1 hour"),
        (-61_000, "1 minute 1 second"),
    ],
)
def test_a_duration_is_told_in_two_units_at_most(ms: int, told: str) -> None:
    assert span(ms) == told


def test_a_moment_is_told_with_how_far_off_it_is() -> None:
    assert from_now(60_000, 0) == "1970-01-01T00:01:00Z (in 1 minute)"
    assert from_now(0, 60_000) == "1970-01-01T00:00:00Z (1 minute ago)"


@pytest.mark.parametrize("at_ms", [-(2**62), 2**62, MOMENT_MAX_MS + 1])
def test_no_moment_is_beyond_words(at_ms: int) -> None:
    assert moment(at_ms).endswith("Z")


def test_texts_of_strangers_are_cut_to_a_line() -> None:
    assert cut("a\n b\tc") == "a b c"
    assert cut("x" * 1_000) == "x" * 199 + "…"
    assert (counted(1, "task"), counted(2, "task"), counted(2, "was", "were")) == (
        "1 task",
        "2 tasks",
        "2 were",
    )
