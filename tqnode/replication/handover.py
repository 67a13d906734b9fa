"""How a leader gives up its term by will, and how another takes over without waiting out the lease."""

from tqnode.replication import rules
from tqnode.replication.effects import StayLeader
from tqnode.replication.election import stand
from tqnode.replication.events import CannotLead, HandOver
from tqnode.replication.messages import TakeOver
from tqnode.replication.shipping import is_live
from tqnode.replication.state import Handover
from tqnode.replication.turn import Turn, give_up

REST_LEASES = 3
"""Leases that a node which could not lead leaves to the others before it stands again."""


def on_hand_over(turn: Turn, event: HandOver) -> None:
    """Chooses who is to lead, and waits for it to have everything."""
    state = turn.state
    if state.role != "leader":
        return
    fit = [
        (peer.stored, name)
        for name, peer in state.peers.items()
        if peer.counts and peer.eligible and is_live(turn, peer) and event.to in (None, name)
    ]
    if not fit or not state.serving:
        why = "no majority has the snapshot yet" if fit else f"{event.to or 'each peer'} can't lead now"
        turn.do(StayLeader(state.term, why))
        return
    turn.put(handover=Handover(max(fit)[1], turn.now + turn.settings.lease_ttl_s / 2))
    finish(turn)


def finish(turn: Turn) -> None:
    """Hands over as soon as all is committed and the one who is to lead has it; or gives up waiting."""
    state = turn.state
    handover = state.handover
    if handover is None:
        return
    peer = state.peers[handover.to]
    if state.committed == state.heads.position and peer.stored == state.heads.last:
        term = state.term
        give_up(turn, f"{handover.to} takes over")
        turn.put(rest_until=turn.now + turn.settings.lease_ttl_s)
        turn.send(handover.to, TakeOver(term))
    elif turn.now >= handover.until:
        turn.put(handover=None)
        turn.do(StayLeader(state.term, f"{handover.to} did not get everything in time"))


def on_take_over(turn: Turn, sender: str, message: TakeOver) -> None:
    """Stands for election without asking first: the leader has said that it leads no more."""
    row = turn.state.row
    if (row.term, row.holder) == (message.term, sender) and rules.may_stand(turn.settings, turn.state):
        stand(turn, over=message.term)


def on_cannot_lead(turn: Turn, event: CannotLead) -> None:
    """Lets another lead, and does not stand itself for a while."""
    state = turn.state
    if event.term != state.term:
        return
    if state.role == "leader":
        give_up(turn, "it can't lead")
    turn.put(rest_until=turn.now + REST_LEASES * turn.settings.lease_ttl_s)
