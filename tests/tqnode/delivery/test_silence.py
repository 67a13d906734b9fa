"""A receiver that does not answer is left alone, longer each time, and tried by one attempt at a time."""

import pytest

from tests.tqnode.nodes import FakeClock
from tqnode.delivery.silence import PAUSE_S, PAUSE_S_MAX, RECEIVERS_MAX, SILENT_AFTER, Silence


@pytest.fixture
def silence(clock: FakeClock) -> Silence:
    return Silence(clock)


def found_silent(silence: Silence, receiver: str = "a") -> None:
    for _ in range(SILENT_AFTER):
        assert silence.pause_s(receiver) == 0
        silence.timed_out(receiver)


def test_a_few_attempts_without_an_answer_are_nothing(silence: Silence) -> None:
    for _ in range(10):
        for _ in range(SILENT_AFTER - 1):
            silence.timed_out("a")
            assert silence.pause_s("a") == 0
        silence.answered("a")


def test_a_silent_receiver_is_left_alone_and_no_other(silence: Silence) -> None:
    found_silent(silence)
    assert silence.pause_s("a") == PAUSE_S
    assert silence.pause_s("b") == 0


def test_one_attempt_finds_out_whether_it_answers_again(silence: Silence, clock: FakeClock) -> None:
    found_silent(silence)
    clock.advance(PAUSE_S)
    assert silence.pause_s("a") == 0
    assert silence.pause_s("a") == 2 * PAUSE_S, "only one"
    silence.answered("a")
    assert silence.pause_s("a") == 0


def test_attempts_that_were_under_way_already_make_no_pause_longer(silence: Silence) -> None:
    found_silent(silence)
    for _ in range(20):
        silence.timed_out("a")
    assert silence.pause_s("a") == PAUSE_S


def test_pauses_grow_up_to_a_bound(silence: Silence, clock: FakeClock) -> None:
    found_silent(silence)
    pauses = []
    for _ in range(8):
        pauses.append(silence.pause_s("a"))
        clock.advance(pauses[-1])
        assert silence.pause_s("a") == 0
        silence.timed_out("a")
    assert pauses[:3] == [PAUSE_S, 2 * PAUSE_S, 4 * PAUSE_S]
    assert pauses[-2:] == [PAUSE_S_MAX, PAUSE_S_MAX]


def test_so_many_receivers_are_remembered(silence: Silence) -> None:
    found_silent(silence)
    for number in range(RECEIVERS_MAX):
        silence.timed_out(f"r{number}")
    assert silence.pause_s("a") == 0
