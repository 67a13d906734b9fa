"""Bugs to be planted: each breaks one rule of the core, or one duty of its driver, and must be noticed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
import pytest

from tests.tqnode.replication.simulation.flaws import Flaws
from tqnode.replication import election, rules, shipping, step
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


BUGS = {
    "the vote is not synced before it is told": Bug(flaws=Flaws(row_unsynced=True)),
    "stores are told before they are synced": Bug(flaws=Flaws(stores_told_early=True)),
    "a standby applies what is not committed": Bug(flaws=Flaws(applies_uncommitted=True)),
    "an old leader's database is taken for a standby's": Bug(flaws=Flaws(forgets_to_be_ahead=True)),
    "committed without a majority": Bug(_rule("committed", _own_entry_is_enough)),
    "the leader counts its own unsynced entries": Bug(_rule("committed", _own_unsynced_counts)),
    "half of the nodes are a majority": Bug(_rule("majority", _half_is_a_majority)),
    "an append of an older term is taken": Bug(_rule("accepts", _accepts_any_term), seed=2),
    "a vote is given in an older term": Bug(_rule("may_vote", _may_vote_in_any_term), seed=3),
    "two votes are given in one term": Bug(_rule("may_vote", _may_vote_twice_in_a_term), seed=3),
    "a candidate's log is not looked at": Bug(_rule("up_to_date", lambda _state, _last: True), seed=21),
    "a candidate says that its log is newer than it is": Bug(_stands_again_in_its_term, seed=12),
    "an empty disk votes": Bug(_rule("has_vote", lambda _state: True), seed=19),
    "an entry of an older term is acknowledged": Bug(_rule("stored_in_term", _stored_in_any_term)),
    "an entry is acknowledged before it is synced": Bug(_rule("stored_in_term", _unsynced_is_stored)),
    "an entry need not follow the one before": Bug(_rule("follows", _any_entry_follows)),
    "a lease does not keep others from being elected": Bug(
        _rule("lease_over", lambda _state, _asker, _over, _now: True), seed=157
    ),
    "a lease counts from the answer": Bug(_lease_from_the_answer, seed=6),
}
"""By what is wrong."""


@contextmanager
def planted(bug: Bug) -> Iterator[Flaws]:
    """The core with a bug, for the length of a ``with`` block; gives what the drivers do wrong."""
    with pytest.MonkeyPatch.context() as patch:
        if bug.plant is not None:
            bug.plant(patch)
        yield bug.flaws or Flaws()
