import pytest

from tests.tqnode.replication.core_node import TTL_S, CoreNode, append, appended, heads_of_term
from tqnode.replication.effects import Lead, Mend, Row, SaveRow, Send, StepDown
from tqnode.replication.entry import NOTHING, Position
from tqnode.replication.events import CannotLead, Damaged, Mended, Stored
from tqnode.replication.messages import Append, Ask, Lend, Vote, Would, WouldYou

LOG = heads_of_term(3, 5)
FULL = Position(3, 5)


def would(node: CoreNode, term: int, *, last: Position = FULL, over: int = 0, sender: str = "b") -> bool:
    node.hear(sender, WouldYou(term, last, 1, over))
    return node.sent(Would)[0].yes


def votes(node: CoreNode, term: int, *, last: Position = FULL, over: int = 0, sender: str = "b") -> bool:
    node.hear(sender, Ask(term, last, 1, over))
    return node.sent(Vote)[0].yes


def test_node_without_a_leader_asks_before_it_stands() -> None:
    node = CoreNode(row=Row(3, "a"), heads=LOG)
    node.tick()
    assert node.sent(WouldYou) == [WouldYou(4, FULL, 1, 0)] * 2
    assert node.saved() is None
    assert node.state.row == Row(3, "a")


def test_node_stands_only_when_a_majority_would_vote_for_it() -> None:
    node = CoreNode(peers=frozenset("bcde"))
    node.tick()
    node.hear("b", Would(0, 1, True, False))
    node.hear("c", Would(0, 1, False, False))
    assert node.state.campaign is not None
    assert not node.state.campaign.binding
    node.hear("d", Would(0, 1, True, False))
    assert node.saved() == Row(1, "a")


def test_own_vote_is_saved_before_any_other_is_asked_for() -> None:
    node = CoreNode()
    node.stand()
    kinds = [type(effect) for effect in node.effects]
    assert kinds == [SaveRow, Send, Send]


def test_vote_is_saved_before_it_is_told() -> None:
    node = CoreNode()
    node.hear("b", Ask(1, NOTHING, 1, 0))
    assert node.effects == [SaveRow(Row(1, "b"), False), Send("b", Vote(1, 1, True))]


def test_majority_of_votes_makes_a_leader_who_says_so_at_once() -> None:
    node = CoreNode(peers=frozenset("bcde"))
    node.tick()
    for peer in "bc":
        node.hear(peer, Would(0, 1, True, False))
    node.hear("b", Vote(1, 2, True))
    node.hear("b", Vote(1, 2, True))
    assert node.state.role == "candidate"
    node.hear("c", Vote(1, 2, True))
    assert node.done(Lead) == [Lead(1)]
    assert node.receivers(Append) == set("bcde")


def test_node_without_peers_elects_itself() -> None:
    node = CoreNode(peers=frozenset())
    node.tick()
    assert node.effects == [SaveRow(Row(1, "a"), False), Lead(1)]


def test_second_candidate_of_a_term_gets_no_vote() -> None:
    node = CoreNode()
    assert votes(node, 1, last=NOTHING, sender="b")
    assert not votes(node, 1, last=NOTHING, sender="c")
    assert votes(node, 1, last=NOTHING, sender="b")


def test_lower_or_equal_term_gets_no_vote() -> None:
    node = CoreNode(row=Row(3, "a"), heads=LOG)
    assert not votes(node, 2)
    assert not votes(node, 3)
    assert votes(node, 4)


@pytest.mark.parametrize(
    ("last", "given"),
    [(Position(3, 4), False), (Position(2, 900), False), (Position(3, 5), True), (Position(4, 1), True)],
)
def test_candidate_with_less_than_the_voter_gets_no_vote(last: Position, given: bool) -> None:
    assert would(CoreNode(row=Row(3, "a"), heads=LOG), 5, last=last) == given
    assert votes(CoreNode(row=Row(3, "a"), heads=LOG), 5, last=last) == given


def test_no_vote_against_a_lease_that_was_granted_by_an_append() -> None:
    node = CoreNode()
    node.hear("b", append(3), at=1)
    node.tick(at=1 + TTL_S - 0.01)
    assert not would(node, 4, sender="c")
    assert not votes(node, 4, sender="c")
    assert votes(node, 4, sender="b")


def test_vote_is_possible_once_the_granted_lease_has_run_out() -> None:
    node = CoreNode()
    node.hear("b", append(3), at=1)
    node.hear("c", Ask(4, FULL, 1, 0), at=1 + TTL_S)
    assert node.sent(Vote)[0].yes


def test_given_vote_is_a_lease_too() -> None:
    node = CoreNode()
    assert votes(node, 1, sender="b")
    assert not votes(node, 2, sender="c")
    node.hear("c", Ask(2, FULL, 1, 0), at=TTL_S)
    assert node.sent(Vote)[0].yes


def test_restarted_voter_waits_a_whole_lease_before_it_votes_or_stands() -> None:
    node = CoreNode(row=Row(3, "b"), heads=LOG)
    assert not votes(node, 4, sender="c")
    node.tick(at=TTL_S - 0.01)
    assert not node.effects
    node.tick(at=TTL_S)
    assert node.receivers(WouldYou) == {"b", "c"}


