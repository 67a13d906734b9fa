"""Bugs to be planted: each breaks one rule of the core, or one duty of its driver, and must be noticed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
import pytest

from tests.tqnode.replication.simulation.flaws import Flaws
from tqnode.replication import election, following, rules, shipping, step
from tqnode.replication.effects import Committed
from tqnode.replication.entry import Head
from tqnode.replication.messages import Append, Ask, Vote, WouldYou
from tqnode.replication.state import Durable, Settings, State


class Bug(NamedTuple):
    """A bug.

    Args:
        plant: puts it into the core.
        flaws: or what the driver does wrong.
        seed: notices it.
    """

    plant: Callable[[pytest.MonkeyPatch], None] | None = None
    flaws: Flaws | None = None
    seed: int = 0


def _rule(name: str, wrong: Any) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(rules, name, wrong)


def _may_vote_in_any_term(state: State, asker: str, question: WouldYou | Ask, now: float) -> bool:
    return (
        rules.has_vote(state)
        and state.role != "leader"
        and rules.up_to_date(state, question.last)
        and rules.lease_over(state, asker, question.over, now)
    )


def _may_vote_twice_in_a_term(state: State, asker: str, question: WouldYou | Ask, now: float) -> bool:
    return (
        question.term >= state.row.term
        and rules.has_vote(state)
        and state.role != "leader"
        and rules.up_to_date(state, question.last)
        and rules.lease_over(state, asker, question.over, now)
    )


def _accepts_any_term(_state: State, append: Append) -> bool:
    heads = append.heads
    return not heads or heads[0].term == heads[-1].term == append.term


def _votes_of_other_rounds(_settings: Settings, state: State, sender: str, vote: Vote, _now: float) -> bool:
    return state.campaign is not None and state.campaign.binding and vote.yes


def _own_entry_is_enough(_settings: Settings, state: State) -> int:
    return state.heads.last if state.heads.term == state.term else 0


def _own_unsynced_counts(settings: Settings, state: State) -> int:
    own = state.heads.last if state.heads.term == state.term else 0
    others = (peer.stored for peer in state.peers.values() if peer.counts)
    return int(max(0.0, rules.reached_by_majority(settings, (own, *others))))


def _half_is_a_majority(settings: Settings) -> int:
    return (len(settings.peers) + 1) // 2


def _stored_in_any_term(state: State) -> int:
    return state.stored.txid


def _unsynced_is_stored(state: State) -> int:
    return state.heads.last if state.heads.term == state.row.term else 0


def _any_entry_follows(top: Head | None, head: Head) -> bool:
    return top is None or head.position > top.position


def _lease_from_the_answer(patch: pytest.MonkeyPatch) -> None:
    def renew(turn: Any) -> None:
        turn.put(lease_until=rules.led_lease(turn.settings, turn.now))

    patch.setattr(shipping, "renew_lease", renew)


def _restart_waits_for_nobody(patch: pytest.MonkeyPatch) -> None:
    def start(settings: Settings, durable: Durable, now: float) -> State:
        return msgspec.structs.replace(real(settings, durable, now), lease_until=now)

    real = step.start
    patch.setattr(step, "start", start)


def _stands_again_in_its_term(patch: pytest.MonkeyPatch) -> None:
    def last_held(turn: Any) -> Any:
        return turn.state.heads.position._replace(term=turn.state.row.term)

    patch.setattr(election, "last_held", last_held)


def _may_vote_on_an_empty_disk(state: State, asker: str, question: WouldYou | Ask, now: float) -> bool:
    row = state.row
    return (
        state.role != "leader"
        and (question.term > row.term or (question.term == row.term and row.holder == asker))
        and rules.up_to_date(state, question.last)
        and rules.lease_over(state, asker, question.over, now)
    )


def _votes_of_empty_disks_count(
    settings: Settings, state: State, _sender: str, vote: Vote, now: float
) -> bool:
    campaign = state.campaign
    return (
        campaign is not None
        and campaign.binding
        and vote.yes
        and (vote.term, vote.round) == (campaign.term, campaign.round)
        and now < rules.led_lease(settings, campaign.asked)
    )


def _empty_disks_vote(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rules, "may_vote", _may_vote_on_an_empty_disk)
    patch.setattr(rules, "vote_counts", _votes_of_empty_disks_count)


def _empty_disks_are_whole(patch: pytest.MonkeyPatch) -> None:
    def start(settings: Settings, durable: Durable, now: float) -> State:
        return real(settings, msgspec.structs.replace(durable, fresh=False), now)

    real = step.start
    patch.setattr(step, "start", start)


def _refusals_count(_settings: Settings, state: State, _sender: str, vote: Vote, _now: float) -> bool:
    campaign = state.campaign
    return campaign is not None and vote.round == campaign.round


def _admitted_by_any_leader(state: State, _append: Append) -> bool:
    return state.fresh and rules.stored_in_term(state) > 0


def _admitted_without_the_snapshot(state: State, append: Append) -> bool:
    return state.fresh and append.admit == state.node_id


def _every_newcomer_is_admitted(patch: pytest.MonkeyPatch) -> None:
    def send_append(turn: Any, to: str, heads: tuple[Head, ...]) -> None:
        turn.put(newcomers=turn.state.strangers | turn.state.newcomers)
        real(turn, to, heads)

    real = shipping.send_append
    patch.setattr(shipping, "send_append", send_append)


def _snapshot_leaves_older_entries(top: Head | None, head: Head) -> bool:
    return top is None or (head.txid == top.txid + 1 and head.term >= top.term) or head.txid == 1


def _damaged_is_acknowledged(state: State) -> int:
    return state.stored.txid if state.stored.term == state.row.term else 0


def _stored_falls_at_damage(patch: pytest.MonkeyPatch) -> None:
    def on_damaged(turn: Any, event: Any) -> None:
        real(turn, event)
        hole = rules.missing(turn.state)
        if hole:
            turn.put(stored=turn.state.stored._replace(txid=hole - 1))

    real = following.on_damaged
    patch.setattr(following, "on_damaged", on_damaged)


def _no_commit_is_too_old(patch: pytest.MonkeyPatch) -> None:
    def advance(turn: Any) -> None:
        state = turn.state
        if state.leader_commit and state.stored.txid and state.stored > state.committed:
            turn.put(committed=state.stored)
            turn.do(Committed(state.stored))

    patch.setattr(following, "advance", advance)


def _trims_what_is_not_applied(patch: pytest.MonkeyPatch) -> None:
    def tick(turn: Any) -> None:
        real(turn)
        if turn.state.committed.term == turn.state.heads.term == turn.state.term:
            following.trim(turn, turn.state.committed.txid)

    real = following.tick
    patch.setattr(following, "tick", tick)


BUGS = {
    # What the driver does wrong.
    "a vote is told before it is synced": Bug(flaws=Flaws(rows_told_early=True), seed=54),
    "a store is told before it is synced": Bug(flaws=Flaws(stores_told_early=True)),
    "a standby applies what is not committed": Bug(flaws=Flaws(applies_uncommitted=True)),
    "an old leader's database is taken for a standby's": Bug(flaws=Flaws(forgets_to_be_ahead=True), seed=11),
    "a leader answers what it alone has stored": Bug(flaws=Flaws(answers_stored=True), seed=4),
    # Commitment.
    "committed without a majority": Bug(_rule("committed", _own_entry_is_enough)),
    "the leader counts its own unsynced entries": Bug(_rule("committed", _own_unsynced_counts), seed=1),
    "half of the nodes are a majority": Bug(_rule("majority", _half_is_a_majority)),
    "an entry of an older term is acknowledged": Bug(_rule("stored_in_term", _stored_in_any_term)),
    "an entry is acknowledged before it is synced": Bug(_rule("stored_in_term", _unsynced_is_stored), seed=1),
    "a standby takes all it has stored for committed": Bug(_no_commit_is_too_old),
    # Terms and votes.
    "an append of an older term is taken": Bug(_rule("accepts", _accepts_any_term)),
    "a vote is given in an older term": Bug(_rule("may_vote", _may_vote_in_any_term), seed=2),
    "two votes are given in one term": Bug(_rule("may_vote", _may_vote_twice_in_a_term), seed=2),
    "a candidate's log is not looked at": Bug(_rule("up_to_date", lambda _state, _last: True), seed=7),
    "a candidate says that its log is newer than it is": Bug(_stands_again_in_its_term, seed=105),
    "a refusal counts as a vote": Bug(_rule("vote_counts", _refusals_count), seed=2),
    # Entries.
    "an entry need not follow the one before": Bug(_rule("follows", _any_entry_follows), seed=4),
    "a snapshot leaves older entries": Bug(_rule("follows", _snapshot_leaves_older_entries), seed=22),
    "a damaged entry is acknowledged": Bug(_rule("stored_in_term", _damaged_is_acknowledged), seed=115),
    "what is not applied is trimmed": Bug(_trims_what_is_not_applied, seed=4),
    # Empty disks.
    "an empty disk takes itself for any other": Bug(_rule("has_vote", lambda _state: True)),
    "a disk that came empty is taken for one that did not": Bug(_empty_disks_are_whole, seed=7),
    # Leases.
    "a lease does not keep others from being elected": Bug(
        _rule("lease_over", lambda _state, _asker, _over, _now: True), seed=17
    ),
    "a lease counts from the answer": Bug(_lease_from_the_answer, seed=13),
}
"""By what is wrong."""

RARE = {
    "an application is told before it is noted": Bug(flaws=Flaws(applied_told_early=True)),
    "votes of other rounds count": Bug(_rule("vote_counts", _votes_of_other_rounds)),
    "a damaged entry makes a voter's log older": Bug(_stored_falls_at_damage),
    "an empty disk votes, and that vote counts": Bug(_empty_disks_vote),
    "an empty disk is admitted by any leader": Bug(_rule("admits", _admitted_by_any_leader)),
    "an empty disk is admitted without the snapshot": Bug(_rule("admits", _admitted_without_the_snapshot)),
    "an empty disk is admitted in a term begun before it": Bug(_every_newcomer_is_admitted),
    "a restart forgets the lease that was granted": Bug(_restart_waits_for_nobody),
}
"""Those that take thousands of seeds, so that the command looks for them and no test does.

Some rules are not among them, since to be without one alone was never seen to break a promise. That an empty
disk keeps silent after its start matters only when a leader gives up its term within a lease of the forgotten
vote, or a clock stands still. That what it stores does not count follows from its having no vote: the votes
of the others meet every majority that it was part of. Damage that is not told at a start is found when the
entry is read.
"""

NOTICED = (AssertionError, ValueError, LookupError)
"""How a bug shows: a broken promise, a disk that refuses, or a core that fails."""


@contextmanager
def planted(bug: Bug) -> Iterator[Flaws]:
    """The core with a bug, for the length of a ``with`` block; gives what the drivers do wrong."""
    with pytest.MonkeyPatch.context() as patch:
        if bug.plant is not None:
            bug.plant(patch)
        yield bug.flaws or Flaws()
