import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tqnode.nodes import SeededRng
from tqnode.clock import Rng
from tqnode.retry import DEFAULT, Exponential, Fixed, Linear, Listed, Policy, backoff_ms


class Always:
    """Chance that always falls the same way."""

    def __init__(self, fraction: float) -> None:
        self._fraction = fraction

    def bits(self, count: int) -> int:
        return 0

    def fraction(self) -> float:
        return self._fraction


MIDDLE: Rng = Always(0.5)

seconds = st.floats(0, 315_360_000)
jitters = st.floats(0, 1)
policies: st.SearchStrategy[Policy] = st.one_of(
    st.builds(
        Exponential,
        base_s=st.floats(0.001, 315_360_000),
        factor=st.floats(1, 100),
        max_s=st.floats(0.001, 315_360_000),
        jitter=jitters,
    ),
    st.builds(Linear, base_s=seconds, max_s=seconds, jitter=jitters),
    st.builds(Fixed, delay_s=seconds, jitter=jitters),
    st.builds(Listed, delays_s=st.lists(seconds, min_size=1, max_size=20).map(tuple), jitter=jitters),
)


def waits_s(policy: Policy | None, attempts: int) -> list[float]:
    stored = None if policy is None else msgspec.json.encode(policy)
    return [backoff_ms(stored, attempt=attempt, rng=MIDDLE) / 1000 for attempt in range(1, attempts + 1)]


def test_without_a_policy_the_wait_doubles_from_five_seconds_to_an_hour() -> None:
    assert waits_s(None, 12) == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]


def test_an_exponential_wait_multiplies_by_its_factor_up_to_its_most() -> None:
    assert waits_s(Exponential(base_s=1, factor=3, max_s=20), 5) == [1, 3, 9, 20, 20]


def test_a_linear_wait_grows_by_its_base_up_to_its_most() -> None:
    assert waits_s(Linear(base_s=2, max_s=7), 5) == [2, 4, 6, 7, 7]


def test_a_fixed_wait_stays_the_same() -> None:
    assert waits_s(Fixed(delay_s=1.5), 3) == [1.5, 1.5, 1.5]


def test_a_list_of_waits_repeats_its_last_one() -> None:
    assert waits_s(Listed(delays_s=(1, 5, 2)), 5) == [1, 5, 2, 2, 2]


def test_a_wait_shorter_than_a_millisecond_is_rounded_and_not_negative() -> None:
    assert waits_s(Fixed(delay_s=0), 1) == [0]
    assert backoff_ms(b'{"type":"fixed","delay_s":0.0004}', attempt=1, rng=MIDDLE) == 0


@pytest.mark.parametrize("attempt", [1_000, 1_000_000])
def test_no_number_of_attempts_is_too_many_for_the_longest_wait(attempt: int) -> None:
    steep = msgspec.json.encode(Exponential(base_s=315_360_000, factor=100, max_s=3600))
    assert backoff_ms(steep, attempt=attempt, rng=MIDDLE) == 3_600_000


def test_an_attempt_that_was_given_back_before_the_first_waits_as_the_first() -> None:
    assert backoff_ms(None, attempt=0, rng=MIDDLE) == 5_000
    assert backoff_ms(b'{"type":"list","delays_s":[3,4]}', attempt=0, rng=MIDDLE) == 3_000


def test_jitter_spreads_the_wait_evenly_to_both_sides() -> None:
    policy = msgspec.json.encode(Fixed(delay_s=100, jitter=0.2))
    assert backoff_ms(policy, attempt=1, rng=Always(0)) == 80_000
    assert backoff_ms(policy, attempt=1, rng=Always(0.5)) == 100_000
    assert backoff_ms(policy, attempt=1, rng=Always(1 - 2**-53)) == 120_000


@given(policy=policies, attempt=st.integers(1, 1000), seed=st.integers(0, 2**32))
def test_the_wait_is_never_further_from_its_policy_than_the_jitter(
    policy: Policy, attempt: int, seed: int
) -> None:
    wait_ms = backoff_ms(msgspec.json.encode(policy), attempt=attempt, rng=SeededRng(seed))
    meant_ms = 1000 * policy.wait_s(attempt)
    assert wait_ms >= 0
    assert abs(wait_ms - meant_ms) <= policy.jitter * meant_ms + 1


@given(attempt=st.integers(1, 1000), seed=st.integers(0, 2**32))
def test_the_default_policy_never_waits_longer_than_its_most_and_its_jitter(attempt: int, seed: int) -> None:
    wait_ms = backoff_ms(None, attempt=attempt, rng=SeededRng(seed))
    assert 0 < wait_ms <= 1000 * DEFAULT.max_s * (1 + DEFAULT.jitter)


@given(policy=policies)
def test_a_policy_survives_being_stored(policy: Policy) -> None:
    assert msgspec.json.decode(msgspec.json.encode(policy), type=Policy) == policy
