"""A disk that came empty has no vote and counts for nothing until a leader elected without it admits it."""

import pytest

from tests.tqnode.replication.core_node import TTL_S, CoreNode, append, appended, heads_of_term
from tqnode.replication.effects import Committed, Row, SaveRow
from tqnode.replication.entry import Position
from tqnode.replication.events import Produced, Stored
from tqnode.replication.messages import Append, Appended, Ask, Vote, Would, WouldYou

QUIET_S = TTL_S * 1.02


def fresh() -> CoreNode:
    return CoreNode(fresh=True)


def candidate_that_knows(disk: str) -> CoreNode:
    """A candidate of five that has been told that c's disk came empty."""
    node = CoreNode(peers=frozenset("bcde"))
    node.tick()
    node.hear("c", Would(0, 1, False, True), disk=disk)
    for peer in "bd":
        node.hear(peer, Would(0, 1, True, False))
    return node


def test_node_with_an_empty_disk_hears_nothing_until_its_forgotten_votes_are_void() -> None:
    node = fresh()
    for message in (WouldYou(1, Position(0, 0), 1, 0), append(1, heads_of_term(1, 1))):
        assert not node.hear("b", message, at=QUIET_S - 0.01)
    assert node.hear("b", append(1, heads_of_term(1, 1)), at=QUIET_S)


def test_restart_begins_the_silence_anew() -> None:
    node = CoreNode(fresh=True, row=Row(1, "b"), heads=heads_of_term(1, 3))
    assert not node.hear("b", append(1), at=QUIET_S - 0.01)


def test_silence_outlasts_the_time_in_which_a_candidate_counts_votes() -> None:
    slow, fast = 0.99, 1.01
    voter = fresh()
    silent_s = (voter.state.quiet_until - 1000) / fast
    candidate = CoreNode()
    question = candidate.stand()
    candidate.hear("b", Vote(question.term, question.round, True), at=silent_s * slow)
    assert candidate.state.role != "leader"


def test_node_with_an_empty_disk_has_no_vote_and_says_why() -> None:
    node = fresh()
    node.hear("b", WouldYou(1, Position(0, 0), 4, 0), at=QUIET_S)
    assert node.sent(Would) == [Would(0, 4, False, True)]
    node.hear("b", Ask(1, Position(0, 0), 5, 0))
    assert node.sent(Vote) == [Vote(0, 5, False)]
    assert node.saved() is None


def test_node_with_an_empty_disk_never_stands() -> None:
    node = fresh()
    assert not node.tick(at=100)


def test_node_with_an_empty_disk_stores_but_says_that_it_does_not_count() -> None:
    node = fresh()
    node.hear("b", append(1, heads_of_term(1, 2)), at=QUIET_S)
    assert node.done(SaveRow) == [SaveRow(Row(1, "b"), True)]
    node.store_all()
    (answer,) = node.sent(Appended)
    assert (answer.last, answer.counts, answer.eligible) == (2, False, False)


def test_admitted_node_counts_once_it_holds_the_snapshot_of_who_admits_it() -> None:
    node = fresh()
    node.hear("b", append(1, heads_of_term(1, 2), admit="disk-a"), at=QUIET_S)
    assert node.state.fresh
    node.store_all()
    assert not node.sent(Appended)[0].counts
    node.hear("b", append(1, sent=2.0, admit="disk-a"))
    assert node.done(SaveRow) == [SaveRow(Row(1, "b"), False)]
    assert node.sent(Appended)[0].counts


@pytest.mark.parametrize("admit", [None, "disk-of-before"])
def test_node_with_an_empty_disk_is_admitted_by_nothing_else(admit: str | None) -> None:
    node = fresh()
    node.hear("b", append(1, heads_of_term(1, 2), admit=admit), at=QUIET_S)
    node.store_all()
    node.hear("b", append(1, sent=2.0, admit=admit))
    assert node.state.fresh


def test_snapshot_of_an_older_term_does_not_admit_into_a_newer_one() -> None:
    node = fresh()
    node.hear("b", append(1, heads_of_term(1, 2)), at=QUIET_S)
    node.store_all()
    node.hear("c", append(2, admit="disk-a"))
    assert node.state.fresh


def test_candidate_does_not_ask_for_votes_where_it_knows_the_disk_to_be_empty() -> None:
    node = candidate_that_knows("new-c")
    assert node.receivers(Ask) == {"b", "d", "e"}
    node.hear("c", Vote(1, 2, True), disk="disk-c")
    node.hear("b", Vote(1, 2, True))
    assert node.state.role == "candidate"


