"""A waiting helper that never fails would turn every test that uses it into one that cannot."""

import pytest

from tests.waiting import eventually, eventually_async


def test_eventually_returns_the_first_true_value() -> None:
    answers = iter([None, 0, "here", "later"])
    assert eventually(lambda: next(answers)) == "here"


def test_eventually_fails_with_the_last_value_when_time_is_up() -> None:
    with pytest.raises(AssertionError, match=r"within 0\.05 s; last: 0"):
        eventually(lambda: 0, within_s=0.05)


def test_eventually_takes_a_failed_assertion_as_not_yet() -> None:
    values = iter([1, 2, 3])

    def is_three() -> bool:
        assert next(values) == 3
        return True

    assert eventually(is_three)


def test_eventually_lets_unnamed_exceptions_through_at_once() -> None:
    def refused() -> bool:
        raise ConnectionRefusedError

    with pytest.raises(ConnectionRefusedError):
        eventually(refused)
    with pytest.raises(AssertionError, match="ConnectionRefusedError"):
        eventually(refused, within_s=0.05, ignoring=(ConnectionError,))


async def test_eventually_async_awaits_a_coroutine_function() -> None:
    answers = iter([False, True])

    async def answered() -> bool:
        return next(answers)

    assert await eventually_async(answered)


async def test_eventually_async_fails_when_time_is_up() -> None:
    with pytest.raises(AssertionError, match=r"within 0\.05 s; last: None"):
        await eventually_async(lambda: None, within_s=0.05)
