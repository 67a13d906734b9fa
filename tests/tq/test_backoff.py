"""The schedules of retries and polls."""

from hypothesis import given
from hypothesis import strategies as st

from tq.backoff import BASE_S, CAP_S, pause_s, poll_s

fractions = st.floats(0, 1, exclude_max=True)


@given(retry=st.integers(1, 10**9), fraction=fractions)
def test_a_pause_lies_between_nothing_and_its_bound(retry: int, fraction: float) -> None:
    assert 0 <= pause_s(retry, fraction=fraction) <= min(CAP_S, BASE_S * 2.0 ** min(retry - 1, 100))


@given(retry=st.integers(1, 100), fraction=fractions)
def test_pauses_grow_until_the_cap(retry: int, fraction: float) -> None:
    assert pause_s(retry + 1, fraction=fraction) >= pause_s(retry, fraction=fraction)
    assert pause_s(100, fraction=fraction) == CAP_S * fraction


@given(retry=st.integers(1, 100), one=fractions, other=fractions)
def test_the_whole_of_a_pause_is_chance(retry: int, one: float, other: float) -> None:
    assert pause_s(retry, fraction=0.0) == 0
    assert (one < other) <= (pause_s(retry, fraction=one) <= pause_s(retry, fraction=other))


@given(poll=st.integers(1, 10**9), fraction=fractions)
def test_a_poll_waits_at_least_a_moment_and_at_most_a_second(poll: int, fraction: float) -> None:
    assert 0.04 <= poll_s(poll, fraction=fraction) <= 1.0
