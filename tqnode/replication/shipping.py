"""The leader's side of the log: what each peer is sent, what it has, and what is thereby committed."""

import msgspec

from tqnode.replication import rules
from tqnode.replication.effects import Alarm, Committed, Serve, Store
from tqnode.replication.entry import Head, Position
from tqnode.replication.following import trim
from tqnode.replication.heads import heads_of
from tqnode.replication.messages import Append, Appended
from tqnode.replication.state import Progress
from tqnode.replication.turn import Turn, learn_disk, learn_term, step_down


def on_produced(turn: Turn, heads: tuple[Head, ...]) -> None:
    """Stores and sends what the log writer has made; of a term that is over, nothing."""
    state = turn.state
    if state.role != "leader" or not heads or heads[0].term != state.term:
        return
    top = state.heads.top
    for head in heads:
        if not rules.follows(top, head):
            turn.do(Alarm(f"the log writer's entry {head.position} does not follow the one before"))
            return
        top = head
    new_term = state.heads.term != state.term
    turn.put(heads=heads_of(heads) if new_term else state.heads.plus(heads))
    if new_term:
        turn.put(holes=frozenset(), mending=frozenset())
    turn.do(Store(heads))
    for peer in sorted(turn.settings.peers):
        send_entries(turn, peer)


def on_appended(turn: Turn, sender: str, node_id: str, answer: Appended) -> None:
    """Notes what the peer has, renews the lease, commits, and sends what is next."""
    learn_term(turn, answer.term)
    learn_disk(turn, sender, node_id, fresh=not answer.counts)
    state = turn.state
    if state.role != "leader" or answer.term < state.term:
        return
    if answer.term > state.term:
        step_down(turn, f"{sender} has seen term {answer.term}")
        return
    peer = state.peers[sender]
    if peer.node_id != node_id:
        if peer.node_id and answer.counts:
            return
        peer = Progress(node_id=node_id, rewound=turn.now)
    _put(turn, sender, _noted(turn, sender, peer, answer))
    renew_lease(turn)
    commit(turn)
    send_entries(turn, sender)


def _noted(turn: Turn, sender: str, peer: Progress, answer: Appended) -> Progress:
    changes: dict[str, object] = {
        # A disk that counts goes on counting: an answer from before may come late.
        "counts": peer.counts or rules.answer_counts(turn.state, sender, peer.node_id, answer),
        "eligible": answer.eligible,
        "witness": answer.witness,
        "applied": max(peer.applied, answer.applied),
        "sent": max(peer.sent, answer.sent),
        "heard": turn.now,
    }
    if answer.last > peer.stored:
        landed = sum(head.size for head in turn.state.heads.between(peer.stored + 1, answer.last))
        changes["stored"] = answer.last
        changes["moved"] = turn.now
        changes["next"] = max(peer.next, answer.last + 1)
        changes["flying"] = max(0, peer.flying - landed)
    if answer.last >= peer.next - 1:
        changes["flying"] = 0
    if answer.sent >= peer.sent:
        changes["taken"] = answer.taken
        if answer.taken > peer.taken:
            changes["moved"] = turn.now
    if answer.gap and answer.sent >= peer.rewound:
        changes |= {"next": answer.last + 1, "flying": 0, "rewound": turn.now}
    return msgspec.structs.replace(peer, **changes)


def _put(turn: Turn, name: str, progress: Progress) -> None:
    turn.put(peers={**turn.state.peers, name: progress})


def renew_lease(turn: Turn) -> None:
    """The lease counts from when that append was sent which a majority has heard."""
    state = turn.state
    heard = (peer.sent for peer in state.peers.values() if peer.counts)
    since = min(state.alive, rules.reached_by_majority(turn.settings, (turn.now, *heard)))
    until = rules.led_lease(turn.settings, since)
    if until > state.lease_until:
        turn.put(lease_until=until)


def commit(turn: Turn) -> None:
    """Says what a majority has; after the first entry, the snapshot, clients may be served."""
    state = turn.state
    position = Position(state.term, rules.committed(turn.settings, state))
    if position.txid < 1 or position <= state.committed:
        return
    turn.put(committed=position, serving=True)
    if not state.serving:
        turn.do(Serve(state.term))
    turn.do(Committed(position))


