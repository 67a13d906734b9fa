from tests.tqnode.replication.core_node import TTL_S, CoreNode, appended, heads_of_term
from tqnode.replication.effects import Alarm, Committed, Row, Serve, StepDown, Store, Trim
from tqnode.replication.entry import Position
from tqnode.replication.events import Damaged, Produced, Stored
from tqnode.replication.messages import Append, Vote, Would, WouldYou

LOG = heads_of_term(1, 300)


def leading(*, produced: int = 0, heard: str = "bc", **options: object) -> CoreNode:
    """A leader of term 1 that some peers have answered; its own entries are stored."""
    node = CoreNode(**options)  # type: ignore[arg-type]  # its own
    assert node.lead() == 1
    for peer in heard:
        node.hear(peer, appended(1, sent=node.now))
    if produced:
        node.step(Produced(LOG[:produced]))
        node.step(Stored(Position(1, produced)))
    return node


def shipped(node: CoreNode, to: str) -> list[int]:
    return [head.txid for message in node.sent(Append, to=to) for head in message.heads]


def test_produced_entries_are_stored_and_sent_at_once() -> None:
    node = leading()
    node.step(Produced(LOG[:2]))
    assert node.done(Store) == [Store(LOG[:2])]
    assert shipped(node, "b") == shipped(node, "c") == [1, 2]


def test_entry_is_committed_when_a_majority_has_it_and_not_before() -> None:
    node = leading()
    node.step(Produced(LOG[:3]))
    node.hear("b", appended(1, 2))
    assert not node.done(Committed)
    node.step(Stored(Position(1, 1)))
    assert node.effects == [Serve(1), Committed(Position(1, 1))]
    node.hear("c", appended(1, 3))
    assert node.done(Committed) == [Committed(Position(1, 2))]
    assert not node.done(Serve)


def test_majority_is_of_all_configured_nodes_and_not_of_those_that_are_heard() -> None:
    node = CoreNode(peers=frozenset("bcdef"))
    node.tick()
    for peer in "bcd":
        node.hear(peer, Would(0, 1, True, False))
    for peer in "bcd":
        node.hear(peer, Vote(1, 2, True))
    node.step(Produced(LOG[:1]))
    node.step(Stored(Position(1, 1)))
    for peer in "bc":
        node.hear(peer, appended(1, 1))
        assert not node.done(Committed)
    node.hear("d", appended(1, 1))
    assert node.done(Committed)


def test_old_terms_log_is_neither_sent_nor_counted_by_the_new_leader() -> None:
    node = CoreNode(row=Row(1, "a"), heads=LOG[:5])
    term = node.lead()
    for peer in "bc":
        node.hear(peer, appended(term, sent=node.now))
        node.hear(peer, appended(1, 5, sent=node.now))
        assert not node.effects
    assert not node.state.serving


def test_answer_of_a_higher_term_ends_the_term() -> None:
    node = leading(produced=2)
    node.hear("b", appended(7))
    assert node.done(StepDown) == [StepDown(1, "b has seen term 7")]
    assert not node.done(Committed)
    node.tick(at=0.1)
    assert node.sent(WouldYou)[0].term == 8


def test_entries_that_come_from_the_log_writer_after_its_term_are_nothing() -> None:
    node = leading(produced=2)
    node.hear("b", appended(7))
    assert not node.step(Produced(LOG[2:3]))
    assert node.state.heads.last == 2


def test_own_store_that_ends_after_the_term_commits_nothing() -> None:
    node = leading()
    node.step(Produced(LOG[:3]))
    node.hear("c", appended(1, 3))
    node.hear("b", appended(7))
    assert not node.step(Stored(Position(1, 3)))
    assert node.state.stored == Position(1, 3)


def test_leader_of_an_older_log_may_say_it_holds_what_it_produced_but_did_not_store() -> None:
    node = leading()
    node.step(Produced(LOG[:3]))
    node.hear("b", appended(7))
    node.tick(at=0.1)
    assert node.sent(WouldYou)[0].last == Position(1, 3)


def test_log_writers_entry_that_does_not_follow_raises_an_alarm() -> None:
    node = leading(produced=2)
    node.step(Produced(LOG[3:4]))
    assert node.done(Alarm)
    assert not node.done(Store)


def test_window_of_entries_bounds_what_is_on_its_way() -> None:
    node = leading(window_entries=4)
    node.step(Produced(LOG[:10]))
    assert shipped(node, "b") == [1, 2, 3, 4]
    node.hear("b", appended(1, 3))
    assert shipped(node, "b") == [5, 6, 7]


def test_window_of_bytes_bounds_what_is_on_its_way_but_lets_one_entry_through() -> None:
    node = leading(window_bytes=25)
    node.step(Produced(LOG[:10]))
    assert shipped(node, "b") == [1, 2]
    node.hear("b", appended(1, 2))
    assert shipped(node, "b") == [3, 4]
    small = leading(window_bytes=5)
    small.step(Produced(LOG[:3]))
    assert shipped(small, "b") == [1]


def test_missing_entries_are_sent_again_once_for_each_time_they_are_missed() -> None:
    node = leading(produced=4)
    node.hear("b", appended(1, 1, gap=True, sent=1000.0), at=0.1)
    assert shipped(node, "b") == [2, 3, 4]
    node.hear("b", appended(1, 1, gap=True, sent=1000.05))
    assert shipped(node, "b") == []
    node.hear("b", appended(1, 1, gap=True, sent=1000.1), at=0.2)
    assert shipped(node, "b") == [2, 3, 4]


