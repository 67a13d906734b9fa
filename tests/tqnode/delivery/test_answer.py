"""What an answer means for the next attempt."""

import pytest

from tqnode.delivery.answer import RETRY_AFTER_S_MAX, Answer

NOW_MS = 1_445_412_480_000  # Wed, 21 Oct 2015 07:28:00 GMT


@pytest.mark.parametrize(
    ("status", "taken"), [(200, True), (204, True), (299, True), (302, False), (500, False)]
)
def test_only_a_2xx_is_a_delivery(status: int, taken: bool) -> None:
    assert Answer(status).delivered == taken


@pytest.mark.parametrize(
    ("header", "wait_ms"),
    [
        ("120", 120_000),
        ("0", 1_000),
        ("999999999999", RETRY_AFTER_S_MAX * 1000),
        ("Wed, 21 Oct 2015 07:29:00 GMT", 60_000),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 1_000),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_a_receiver_says_how_long_to_leave_it_alone(header: str, wait_ms: int | None) -> None:
    assert Answer(503, header).wait_ms(NOW_MS) == wait_ms
    assert Answer(429, header).wait_ms(NOW_MS) == wait_ms
    assert Answer(500, header).wait_ms(NOW_MS) is None
