"""How a node becomes leader: it asks without effect, then for votes; and how it answers those who ask."""

import msgspec

from tqnode.replication import rules
from tqnode.replication.effects import Lead
from tqnode.replication.entry import Head, Position
from tqnode.replication.messages import Ask, Lend, Vote, Would, WouldYou
from tqnode.replication.shipping import is_behind, is_live, renew
from tqnode.replication.state import Campaign, Progress
from tqnode.replication.turn import Turn, adopt, learn_disk, learn_term, step_down


def tick(turn: Turn, jitter: float) -> None:
    """A node without a leader stands for election, or asks again."""
    state = turn.state
    settings = turn.settings
    quarter = settings.lease_ttl_s / 4
    if state.fresh or settings.witness:
        return
    campaign = state.campaign
    if campaign is None:
        if turn.now >= max(state.lease_until, state.rest_until) + jitter * quarter / 2:
            ask_whether(turn)
    elif not campaign.binding:
        if turn.now >= campaign.repeated + quarter + jitter * quarter:
            ask_whether(turn)
    elif turn.now >= rules.led_lease(settings, campaign.asked):
        lose(turn)
    elif turn.now >= campaign.repeated + quarter:
        turn.put(campaign=msgspec.structs.replace(campaign, repeated=turn.now))
        _ask_for_votes(turn, campaign)


def tick_leader(turn: Turn) -> None:
    """A leader opens a new term if only that can bring in a peer."""
    state = turn.state
    campaign = state.campaign
    if campaign is not None:
        if turn.now >= campaign.asked + turn.settings.lease_ttl_s / 2:
            turn.put(campaign=None)
        return
    rested = turn.now >= state.elected + turn.settings.new_term_every_s
    if rested and state.handover is None and _wanted(turn):
        ask_whether(turn)


def _wanted(turn: Turn) -> bool:
    """A live peer needs a new term: its entries are gone, or its disk came empty after this one had begun.

    Or a witness has to hold more than this node keeps: a new snapshot spares it the old entries.
    """
    state = turn.state
    beyond = state.heads.term == state.term and rules.spared(turn.settings, state) + 1 < state.heads.first
    for name, peer in state.peers.items():
        unknown = not peer.counts and state.newcomers.get(name) != peer.node_id
        if is_live(turn, peer) and (unknown or is_behind(turn, peer) or (peer.witness and beyond)):
            return True
    return False


def last_held(turn: Turn) -> Position:
    """What a candidate may say that it holds: what is on its disk; before a hole, if there is one.

    A node that has led the log's term holds what it sent, stored or not: it is in its database.
    """
    state = turn.state
    if state.led == state.heads.term:
        return state.heads.position
    hole = rules.missing(state)
    return Position(state.stored.term, hole - 1) if hole else state.stored


def ask_whether(turn: Turn) -> None:
    """Asks all peers whether they would vote for this node; nothing changes by it, for anyone."""
    state = turn.state
    me = turn.settings.name
    campaign = Campaign(
        binding=False,
        term=max(state.term, state.seen) + 1,
        round=state.round + 1,
        asked=turn.now,
        repeated=turn.now,
        yes=frozenset({me}),
        no=frozenset(),
        newcomers={},
        over=0,
    )
    turn.put(campaign=campaign, round=campaign.round)
    question = WouldYou(campaign.term, last_held(turn), campaign.round, 0)
    for peer in sorted(turn.settings.peers):
        turn.send(peer, question)
    _stand_if_wanted(turn)


def on_would_you(turn: Turn, sender: str, question: WouldYou) -> None:
    """Says whether it would vote; who asks the same itself, with a better claim, says no."""
    state = turn.state
    yes = rules.may_vote(state, sender, question, turn.now)
    if yes and state.campaign is not None and not state.campaign.binding:
        mine = (last_held(turn), turn.settings.name)
        yes = not rules.may_stand(turn.settings, state) or mine < (question.last, sender)
        if yes:
            turn.put(campaign=None)
    turn.send(sender, Would(state.term, question.round, yes, not rules.has_vote(state)))
    if not yes and rules.lease_over(state, sender, question.over, turn.now):
        _lend(turn, sender, question.last)


def _lend(turn: Turn, to: str, last: Position) -> None:
    """Sends what the asker lacks, if this node has it."""
    state = turn.state
    held = state.heads
    if state.role == "leader" or last >= state.stored or held.term != state.stored.term:
        return
    first = last.txid + 1 if last.term == held.term else 1
    if not held.holds(first):
        return
    batch: list[Head] = []
    size = 0
    until = min(state.stored.txid, first + turn.settings.window_entries - 1)
    for head in held.between(first, until):
        size += head.size
        if head.txid in state.holes or (batch and size > turn.settings.window_bytes):
            break
        batch.append(head)
    if batch:
        turn.send(to, Lend(held.term, tuple(batch)))