def test_restarted_leader_need_not_wait_for_its_own_lease() -> None:
    node = CoreNode(row=Row(3, "a"), heads=LOG)
    node.tick()
    assert node.sent(WouldYou)[0].term == 4


def test_old_append_that_comes_again_renews_no_lease() -> None:
    node = CoreNode()
    node.hear("b", append(3, sent=7.0), at=1)
    node.hear("b", append(3, sent=7.0), at=2)
    node.hear("b", append(3, sent=6.0), at=2.5)
    assert node.state.lease_until == 1000 + 1 + TTL_S


def test_vote_that_comes_after_its_time_elects_nobody() -> None:
    node = CoreNode()
    question = node.stand()
    node.hear("b", Vote(question.term, question.round, True), at=TTL_S * 0.98)
    assert not node.effects
    node.tick()
    assert node.state.role == "follower"


def test_vote_of_another_round_or_term_does_not_count() -> None:
    node = CoreNode()
    question = node.stand()
    node.hear("b", Vote(question.term, question.round - 1, True))
    node.hear("b", Vote(question.term + 1, question.round, True))
    assert node.state.role == "candidate"


def test_led_lease_counts_from_before_the_votes_were_asked_for() -> None:
    node = CoreNode()
    question = node.stand()
    node.hear("b", Vote(question.term, question.round, True), at=1.5)
    assert node.state.lease_until == pytest.approx(1000 + TTL_S * 0.98)


def test_candidate_asks_again_those_who_have_not_answered() -> None:
    node = CoreNode(peers=frozenset("bcde"))
    node.tick()
    for peer in "bc":
        node.hear(peer, Would(0, 1, True, False))
    node.hear("b", Vote(1, 2, True))
    node.hear("c", Vote(1, 2, False))
    node.tick(at=TTL_S / 4)
    assert node.receivers(Ask) == {"d", "e"}


def test_candidate_gives_up_when_too_many_refuse_and_never_stands_in_that_term_again() -> None:
    node = CoreNode()
    node.stand()
    node.hear("b", Vote(1, 2, False))
    node.hear("c", Vote(7, 2, False))
    assert node.state.role == "follower"
    node.tick(at=1)
    assert node.sent(WouldYou)[0].term == 8


def test_candidate_follows_whoever_won_its_term() -> None:
    node = CoreNode()
    question = node.stand()
    node.hear("c", append(question.term))
    assert node.saved() == Row(question.term, "c")
    assert (node.state.role, node.state.leader) == ("follower", "c")
    node.hear("b", Vote(question.term, question.round, True))
    assert node.state.role == "follower"


def test_of_two_who_ask_at_once_one_gives_way() -> None:
    first, second = CoreNode(heads=LOG, row=Row(3, "")), CoreNode(heads=LOG, row=Row(3, ""), name="b")
    second.settings = CoreNode(name="b", peers=frozenset("ac")).settings
    first.tick()
    second.tick()
    assert would(first, 4, sender="b")
    assert first.state.campaign is None
    assert not would(second, 4, sender="a")
    assert second.state.campaign is not None


@pytest.mark.parametrize("jitter", [0.0, 0.5, 0.99])
def test_standing_is_put_off_by_chance_but_not_for_long(jitter: float) -> None:
    node = CoreNode(row=Row(3, "b"))
    node.tick(at=TTL_S + jitter * TTL_S / 8 - 0.001, jitter=jitter)
    assert not node.effects
    node.tick(at=TTL_S + TTL_S / 8, jitter=jitter)
    assert node.sent(WouldYou)


def test_witness_votes_but_never_stands() -> None:
    node = CoreNode(witness=True)
    node.tick(at=100)
    assert not node.effects
    assert votes(node, 1)


def test_live_leader_would_vote_for_nobody() -> None:
    node = CoreNode()
    term = node.lead()
    assert not would(node, term + 1)
    assert not votes(node, term + 1)
    assert node.state.role == "leader"


def test_damaged_node_votes_only_for_who_holds_all_it_ever_held_and_does_not_stand() -> None:
    node = CoreNode(row=Row(3, "a"), heads=LOG)
    node.step(Damaged(Position(3, 2)))
    assert not would(node, 4, last=Position(3, 4))
    assert would(node, 4, last=Position(3, 5))
    node.tick()
    node.hear("b", Would(3, node.state.round, True, False))
    assert node.saved() is None
    assert votes(node, 4, last=Position(3, 5))


def test_damage_to_what_is_applied_hinders_nobody() -> None:
    node = CoreNode(row=Row(3, "a"), heads=LOG, applied=Position(3, 2))
    node.step(Damaged(Position(3, 2)))
    node.stand()
    assert node.state.role == "candidate"


def test_node_that_can_not_lead_lets_the_others_lead_for_a_while() -> None:
    node = CoreNode()
    term = node.lead()
    node.step(CannotLead(term))
    assert node.done(StepDown)
    assert node.state.role == "follower"
    node.tick(at=5.9)
    assert not node.sent(WouldYou)
    node.tick(at=6)
    assert node.sent(WouldYou)


