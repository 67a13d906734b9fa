import pytest

from tests.tqnode.replication.core_node import TTL_S, CoreNode, append, heads_of_term
from tqnode.replication.effects import Alarm, Committed, Mend, Row, SaveRow, Send, Store, Trim
from tqnode.replication.entry import Head, Position
from tqnode.replication.events import Applied, Damaged, Mended, Stored
from tqnode.replication.messages import Append, Appended, Release

LOG = heads_of_term(3, 9)


def following(*, stored: int = 0, **options: object) -> CoreNode:
    """A node that follows b in term 3 and has stored some of its entries."""
    node = CoreNode(row=Row(3, "b"), heads=LOG[:stored], **options)  # type: ignore[arg-type]  # its own
    node.hear("b", append(3, sent=0.5))
    return node


def test_entries_are_acknowledged_only_when_they_are_stored() -> None:
    node = following()
    node.hear("b", append(3, LOG[:2], sent=1.0))
    assert node.effects == [Store(LOG[:2])]
    node.step(Stored(Position(3, 1)))
    assert node.sent(Appended, to="b")[0].last == 1
    node.hear("b", append(3, sent=2.0))
    assert [(answer.last, answer.sent) for answer in node.sent(Appended)] == [(1, 2.0)]
    node.step(Stored(Position(3, 2)))
    assert node.sent(Appended, to="b")[0].last == 2


def test_new_leader_is_followed_only_once_the_row_says_so() -> None:
    node = CoreNode(row=Row(3, "b"), heads=LOG)
    node.hear("c", append(4, heads_of_term(4, 1)))
    assert node.effects == [SaveRow(Row(4, "c"), False), Store(heads_of_term(4, 1))]


def test_leader_of_a_lower_term_is_told_the_higher_one_and_stores_nothing() -> None:
    node = CoreNode(row=Row(4, "c"), heads=LOG[:2])
    node.hear("b", append(3, LOG[2:4]))
    assert not node.stored()
    (answer,) = node.sent(Appended, to="b")
    assert (answer.term, answer.last) == (4, 0)
    assert node.state.leader is None


def test_leader_is_taken_though_another_got_the_vote_in_its_term() -> None:
    node = CoreNode(row=Row(3, "c"))
    node.hear("b", append(3, LOG[:1]))
    assert node.saved() == Row(3, "b")
    assert node.stored() == [1]


def test_two_leaders_of_one_term_raise_an_alarm() -> None:
    node = CoreNode()
    term = node.lead()
    node.hear("b", append(term, heads_of_term(term, 1)))
    assert node.done(Alarm)
    assert not node.stored()


def test_entries_that_came_before_are_acknowledged_and_not_stored_again() -> None:
    node = following(stored=4)
    node.hear("b", append(3, LOG[1:6]))
    assert node.stored() == [5, 6]
    node.hear("b", append(3, LOG[1:6]))
    assert not node.stored()
    assert node.sent(Appended)[0].last == 4


def test_gap_is_reported_with_what_is_there() -> None:
    node = following(stored=4)
    node.hear("b", append(3, LOG[6:]))
    (answer,) = node.sent(Appended)
    assert (answer.last, answer.gap) == (4, True)
    assert not node.stored()


def test_entry_of_a_new_term_needs_its_snapshot_first() -> None:
    node = CoreNode(row=Row(3, "b"), heads=LOG)
    node.hear("c", append(4, heads_of_term(4, 2)[1:]))
    (answer,) = node.sent(Appended)
    assert (answer.term, answer.last, answer.gap) == (4, 0, True)
    assert node.state.heads.position == Position(3, 9)


def test_snapshot_of_a_newer_term_replaces_the_log_whatever_was_in_it() -> None:
    node = CoreNode(row=Row(3, "b"), heads=LOG)
    node.step(Damaged(Position(3, 4)))
    node.hear("c", append(4, heads_of_term(4, 2)))
    node.store_all()
    assert node.sent(Appended)[0].last == 2
    assert node.state.holes == frozenset()


def test_snapshot_that_comes_twice_is_stored_once() -> None:
    node = CoreNode(row=Row(3, "b"), heads=LOG)
    node.hear("c", append(4, heads_of_term(4, 1)))
    node.hear("c", append(4, heads_of_term(4, 1)))
    assert not node.stored()
    node.step(Stored(Position(4, 1)))
    node.hear("c", append(4, heads_of_term(4, 1), sent=9.0))
    assert node.sent(Appended)[0].last == 1


def test_store_of_an_older_term_that_ends_late_is_not_acknowledged_in_the_new_one() -> None:
    node = following(stored=4)
    node.hear("b", append(3, LOG[4:6]))
    node.hear("c", append(4, heads_of_term(4, 1)))
    assert not node.step(Stored(Position(3, 6)))
    assert node.state.stored == Position(3, 4)
    node.step(Stored(Position(4, 1)))
    assert [(answer.term, answer.last) for answer in node.sent(Appended, to="c")] == [(4, 1)]


def test_store_that_ends_after_a_vote_for_a_higher_term_is_acknowledged_to_nobody() -> None:
    node = following(stored=4)
    node.hear("b", append(3, LOG[4:6]))
    node.hear("b", Release(3))
    vote = CoreNode(name="c", peers=frozenset("ab"), row=Row(3, "c"), heads=LOG[:4]).stand()
    node.hear("c", vote)
    assert node.saved() == Row(4, "c")
    assert not node.step(Stored(Position(3, 6)))
    node.hear("c", append(4))
    assert node.sent(Appended)[0].last == 0


