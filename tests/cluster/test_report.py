"""The figures of a run mean what they are called."""

import random

from hypothesis import given
from hypothesis import strategies as st

from tests.cluster.nemesis import choose_victims
from tests.cluster.records import FaultRecord, Op
from tests.cluster.report import OUTAGE_S, outages, percentiles, reelections


def ack(at: float, node: str = "a", outcome: str = "ok") -> Op:
    return Op(client="c", what="complete", invoked=at - 0.01, returned=at, outcome=outcome, node=node)  # type: ignore[arg-type]  # written out by the tests below


def fault(began: float, leader: str, *victims: str) -> FaultRecord:
    return FaultRecord(kind="kill both", victims=[*victims], leader=leader, began=began, ended=began + 10)


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentiles([]) == {"count": 0}
    assert percentiles([float(value) for value in range(100)]) == {
        "count": 100,
        "p50": 50.0,
        "p90": 90.0,
        "p99": 99.0,
        "max": 99.0,
    }


def test_an_outage_is_a_pause_between_acknowledgements_and_nothing_else_ends_it() -> None:
    ops = [ack(1.0), ack(1.0 + OUTAGE_S / 2), ack(2.0, outcome="fail"), ack(3.0, outcome="info"), ack(4.0)]
    assert outages(ops) == [(1.0 + OUTAGE_S / 2, 4.0)]


def test_a_re_election_lasts_until_another_node_acknowledges() -> None:
    ops = [ack(1.0), ack(2.1), ack(4.5, "b"), ack(5.0, "b"), ack(21.0, "b"), ack(22.0, "b")]
    hit, other, kept = fault(2.0, "a", "a"), fault(2.0, "a", "b"), fault(20.0, "b", "b")
    assert reelections(ops, [hit]) == [2.5]
    assert reelections(ops, [other, kept]) == []


@given(st.integers(1, 7), st.integers(0, 6), st.randoms(use_true_random=False))
def test_victims_are_never_more_than_a_minority(count: int, leader: int, chance: random.Random) -> None:
    names = [str(number) for number in range(count)]
    led_by = str(leader) if leader < count else None
    victims = choose_victims(names, led_by, chance)
    assert len(set(victims)) == len(victims)
    assert set(victims) <= set(names)
    # One node alone has no minority to spare: it is harmed all the same.
    assert len(victims) < len(names) / 2 or count <= 2
    assert victims
