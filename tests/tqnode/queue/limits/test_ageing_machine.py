"""Claims under limits, with priorities that grow, beside a model that ranks every task there is."""

from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.tqnode.queue.limits.test_limit_machine import KINDS, Limited, Ready, rates, tasks
from tqnode.errors import InvalidField

millis = st.sampled_from([None, 1_500, 20_000, 255_000])


class Aged(Limited):
    """Lets the tasks of its queues gain priority too."""

    def begin(self, *args: Any) -> None:
        self.millis: dict[str, int] = {}
        super().begin(*args)

    def ready(self, queue: str, kinds: tuple[str, ...] | None, low: int) -> list[Ready]:
        rows = self.run(
            self.core.rows(
                "SELECT priority, run_at_ms, seq, kind, limit_key, queue FROM task WHERE state = 'ready'"
            )
        )
        now_ms, milli = self.core.clock.now_ms(), self.millis.get(queue, 0)
        found = [
            Ready(-min(255, row[0] + milli * max(0, now_ms - row[1]) // 60_000_000), *row[1:5])
            for row in rows
            if row[5] == queue and row[0] >= low
        ]
        return sorted(one for one in found if kinds is None or one.kind in kinds)

    @rule(queue=st.sampled_from(["q", "q", "r"]), milli=millis)
    def age(self, queue: str, milli: int | None) -> None:
        with suppress(InvalidField):
            self.run(self.core.queue.catalogue.configure(queue, {"age_milli": milli}))
            self.millis[queue] = milli or 0

    @rule(back_ms=st.integers(0, 3_000))
    def set_the_clock_back(self, back_ms: int) -> None:
        self.core.clock.step(-back_ms / 1000)


TestAged = Aged.TestCase
TestAged.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


@settings(max_examples=60, deadline=None)
@given(
    milli=millis,
    kinds=st.sampled_from([None, KINDS]),
    parts=st.lists(st.lists(tasks, min_size=3, max_size=8), min_size=3, max_size=6),
    rate=st.none() | rates,
    most=st.lists(st.integers(1, 3), min_size=10, max_size=20),
)
def test_each_claim_gets_what_has_grown_highest_behind_all_that_is_held_back(
    milli: int | None,
    kinds: tuple[str, ...] | None,
    parts: list[list[tuple[str, str | None, str, int]]],
    rate: dict[str, int] | None,
    most: list[int],
) -> None:
    limits: list[dict[str, Any]] = [{"name": "each", "key": "*", "running": 1}]
    if rate is not None:
        limits.append({"name": "rate", "key": "ab*", **rate})
    machine = Aged()
    machine.begin(0, 2, [("q", "b", "mail", 5)] * 8, limits)
    try:
        machine.age("q", milli)
        for part in parts:
            machine.enqueue_all(part)
            machine.core.clock.advance(0.7)
        machine.claim_some("q", kinds, 0, most)
    finally:
        machine.teardown()