def on_stored(turn: Turn) -> None:
    """Asks again with what it has been lent or got mended, and for what it still lacks."""
    campaign = turn.state.campaign
    if campaign is not None and not campaign.binding:
        ask_whether(turn)


def on_would(turn: Turn, sender: str, node_id: str, answer: Would) -> None:
    """Counts the answer; a majority of them makes the node a candidate."""
    learn_term(turn, answer.term)
    learn_disk(turn, sender, node_id, fresh=answer.fresh)
    campaign = turn.state.campaign
    if campaign is None or campaign.binding or answer.round != campaign.round:
        return
    if answer.term >= campaign.term:
        ask_whether(turn)
    elif answer.yes:
        turn.put(campaign=msgspec.structs.replace(campaign, yes=campaign.yes | {sender}))
        _stand_if_wanted(turn)


def _stand_if_wanted(turn: Turn) -> None:
    campaign = turn.state.campaign
    wanted = campaign is not None and rules.majority_has(turn.settings, campaign.yes)
    if wanted and rules.may_stand(turn.settings, turn.state):
        stand(turn, over=0)


def stand(turn: Turn, *, over: int) -> None:
    """Votes for itself in a new term, and asks the others; not those whose disk is known to be empty by now.

    Args:
        turn: the step.
        over: term whose leader has told this node to take over; 0 if none has.
    """
    state = turn.state
    me = turn.settings.name
    term = max(state.term, state.seen) + 1
    if state.role == "leader":
        step_down(turn, f"a new term is needed: {term}")
    adopt(turn, term, me)
    campaign = Campaign(
        binding=True,
        term=term,
        round=state.round + 1,
        asked=turn.now,
        repeated=turn.now,
        yes=frozenset({me}),
        no=frozenset(),
        newcomers=state.strangers,
        over=over,
    )
    turn.put(role="candidate", campaign=campaign, round=campaign.round, lease_until=turn.now)
    _ask_for_votes(turn, campaign)
    _win_if_elected(turn)


def _ask_for_votes(turn: Turn, campaign: Campaign) -> None:
    question = Ask(campaign.term, last_held(turn), campaign.round, campaign.over)
    for peer in sorted(turn.settings.peers - campaign.yes - campaign.no - campaign.newcomers.keys()):
        turn.send(peer, question)


def on_ask(turn: Turn, sender: str, question: Ask) -> None:
    """Gives its vote, on disk before it is told, or says no."""
    learn_term(turn, question.term)
    yes = rules.may_vote(turn.state, sender, question, turn.now)
    if yes:
        row = turn.state.row
        if (row.term, row.holder) != (question.term, sender):
            adopt(turn, question.term, sender)
        turn.put(lease_until=rules.granted_lease(turn.settings, turn.now))
    turn.send(sender, Vote(turn.state.term, question.round, yes))


def on_vote(turn: Turn, sender: str, vote: Vote) -> None:
    """Counts the vote; a majority elects, and too many refusals end the candidacy."""
    learn_term(turn, vote.term)
    campaign = turn.state.campaign
    if campaign is None or not campaign.binding:
        return
    if rules.vote_counts(turn.settings, turn.state, sender, vote, turn.now):
        turn.put(campaign=msgspec.structs.replace(campaign, yes=campaign.yes | {sender}))
        _win_if_elected(turn)
    elif not vote.yes and vote.round == campaign.round:
        no = campaign.no | {sender}
        turn.put(campaign=msgspec.structs.replace(campaign, no=no))
        possible = turn.settings.peers - no - campaign.newcomers.keys() | {turn.settings.name}
        if not rules.majority_has(turn.settings, possible):
            lose(turn)


def lose(turn: Turn) -> None:
    """Ends a candidacy; the row stays, so that the node never stands in that term again."""
    turn.put(role="follower", campaign=None)


def _win_if_elected(turn: Turn) -> None:
    campaign = turn.state.campaign
    if campaign is None or not rules.majority_has(turn.settings, campaign.yes):
        return
    turn.put(
        role="leader",
        leader=turn.settings.name,
        led=campaign.term,
        lease_until=rules.led_lease(turn.settings, campaign.asked),
        campaign=None,
        peers={name: Progress() for name in sorted(turn.settings.peers)},
        newcomers=campaign.newcomers,
        elected=turn.now,
        alive=turn.now,
        serving=False,
    )
    turn.do(Lead(campaign.term))
    renew(turn)