def is_live(turn: Turn, peer: Progress) -> bool:
    """It was heard within the time of a lease."""
    return turn.now < peer.heard + turn.settings.lease_ttl_s


def is_behind(turn: Turn, peer: Progress) -> bool:
    """It needs an entry next that this node can't send."""
    state = turn.state
    if state.heads.term != state.term or peer.next > state.heads.last:
        return False
    return peer.next < state.heads.first or peer.next in state.holes


def send_entries(turn: Turn, name: str) -> bool:
    """Sends what fits into the peer's window; nothing if it is full, or the peer is silent or has all."""
    state = turn.state
    peer = state.peers[name]
    if state.heads.term != state.term or peer.next > state.heads.last:
        return False
    if not is_live(turn, peer) or is_behind(turn, peer):
        return False
    batch, size = _batch(turn, peer)
    if not batch:
        return False
    changes = {"next": peer.next + len(batch), "flying": peer.flying + size, "moved": turn.now}
    _put(turn, name, msgspec.structs.replace(peer, **changes))
    send_append(turn, name, tuple(batch))
    return True


def _batch(turn: Turn, peer: Progress) -> tuple[list[Head], int]:
    state = turn.state
    last = min(state.heads.last, peer.stored + turn.settings.window_entries)
    batch: list[Head] = []
    size = 0
    for head in state.heads.between(peer.next, last):
        full = peer.flying + size + head.size > turn.settings.window_bytes
        if head.txid in state.holes or (full and peer.flying + size > 0):
            break
        batch.append(head)
        size += head.size
    return batch, size


def send_append(turn: Turn, to: str, heads: tuple[Head, ...]) -> None:
    state = turn.state
    kept = state.heads.first if state.heads.term == state.term else 0
    if state.peers[to].witness:
        kept = min(kept, rules.spared(turn.settings, state) + 1)
    message = Append(
        term=state.term,
        heads=heads,
        commit=state.committed.txid if state.committed.term == state.term else 0,
        sent=turn.now,
        admit=state.newcomers.get(to),
        kept=kept,
    )
    turn.send(to, message)


def renew(turn: Turn) -> None:
    """Sends every peer an append, with entries or without."""
    turn.put(renewed=turn.now)
    for peer in sorted(turn.settings.peers):
        if not send_entries(turn, peer):
            send_append(turn, peer, ())


def tick(turn: Turn, *, alive: bool) -> None:
    """Renews the lease if the node works, sends again what was not answered, and trims."""
    quarter = turn.settings.lease_ttl_s / 4
    if alive:
        turn.put(alive=turn.now)
    if turn.state.alive > turn.state.renewed and turn.now >= turn.state.renewed + quarter:
        renew(turn)
    renew_lease(turn)
    for name, peer in turn.state.peers.items():
        reached = max(peer.stored, peer.taken)
        if peer.next - 1 > reached and turn.now >= peer.moved + quarter:
            flying = sum(head.size for head in turn.state.heads.between(peer.stored + 1, reached))
            again = {"next": reached + 1, "flying": flying, "moved": turn.now, "rewound": turn.now}
            _put(turn, name, msgspec.structs.replace(peer, **again))
            send_entries(turn, name)
    _trim(turn)


def _trim(turn: Turn) -> None:
    """Keeps what a peer may need, up to the limits; and what is not committed, without any."""
    state = turn.state
    if state.heads.term != state.term:
        return
    applied = [peer.applied for peer in state.peers.values()]
    needed = 1 + min((at.txid if at.term == state.term else 0 for at in applied), default=state.heads.last)
    if state.committed.term == state.term:
        trim(turn, min(max(needed, _affordable(turn)), state.committed.txid))


def _affordable(turn: Turn) -> int:
    """The lowest txid that may be kept within the limits, which are for what follows the snapshot.

    So a snapshot that is larger than the limit stays as long as a log that leads on from it is worth sending.
    """
    heads = turn.state.heads
    first = heads.first
    size = heads.size
    if first == 1 and heads.last > 0:
        size -= heads[1].size
        if _fits(turn, heads.last - 1, size):
            return 1
        first = 2
    while first < heads.last and not _fits(turn, heads.last - first + 1, size):
        size -= heads[first].size
        first += 1
    return first


def _fits(turn: Turn, entries: int, size: int) -> bool:
    return entries <= turn.settings.kept_entries and size <= turn.settings.kept_bytes
