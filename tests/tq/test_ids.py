"""Ids in order of time."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from tests.tq.driving import ManualClock
from tq.clock import SystemClock
from tq.ids import time_ordered_id


class Fixed(ManualClock):
    def __init__(self, ms: int, chance_bits: int) -> None:
        super().__init__()
        self._ms = ms
        self._chance_bits = chance_bits

    def now_ms(self) -> int:
        return self._ms

    def bits(self, count: int) -> int:
        return self._chance_bits % (1 << count)


@given(ms=st.integers(0, 2**48 - 1), chance_bits=st.integers(0, 2**80 - 1))
def test_an_id_is_a_uuid_of_version_7(ms: int, chance_bits: int) -> None:
    text = time_ordered_id(Fixed(ms, chance_bits))
    parsed = uuid.UUID(text)
    assert str(parsed) == text
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert parsed.int >> 80 == ms


@given(ms=st.integers(0, 2**48 - 2), one=st.integers(0, 2**80 - 1), other=st.integers(0, 2**80 - 1))
def test_ids_sort_by_time(ms: int, one: int, other: int) -> None:
    assert time_ordered_id(Fixed(ms, one)) < time_ordered_id(Fixed(ms + 1, other))


def test_ids_do_not_repeat() -> None:
    clock = SystemClock()
    assert len({time_ordered_id(clock) for _ in range(10_000)}) == 10_000