def test_report_of_an_older_term_that_can_not_be_led_changes_nothing() -> None:
    node = CoreNode()
    term = node.lead()
    assert not node.step(CannotLead(term - 1))
    assert node.state.role == "leader"


def test_who_asks_with_less_is_lent_what_it_lacks() -> None:
    node = CoreNode(row=Row(3, "c"), heads=LOG, witness=True)
    node.hear("b", WouldYou(4, Position(3, 2), 1, 0), at=TTL_S)
    assert node.sent(Lend) == [Lend(3, LOG[2:])]
    node.hear("b", WouldYou(4, Position(2, 80), 1, 0))
    assert node.sent(Lend) == [Lend(3, LOG)]


def test_nothing_is_lent_while_there_is_a_leader_or_from_behind_a_damaged_entry() -> None:
    node = CoreNode(row=Row(3, "c"), heads=LOG)
    node.hear("b", WouldYou(4, Position(3, 2), 1, 0), at=TTL_S - 0.01)
    assert not node.sent(Lend)
    node.step(Damaged(Position(3, 4)))
    node.hear("b", WouldYou(4, Position(3, 2), 1, 0), at=TTL_S)
    assert node.sent(Lend) == [Lend(3, LOG[2:3])]


def test_damaged_node_borrows_what_it_has_to_mend_and_can_stand_again() -> None:
    node = CoreNode(row=Row(3, "a"), heads=LOG)
    node.step(Damaged(Position(3, 4)))
    node.tick()
    assert node.sent(WouldYou, to="b")[0].last == Position(3, 3)
    node.hear("b", Lend(3, LOG[3:]))
    assert node.done(Mend) == [Mend(LOG[3])]
    node.step(Mended(Position(3, 4)))
    assert node.sent(WouldYou, to="b")[0].last == FULL
    node.hear("b", Would(3, node.state.round, True, False))
    assert node.saved() == Row(4, "a")


def test_borrower_stores_what_it_is_lent_acknowledges_nothing_and_asks_again_with_more() -> None:
    node = CoreNode(row=Row(3, "c"), heads=LOG[:2])
    node.tick(at=TTL_S)
    node.hear("c", Lend(3, LOG[2:]))
    assert node.stored() == [3, 4, 5]
    assert not node.done(Send)
    node.step(Stored(Position(3, 5)))
    assert node.sent(WouldYou, to="b")[0].last == FULL


def test_loan_of_a_newer_term_raises_the_row_so_that_no_older_snapshot_replaces_it() -> None:
    node = CoreNode(row=Row(2, "c"), heads=heads_of_term(2, 3))
    node.tick(at=TTL_S)
    node.hear("c", Lend(3, LOG))
    assert node.saved() == Row(3, "")
    assert node.stored() == [1, 2, 3, 4, 5]
    node.store_all()
    node.hear("b", append(2, heads_of_term(2, 1, first=4)))
    assert not node.stored()


def test_leader_takes_no_loan() -> None:
    node = CoreNode()
    node.lead()
    assert not node.hear("c", Lend(3, LOG))


def test_leader_steps_down_when_its_lease_has_run_out() -> None:
    node = CoreNode()
    term = node.lead()
    node.tick(at=TTL_S * 0.98 - 0.01)
    assert node.state.role == "leader"
    node.tick(at=TTL_S * 0.98)
    assert node.done(StepDown) == [StepDown(term, "the lease has run out")]


def test_led_lease_is_renewed_from_when_a_majority_was_last_asked() -> None:
    node = CoreNode(peers=frozenset("bcde"))
    node.tick()
    for peer in "bc":
        node.hear(peer, Would(0, 1, True, False))
    for peer in "bc":
        node.hear(peer, Vote(1, 2, True))
    node.tick(at=1.5)
    node.hear("b", appended(1, sent=1001.4))
    node.hear("c", appended(1, sent=1001.2))
    assert node.state.lease_until == pytest.approx(1001.2 + TTL_S * 0.98)


def test_leader_whose_disk_stands_still_loses_its_lease_though_all_answer() -> None:
    node = CoreNode()
    term = node.lead()
    for step in range(1, 10):
        node.tick(at=step / 4, alive=step == 1)
        for peer in "bc":
            node.hear(peer, appended(term, sent=node.now))
        if node.state.role != "leader":
            break
    assert node.state.role == "follower"
    assert node.now - 1000 == pytest.approx(2.25)


def test_leader_opens_a_new_term_without_leaving_the_old_one_before_a_majority_would() -> None:
    node = CoreNode(new_term_every_s=1.0)
    term = node.lead()
    node.hear("b", appended(term, sent=1000.5), at=0.5)
    node.hear("c", appended(term, counts=False, sent=1000.5), disk="new-c")
    node.tick(at=0.9)
    assert not node.sent(WouldYou)
    node.tick(at=1.0)
    question = node.sent(WouldYou, to="b")[0]
    assert node.state.role == "leader"
    node.hear("b", Would(term, question.round, True, False))
    assert node.saved() == Row(term + 1, "a")
    assert node.receivers(Ask) == {"b"}
    assert node.done(StepDown)
