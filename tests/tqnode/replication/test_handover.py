from tests.tqnode.replication.core_node import TTL_S, CoreNode, append, appended, heads_of_term
from tqnode.replication.effects import Committed, Row, SaveRow, Send, StayLeader, StepDown
from tqnode.replication.entry import Position
from tqnode.replication.events import HandOver, Produced, Stored
from tqnode.replication.messages import Ask, Release, TakeOver, Vote, WouldYou

LOG = heads_of_term(1, 5)


def serving(*, b: int = 5, c: int = 5, **options: bool) -> CoreNode:
    """A leader whose five entries are stored by itself and, as far as given, by its peers."""
    node = CoreNode()
    node.lead()
    node.step(Produced(LOG))
    node.step(Stored(Position(1, 5)))
    node.hear("b", appended(1, b, sent=node.now))
    node.hear("c", appended(1, c, sent=node.now, **options))
    return node


def test_leader_stops_before_it_tells_another_to_take_over() -> None:
    node = serving()
    node.step(HandOver("b"))
    assert node.effects == [
        StepDown(1, "b takes over"),
        Send("b", Release(1)),
        Send("c", Release(1)),
        Send("b", TakeOver(1)),
    ]


def test_leader_waits_until_the_other_has_everything() -> None:
    node = serving(b=3)
    assert not node.step(HandOver("b"))
    node.hear("b", appended(1, 4))
    assert not node.done(StepDown)
    node.hear("b", appended(1, 5))
    assert node.sent(TakeOver, to="b")


def test_leader_waits_until_everything_is_committed() -> None:
    node = serving(b=5, c=5)
    node.step(Produced(heads_of_term(1, 1, first=6)))
    assert not node.step(HandOver("b"))
    assert not node.hear("b", appended(1, 6))
    node.step(Stored(Position(1, 6)))
    assert node.sent(TakeOver, to="b")


def test_last_entries_are_committed_before_the_leader_steps_down_in_the_same_step() -> None:
    node = serving()
    node.step(Produced(heads_of_term(1, 1, first=6)))
    node.step(Stored(Position(1, 6)))
    node.step(HandOver("b"))
    node.hear("b", appended(1, 6))
    assert node.effects[:2] == [Committed(Position(1, 6)), StepDown(1, "b takes over")]


def test_leader_stays_if_the_other_does_not_get_everything_in_time() -> None:
    node = serving(b=3)
    node.step(HandOver("b"))
    node.tick(at=TTL_S / 2 - 0.01)
    assert not node.done(StayLeader)
    node.tick(at=TTL_S / 2)
    assert node.done(StayLeader) == [StayLeader(1, "b did not get everything in time")]
    assert node.state.role == "leader"


def test_leader_chooses_the_peer_that_has_most_of_those_that_could_lead() -> None:
    assert _taker(serving(b=4, c=5)) == {"c"}
    assert _taker(serving(b=5, c=5, eligible=False)) == {"b"}


def _taker(node: CoreNode) -> set[str]:
    node.step(HandOver(None))
    return node.receivers(TakeOver)


def test_leader_stays_if_nobody_could_lead() -> None:
    node = serving(c=5, eligible=False)
    node.step(HandOver("c"))
    assert node.done(StayLeader) == [StayLeader(1, "c can't lead now")]
    node.step(HandOver("x"))
    assert node.done(StayLeader) == [StayLeader(1, "x can't lead now")]
    assert node.state.role == "leader"


def test_leader_stays_before_a_majority_has_its_snapshot() -> None:
    node = CoreNode()
    node.lead()
    node.hear("b", appended(1, sent=node.now))
    node.step(HandOver("b"))
    assert node.done(StayLeader) == [StayLeader(1, "no majority has the snapshot yet")]


def test_peer_that_is_not_heard_is_not_handed_to() -> None:
    node = serving()
    node.hear("b", appended(1, 5, sent=node.now), at=TTL_S - 0.2)
    node.hear("b", appended(1, 5, sent=node.now), at=TTL_S - 0.1)
    node.step(HandOver("c"), at=TTL_S)
    assert node.done(StayLeader)


def test_hand_over_to_a_follower_is_not_for_it_to_decide() -> None:
    node = CoreNode()
    assert not node.step(HandOver("b"))


def test_node_told_to_take_over_stands_at_once_and_says_that_the_lease_is_over() -> None:
    node = CoreNode(row=Row(1, "b"), heads=LOG)
    node.hear("b", append(1))
    node.hear("b", TakeOver(1))
    assert node.effects[0] == SaveRow(Row(2, "a"), False)
    assert node.sent(Ask) == [Ask(2, Position(1, 5), 1, 1)] * 2


def test_only_the_holder_of_the_row_can_tell_a_node_to_take_over() -> None:
    node = CoreNode(row=Row(1, "b"), heads=LOG)
    assert not node.hear("c", TakeOver(1))
    assert not node.hear("b", TakeOver(0))


def test_witness_does_not_take_over() -> None:
    node = CoreNode(row=Row(1, "b"), heads=LOG, witness=True)
    assert not node.hear("b", TakeOver(1))


def test_voter_that_missed_the_release_votes_for_who_takes_over_and_for_nobody_else() -> None:
    node = CoreNode(row=Row(1, "b"), heads=LOG)
    node.hear("b", append(1))
    node.hear("c", Ask(2, Position(1, 5), 1, 0))
    assert not node.sent(Vote)[0].yes
    node.hear("c", Ask(2, Position(1, 5), 1, 1))
    assert node.sent(Vote)[0].yes


def test_old_leader_leaves_the_election_to_the_others_for_a_lease() -> None:
    node = serving()
    node.step(HandOver("b"))
    node.tick(at=TTL_S - 0.01)
    assert not node.effects
    node.tick(at=TTL_S)
    assert node.sent(WouldYou)


def test_old_leader_may_vote_for_who_takes_over_at_once() -> None:
    node = serving()
    node.step(HandOver("b"))
    node.hear("b", Ask(2, Position(1, 5), 1, 1))
    assert node.sent(Vote) == [Vote(2, 1, True)]