def test_unanswered_entries_are_sent_again_after_a_while() -> None:
    node = leading(produced=3)
    node.tick(at=TTL_S / 4 - 0.01)
    assert shipped(node, "b") == []
    node.tick(at=TTL_S / 4)
    assert shipped(node, "b") == [1, 2, 3]


def test_entries_that_reached_a_peer_which_stores_slowly_are_not_sent_again() -> None:
    node = leading(produced=4)
    node.hear("b", appended(1, 1, taken=3, sent=node.now), at=0.1)
    node.tick(at=0.1 + TTL_S / 4)
    assert shipped(node, "b") == [4]
    node.hear("b", appended(1, 1, taken=4, sent=node.now))
    node.tick(at=1.5)
    assert shipped(node, "b") == []
    node.hear("b", appended(1, 1, taken=1, sent=node.now))
    node.tick(at=1.6)
    assert shipped(node, "b") == [2, 3, 4], "it has started anew, and has lost what it had not stored"


def test_silent_peer_gets_renewals_but_no_entries() -> None:
    node = leading(produced=3, heard="b")
    node.tick(at=0.5)
    assert node.sent(Append, to="c")
    assert shipped(node, "c") == []
    node.hear("c", appended(1, sent=node.now))
    assert shipped(node, "c") == [1, 2, 3]


def test_all_peers_get_a_renewal_every_quarter_of_a_lease_and_learn_what_is_committed() -> None:
    node = leading(produced=3)
    node.hear("b", appended(1, 3))
    node.tick(at=TTL_S / 4 - 0.01)
    assert not node.receivers(Append)
    node.tick(at=TTL_S / 4)
    assert node.receivers(Append) == {"b", "c"}
    assert {message.commit for message in node.sent(Append)} == {3}


def test_nothing_is_trimmed_that_a_peer_has_not_applied_up_to_the_limit() -> None:
    node = leading(produced=10, kept_entries=100)
    node.hear("b", appended(1, 10, applied=10))
    node.hear("c", appended(1, 10, applied=6))
    node.tick()
    assert node.done(Trim) == [Trim(Position(1, 7))]


def test_peer_that_is_away_keeps_no_more_than_the_limits_of_the_log() -> None:
    entries = leading(produced=200, kept_entries=50)
    entries.hear("b", appended(1, 200, applied=200))
    entries.tick()
    assert entries.done(Trim) == [Trim(Position(1, 151))]
    size = leading(produced=200, kept_bytes=300)
    size.hear("b", appended(1, 200, applied=200))
    size.tick()
    assert size.done(Trim) == [Trim(Position(1, 171))]


def test_large_snapshot_alone_is_no_reason_to_trim_it() -> None:
    node = leading(kept_bytes=100)
    log = heads_of_term(1, 3, size=1000)
    node.step(Produced(log[:1]))
    node.step(Stored(Position(1, 1)))
    node.hear("b", appended(1, 1, applied=1))
    node.tick()
    assert not node.done(Trim)


def test_nothing_is_trimmed_that_is_not_committed_or_not_on_the_own_disk() -> None:
    node = leading(produced=20, kept_entries=3)
    node.tick()
    assert not node.done(Trim)
    slow = leading(kept_entries=3)
    slow.step(Produced(LOG[:20]))
    for peer in "bc":
        slow.hear(peer, appended(1, 20, applied=20))
    slow.step(Stored(Position(1, 5)))
    slow.tick()
    assert slow.done(Trim) == [Trim(Position(1, 5))]


def test_peer_that_fell_off_the_log_gets_a_new_term_but_not_too_often() -> None:
    node = leading(produced=20, kept_entries=3, new_term_every_s=1.0)
    node.hear("b", appended(1, 20, applied=20))
    node.tick()
    node.hear("b", appended(1, 20, applied=20, sent=node.now), at=0.9)
    node.hear("c", appended(1, 2, sent=node.now, gap=True))
    node.tick()
    assert not node.sent(WouldYou)
    node.tick(at=1.0)
    assert node.receivers(WouldYou) == {"b", "c"}


def test_witness_keeps_all_that_no_majority_holds_without_it() -> None:
    node = leading(produced=20, kept_entries=3, new_term_every_s=1.0)
    node.hear("b", appended(1, 20, applied=20, witness=True))
    node.hear("c", appended(1, 4, applied=4))
    node.tick(at=0.25)
    node.tick(at=0.5)
    kept = {to: node.sent(Append, to=to)[-1].kept for to in "bc"}
    assert node.state.heads.first == 18
    assert kept == {"b": 5, "c": 18}
    node.hear("b", appended(1, 20, applied=20, sent=node.now, witness=True), at=1.0)
    node.tick()
    assert node.sent(WouldYou), "only a new snapshot lets the witness forget the old entries"


def test_leaders_damaged_entry_is_not_sent_and_gets_who_needs_it_a_new_term() -> None:
    node = leading(produced=5, heard="b", new_term_every_s=1.0)
    node.step(Damaged(Position(1, 3)))
    node.hear("c", appended(1, sent=node.now), at=0.9)
    assert shipped(node, "c") == [1, 2]
    node.hear("c", appended(1, 2, sent=node.now))
    assert shipped(node, "c") == []
    node.tick(at=1.0)
    assert node.sent(WouldYou)
