"""The core of a cluster's node: what it is after an event, and what it has to do. Pure; the driver calls it.

It reads no clock, no chance and no disk; DESIGN.md beside it says why it is safe.
"""

from itertools import pairwise

from tqnode.replication import election, following, handover, rules, shipping
from tqnode.replication.effects import Effect
from tqnode.replication.entry import NOTHING
from tqnode.replication.events import (
    Applied,
    CannotLead,
    Damaged,
    Event,
    HandOver,
    Mended,
    Produced,
    Received,
    Stored,
    Tick,
)
from tqnode.replication.heads import heads_of
from tqnode.replication.messages import Append, Appended, Ask, Lend, Release, TakeOver, Vote, Would, WouldYou
from tqnode.replication.state import NEVER, Durable, Settings, State
from tqnode.replication.turn import Turn, give_up


def start(settings: Settings, durable: Durable, now: float) -> State:
    """The state of a node that has just started.

    It can't know how long ago it granted a lease: it waits as if it had just done so.

    Args:
        settings: of the node.
        durable: what its disk says.
        now: the node's clock, in seconds since its machine started, sleep included (CLOCK_BOOTTIME).

    Raises:
        ValueError: the disk says what can't be: entries of two terms, or with a gap, or newer than the row.
    """
    heads = durable.heads
    if any(after.term != head.term or not rules.follows(head, after) for head, after in pairwise(heads)):
        raise ValueError("the stored entries do not follow each other")
    if heads and heads[0].term > durable.row.term:
        raise ValueError("the stored entries are of a term that the lease row has not seen")
    granted = durable.row.holder not in ("", settings.name)
    return State(
        node_id=durable.node_id,
        row=durable.row,
        fresh=durable.fresh,
        quiet_until=now + rules.quiet_after_start(settings) if durable.fresh else now,
        seen=durable.row.term,
        role="follower",
        leader=None,
        lease_until=rules.granted_lease(settings, now) if granted else now,
        rest_until=now,
        heads=heads_of(heads),
        stored=heads[-1].position if heads else NOTHING,
        holes=frozenset(),
        mending=frozenset(),
        applied=durable.applied,
        committed=NOTHING,
        led=0,
        round=0,
        campaign=None,
        strangers={},
        sent=NEVER,
        leader_commit=0,
        leader_kept=0,
        peers={},
        newcomers={},
        elected=NEVER,
        alive=NEVER,
        renewed=NEVER,
        serving=False,
        handover=None,
    )


def step(settings: Settings, state: State, event: Event, now: float) -> tuple[State, list[Effect]]:
    """What a node is after an event, and what it has to do, in this order; the same for the same arguments.

    Args:
        settings: of the node.
        state: before the event.
        event: what has happened.
        now: the node's clock, in seconds; never less than at the step before.
    """
    turn = Turn(settings, state, now)
    match event:
        case Received():
            _received(turn, event)
        case Tick():
            _ticked(turn, event)
        case Produced():
            shipping.on_produced(turn, event.heads)
        case Stored():
            _stored(turn, event)
        case Applied():
            following.on_applied(turn, event)
        case Damaged():
            following.on_damaged(turn, event)
        case Mended():
            following.on_mended(turn, event)
            election.on_stored(turn)
        case CannotLead():
            handover.on_cannot_lead(turn, event)
        case HandOver():
            handover.on_hand_over(turn, event)
    if turn.state.role == "leader":
        _check_leader(turn)
    return turn.state, turn.effects


def _received(turn: Turn, event: Received) -> None:
    sender, message = event.sender, event.message
    if sender not in turn.settings.peers or turn.now < turn.state.quiet_until:
        return
    match message:
        case Append():
            following.on_append(turn, sender, message)
        case Appended():
            shipping.on_appended(turn, sender, event.node_id, message)
        case WouldYou():
            election.on_would_you(turn, sender, message)
        case Would():
            election.on_would(turn, sender, event.node_id, message)
        case Ask():
            election.on_ask(turn, sender, message)
        case Vote():
            election.on_vote(turn, sender, message)
        case Lend():
            following.on_lend(turn, message)
        case Release():
            following.on_release(turn, sender, message)
        case TakeOver():
            handover.on_take_over(turn, sender, message)


def _ticked(turn: Turn, event: Tick) -> None:
    if turn.state.role == "leader":
        shipping.tick(turn, alive=event.alive)
        election.tick_leader(turn)
    else:
        following.tick(turn)
        election.tick(turn, event.jitter)


def _stored(turn: Turn, event: Stored) -> None:
    state = turn.state
    # Else it is of entries that those of a newer term have replaced, or will as soon as they are stored.
    if event.position.term == state.heads.term and event.position > state.stored:
        turn.put(stored=event.position)
        if state.role == "leader":
            shipping.commit(turn)
        else:
            following.on_stored(turn)
            election.on_stored(turn)


def _check_leader(turn: Turn) -> None:
    if turn.now >= turn.state.lease_until:
        give_up(turn, "the lease has run out")
    else:
        handover.finish(turn)