def test_leader_is_elected_without_the_vote_of_the_disk_that_it_may_admit() -> None:
    node = candidate_that_knows("new-c")
    node.hear("c", Would(0, 1, True, False), disk="new-c")
    node.hear("c", Vote(1, 2, True), disk="new-c")
    node.hear("b", Vote(1, 2, True))
    assert node.state.role == "candidate"


def test_vote_of_a_disk_that_is_known_by_now_to_be_gone_does_not_count() -> None:
    node = CoreNode()
    question = node.stand()
    node.hear("b", Would(0, 9, False, True), disk="new-b")
    node.hear("b", Vote(question.term, question.round, True), disk="disk-b")
    assert node.state.role == "candidate"


def test_leader_admits_only_the_disk_it_knew_before_it_was_elected() -> None:
    node = candidate_that_knows("new-c")
    for peer in "bd":
        node.hear(peer, Vote(1, 2, True))
    assert {message.admit for message in node.sent(Append, to="c")} == {"new-c"}
    assert {message.admit for message in node.sent(Append, to="b")} == {None}
    node.hear("c", appended(1, counts=False, sent=node.now), disk="newer-c")
    node.tick(at=TTL_S / 4)
    assert {message.admit for message in node.sent(Append, to="c")} == {"new-c"}


def test_what_an_empty_disk_stores_is_not_counted_until_it_is_admitted() -> None:
    node = candidate_that_knows("new-c")
    for peer in "bd":
        node.hear(peer, Vote(1, 2, True))
    node.step(Produced(heads_of_term(1, 1)))
    node.step(Stored(Position(1, 1)))
    node.hear("b", appended(1, 1))
    node.hear("c", appended(1, 1, counts=False), disk="new-c")
    assert not node.done(Committed)
    node.hear("c", appended(1, 1), disk="new-c")
    assert node.done(Committed) == [Committed(Position(1, 1))]


def test_admitted_disk_goes_on_counting_though_an_older_answer_comes_late() -> None:
    node = candidate_that_knows("new-c")
    for peer in "bd":
        node.hear(peer, Vote(1, 2, True))
    node.hear("c", appended(1), disk="new-c")
    node.hear("c", appended(1, counts=False), disk="new-c")
    assert node.state.peers["c"].counts


def test_name_that_speaks_with_a_disk_that_counts_has_no_empty_one() -> None:
    node = CoreNode()
    node.tick()
    node.hear("c", Would(0, 1, False, True), disk="new-c")
    node.hear("c", Would(0, 1, True, False), disk="newer-c")
    assert node.state.strangers == {}
    assert node.receivers(Ask) == {"b", "c"}


def test_disk_that_nobody_admitted_does_not_count_whatever_it_says() -> None:
    node = candidate_that_knows("new-c")
    for peer in "bd":
        node.hear(peer, Vote(1, 2, True))
    node.step(Produced(heads_of_term(1, 1)))
    node.step(Stored(Position(1, 1)))
    node.hear("b", appended(1, 1))
    node.hear("c", appended(1, 1), disk="newer-c")
    assert not node.done(Committed)


def test_late_answer_of_a_disk_that_is_gone_does_not_count() -> None:
    node = CoreNode()
    term = node.lead()
    node.step(Produced(heads_of_term(term, 1)))
    node.hear("b", appended(term, counts=False), disk="new-b")
    node.hear("b", appended(term, 1), disk="disk-b")
    node.step(Stored(Position(term, 1)))
    assert not node.done(Committed)


def test_peer_whose_disk_is_exchanged_in_the_middle_of_a_term_begins_anew() -> None:
    node = CoreNode()
    term = node.lead()
    node.step(Produced(heads_of_term(term, 2)))
    node.hear("b", appended(term, 2, sent=node.now))
    node.hear("b", appended(term, counts=False, sent=node.now), disk="new-b")
    assert [head.txid for message in node.sent(Append, to="b") for head in message.heads] == [1, 2]
    node.step(Stored(Position(term, 2)))
    assert not node.done(Committed)


def test_renewals_that_only_an_empty_disk_heard_renew_no_lease() -> None:
    node = CoreNode()
    term = node.lead()
    until = node.state.lease_until
    node.tick(at=1.0)
    node.hear("b", appended(term, counts=False, sent=node.now), disk="new-b")
    assert node.state.lease_until == until


def test_admitted_disk_has_its_vote_back() -> None:
    node = CoreNode()
    node.tick()
    node.hear("b", Would(0, 1, False, True), disk="new-b")
    assert node.state.strangers == {"b": "new-b"}
    node.hear("b", Would(0, 1, True, False), disk="new-b")
    assert node.receivers(Ask) == {"b", "c"}