def test_other_entry_at_the_same_position_is_refused_loudly() -> None:
    node = following(stored=4)
    other = Head(3, 4, b"x" * 32, LOG[2].sha256, 10)
    node.hear("b", append(3, (other, *LOG[4:])))
    assert node.done(Alarm)
    assert not node.stored()


def test_entry_that_does_not_follow_the_last_one_is_refused_loudly() -> None:
    node = following(stored=4)
    other = Head(3, 5, b"x" * 32, b"y" * 32, 10)
    node.hear("b", append(3, (other,)))
    assert node.done(Alarm)
    assert not node.stored()


def test_entries_of_another_term_than_the_leaders_are_not_stored() -> None:
    node = CoreNode(row=Row(3, "b"))
    node.hear("b", append(3, heads_of_term(5, 1)))
    node.hear("b", append(4, heads_of_term(3, 1)))
    assert node.state.heads.last == 0


def test_committed_is_no_more_than_the_leader_said_nor_than_is_stored() -> None:
    node = following(stored=4)
    node.hear("b", append(3, LOG[4:6], commit=9))
    assert node.done(Committed) == [Committed(Position(3, 4))]
    node.store_all()
    assert node.done(Committed) == [Committed(Position(3, 6))]
    node.hear("b", append(3, commit=2, sent=3.0))
    assert not node.done(Committed)


def test_commit_of_an_older_term_says_nothing_of_the_new_terms_entries() -> None:
    node = following(stored=4)
    node.hear("b", append(3, commit=4))
    node.hear("c", append(4, heads_of_term(4, 3)))
    node.store_all()
    assert not node.done(Committed)


def test_damaged_entry_is_not_acknowledged_until_it_has_come_again() -> None:
    node = following(stored=6)
    node.step(Damaged(Position(3, 4)))
    (answer,) = node.sent(Appended, to="b")
    assert (answer.last, answer.gap, answer.eligible) == (3, True, False)
    node.hear("b", append(3, LOG[3:], sent=3.0))
    assert node.done(Mend) == [Mend(LOG[3])]
    assert node.stored() == [7, 8, 9]
    node.hear("b", append(3, LOG[3:4], sent=4.0))
    assert not node.done(Mend)
    assert not node.sent(Appended)[0].gap
    node.step(Mended(Position(3, 4)))
    (answer,) = node.sent(Appended, to="b")
    assert (answer.last, answer.gap, answer.eligible) == (6, False, True)


def test_damage_to_an_entry_that_is_not_held_is_nothing() -> None:
    node = following(stored=6)
    for position in (Position(3, 7), Position(2, 1)):
        assert not node.step(Damaged(position))


def test_only_what_is_applied_and_not_wanted_any_more_is_trimmed() -> None:
    node = following(stored=6)
    node.hear("b", append(3, commit=6, kept=4))
    node.tick()
    assert not node.done(Trim)
    node.step(Applied(Position(3, 2)))
    node.tick()
    assert node.done(Trim) == [Trim(Position(3, 3))]
    node.step(Applied(Position(3, 6)))
    node.tick()
    assert node.done(Trim) == [Trim(Position(3, 4))]


def test_last_entry_is_never_trimmed() -> None:
    node = following(stored=6)
    node.hear("b", append(3, commit=6, kept=9))
    node.step(Applied(Position(3, 6)))
    node.tick()
    assert node.done(Trim) == [Trim(Position(3, 6))]
    node.hear("b", append(3, LOG[6:]))
    assert node.stored() == [7, 8, 9]


def test_witness_counts_as_applied_what_is_committed() -> None:
    node = following(stored=6, witness=True)
    node.hear("b", append(3, commit=5, kept=4))
    assert node.sent(Appended)[0].applied == Position(3, 5)
    node.tick()
    assert node.done(Trim) == [Trim(Position(3, 4))]


def test_leader_that_is_not_heard_is_forgotten() -> None:
    node = following()
    assert node.state.leader == "b"
    node.tick(at=TTL_S - 0.1, jitter=0.9)
    assert node.state.leader == "b"
    node.tick(at=TTL_S, jitter=0.9)
    assert node.state.leader is None


def test_released_lease_is_over_at_once_but_only_for_who_holds_it() -> None:
    node = following()
    node.hear("c", Release(3))
    node.hear("b", Release(2))
    assert node.state.lease_until == 1000 + TTL_S
    node.hear("b", Release(3))
    assert node.state.lease_until == node.now
    assert node.state.leader is None


def test_message_of_a_name_that_is_not_configured_is_ignored() -> None:
    node = CoreNode()
    assert not node.hear("x", append(9))


@pytest.mark.parametrize(
    ("heads", "row", "complaint"),
    [
        ((LOG[0], LOG[2]), Row(3, "b"), "do not follow"),
        ((LOG[0], heads_of_term(4, 1)[0]), Row(4, "b"), "do not follow"),
        (LOG, Row(2, "b"), "not seen"),
    ],
)
def test_disk_that_says_what_can_not_be_is_an_error(
    heads: tuple[Head, ...], row: Row, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        CoreNode(row=row, heads=heads)


def test_leader_deposed_by_an_append_stops_before_it_takes_the_new_row() -> None:
    node = CoreNode()
    term = node.lead()
    node.hear("b", append(term + 1))
    assert [type(effect).__name__ for effect in node.effects] == ["StepDown", "SaveRow", "Send"]
    assert isinstance(node.effects[-1], Send)
    assert not node.sent(Append)
