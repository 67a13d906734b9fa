"""What a node does with entries and renewals of others; for whoever is not leading."""

from tqnode.replication import rules
from tqnode.replication.effects import Alarm, Committed, Mend, SaveRow, Store, Trim
from tqnode.replication.entry import Head, Position
from tqnode.replication.events import Applied, Damaged, Mended
from tqnode.replication.heads import heads_of
from tqnode.replication.messages import Append, Appended, Lend, Release
from tqnode.replication.turn import Turn, adopt


def on_append(turn: Turn, sender: str, append: Append) -> None:
    """Follows the sender, stores what is new, and answers at once if nothing is."""
    if not rules.accepts(turn.state, append):
        answer(turn, sender)
        return
    if turn.state.role == "leader" and append.term == turn.state.term:
        turn.do(Alarm(f"{sender} leads in term {append.term} as this node does"))
        return
    if (turn.state.row.term, turn.state.row.holder) != (append.term, sender):
        adopt(turn, append.term, sender)
    state = turn.state
    if append.sent > state.sent:
        turn.put(
            leader=sender,
            lease_until=rules.granted_lease(turn.settings, turn.now),
            campaign=None,
            role="follower",
            sent=append.sent,
            leader_commit=max(state.leader_commit, append.commit),
            leader_kept=append.kept,
        )
    gap, storing = take(turn, append.heads)
    if rules.admits(turn.state, append):
        turn.put(fresh=False)
        turn.do(SaveRow(turn.state.row, False))
    advance(turn)
    if not storing:
        answer(turn, sender, gap=gap)


def on_lend(turn: Turn, lend: Lend) -> None:
    """Takes entries of an older leader from a node that can't lead itself; nothing is acknowledged by it."""
    state = turn.state
    if state.campaign is None or state.role == "leader" or state.fresh:
        return
    if lend.term > state.term:
        # A node's log is never newer than its row: else it could take the snapshot of a term in between.
        adopt(turn, lend.term, "")
    take(turn, lend.heads)


def take(turn: Turn, heads: tuple[Head, ...]) -> tuple[bool, bool]:
    """Stores those that follow what is held; says whether some before them are missing, and if any is new."""
    held = turn.state.heads
    top = held.top
    new: list[Head] = []
    for head in heads:
        if head.term == held.term and head.txid <= held.last:
            if not _same(turn, head):
                break
        elif rules.follows(top, head):
            new.append(head)
            top = head
        else:
            if top is not None and (head.term, head.txid) == (top.term, top.txid + 1):
                turn.do(Alarm(f"entry {head.position} does not follow what this node holds"))
                break
            _store(turn, new)
            return True, bool(new)
    _store(turn, new)
    return False, bool(new)


def _same(turn: Turn, head: Head) -> bool:
    """Whether an entry that is held already is the same; mends it if it is damaged."""
    held = turn.state.heads
    if not held.holds(head.txid):
        return True
    if held[head.txid].sha256 != head.sha256:
        turn.do(Alarm(f"entry {head.position} is another than the one this node holds"))
        return False
    if head.txid in turn.state.holes - turn.state.mending:
        turn.put(mending=turn.state.mending | {head.txid})
        turn.do(Mend(head))
    return True


def _store(turn: Turn, new: list[Head]) -> None:
    if not new:
        return
    heads = tuple(new)
    if heads[0].txid == 1:
        turn.put(heads=heads_of(heads), holes=frozenset(), mending=frozenset())
    else:
        turn.put(heads=turn.state.heads.plus(heads))
    turn.do(Store(heads))


def answer(turn: Turn, to: str, *, gap: bool = False) -> None:
    """Tells what is stored in the row's term, be the append that is answered of that term or an older one."""
    state = turn.state
    hole = rules.missing(state) if state.stored.term == state.term else 0
    message = Appended(
        term=state.term,
        last=rules.stored_in_term(state),
        taken=state.heads.last if state.heads.term == state.term else 0,
        applied=state.applied,
        sent=state.sent,
        counts=rules.has_vote(state),
        eligible=rules.may_stand(turn.settings, state) and turn.now >= state.rest_until,
        gap=gap or (hole > 0 and hole not in state.mending),
        witness=turn.settings.witness,
    )
    turn.send(to, message)


def on_stored(turn: Turn) -> None:
    """More of what the leader has sent is on disk."""
    advance(turn)
    if turn.state.leader is not None:
        answer(turn, turn.state.leader)


def advance(turn: Turn) -> None:
    """Says what is committed: no more than the leader has said, nor than is stored here."""
    state = turn.state
    position = Position(state.term, min(state.leader_commit, rules.stored_in_term(state)))
    if position.txid > 0 and position > state.committed:
        turn.put(committed=position)
        if turn.settings.witness:
            turn.put(applied=position)
        turn.do(Committed(position))


def on_applied(turn: Turn, event: Applied) -> None:
    if event.position > turn.state.applied:
        turn.put(applied=event.position)


def on_damaged(turn: Turn, event: Damaged) -> None:
    """The entry is not held, as far as acknowledging, standing and sending go; votes mind it as before."""
    state = turn.state
    term, txid = event.position
    if term != state.heads.term or not state.heads.holds(txid) or event.position > state.stored:
        return
    turn.put(holes=state.holes | {txid}, mending=state.mending - {txid})
    if state.leader is not None and state.role != "leader":
        answer(turn, state.leader)


def on_mended(turn: Turn, event: Mended) -> None:
    state = turn.state
    if event.position.term == state.heads.term:
        txid = event.position.txid
        turn.put(holes=state.holes - {txid}, mending=state.mending - {txid})
        if state.role != "leader":
            on_stored(turn)


def on_release(turn: Turn, sender: str, release: Release) -> None:
    """The lease that this node has granted is not needed any more."""
    row = turn.state.row
    if (row.term, row.holder) == (release.term, sender):
        turn.put(lease_until=min(turn.now, turn.state.lease_until), leader=None)


def tick(turn: Turn) -> None:
    """Forgets a leader that is not heard, and trims."""
    state = turn.state
    if state.leader is not None and turn.now >= state.lease_until:
        turn.put(leader=None)
    if state.applied.term == state.heads.term == state.term:
        trim(turn, min(state.applied.txid + 1, state.leader_kept))


def trim(turn: Turn, floor: int) -> None:
    """Holds no entries below ``floor``; but the last one on disk, which the next has to follow, stays."""
    state = turn.state
    floor = min(floor, state.stored.txid)
    if state.stored.term == state.heads.term and floor > state.heads.first:
        turn.put(heads=state.heads.since(floor))
        if state.holes:
            kept = frozenset(hole for hole in state.holes if hole >= floor)
            turn.put(holes=kept, mending=state.mending & kept)
        turn.do(Trim(Position(state.heads.term, floor)))
