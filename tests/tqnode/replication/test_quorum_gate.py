"""Which groups a leader answers, when, and with what."""

import pytest

from tests.tqnode.nodes import FakeClock
from tqnode.errors import NoLeader, OutcomeUnknown, TqnodeError
from tqnode.replication.quorum_gate import QuorumGate


class Held:
    """A gate, and what became of each group by its number."""

    def __init__(self) -> None:
        self.leads = True
        self.clock = FakeClock()
        self.answers: dict[int, TqnodeError | None] = {}
        self.seconds: list[float] = []
        self.gate = QuorumGate(self._may_answer, clock=self.clock, on_answer=self.seconds.append)

    def _may_answer(self) -> None:
        if not self.leads:
            raise NoLeader("no longer")

    def hold(self, *numbers: int) -> None:
        for number in numbers:
            self.gate.hold(lambda error, number=number: self.answers.__setitem__(number, error))  # type: ignore[misc]  # a default binds it


def test_a_group_is_answered_when_its_entry_is_committed_and_not_before() -> None:
    held = Held()
    held.hold(1, 2, 3)
    assert held.gate.uncovered == 3
    held.gate.cover(2, 5)
    held.gate.cover(1, 7)
    assert held.gate.uncovered == 0
    held.gate.committed(4)
    assert held.answers == {}
    held.gate.committed(6)
    assert held.answers == {1: None, 2: None}
    held.gate.committed(7)
    assert held.answers == {1: None, 2: None, 3: None}


def test_a_group_whose_entry_was_committed_first_is_answered_when_that_is_known() -> None:
    held = Held()
    held.hold(1)
    held.gate.committed(9)
    assert held.answers == {}
    held.gate.cover(1, 9)
    assert held.answers == {1: None}


def test_a_group_that_wrote_nothing_new_waits_for_what_it_has_seen() -> None:
    held = Held()
    held.hold(1)
    held.gate.cover(1, 3)
    held.hold(2)
    held.gate.cover(1, 3)  # the sync after it found no further entry
    assert held.answers == {}
    held.gate.committed(3)
    assert held.answers == {1: None, 2: None}


def test_nothing_is_answered_once_the_lease_has_run_out() -> None:
    held = Held()
    held.hold(1)
    held.gate.cover(1, 1)
    held.leads = False
    held.gate.committed(1)
    assert held.answers == {}
    with pytest.raises(NoLeader):
        held.gate.check()
    held.leads = True
    held.gate.committed(1)
    assert held.answers == {1: None}


def test_what_is_held_when_the_term_ends_is_of_unknown_outcome_and_so_is_what_comes() -> None:
    held = Held()
    held.hold(1, 2)
    held.gate.cover(1, 1)
    held.gate.refuse(lambda: OutcomeUnknown("the term is over"))
    held.hold(3)
    assert {type(error) for error in held.answers.values()} == {OutcomeUnknown}
    assert sorted(held.answers) == [1, 2, 3]
    assert len({id(error) for error in held.answers.values()}) == 3
    held.gate.committed(9)
    assert sorted(held.answers) == [1, 2, 3]
    with pytest.raises(OutcomeUnknown):
        held.gate.check()


def test_how_long_each_group_was_held_is_told() -> None:
    held = Held()
    held.hold(1)
    held.clock.advance(0.5)
    held.hold(2)
    held.clock.advance(0.25)
    held.gate.cover(2, 1)
    held.gate.committed(1)
    assert held.seconds == [0.75, 0.25]


def test_the_shipper_is_told_of_each_arrival() -> None:
    held = Held()
    arrivals: list[int] = []
    held.gate.on_arrival = lambda: arrivals.append(held.gate.uncovered)
    held.hold(1, 2)
    assert arrivals == [1, 2]


def test_a_sync_that_ends_after_the_term_covers_nothing() -> None:
    held = Held()
    held.hold(1, 2)
    held.gate.committed(9)
    held.gate.refuse(lambda: OutcomeUnknown("the term is over"), elsewhere=lambda: NoLeader("ask another"))
    held.gate.cover(2, 1)  # what it began with was answered meanwhile
    assert held.gate.uncovered == 0
    with pytest.raises(NoLeader):
        held.gate.check()
