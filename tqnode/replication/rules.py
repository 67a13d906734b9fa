"""The rules that safety rests on, each a function of its own: DESIGN.md says why each is needed.

The modules around call them as ``rules.name``, so that a test can break one rule and see that it is missed.
"""

from collections.abc import Iterable

from tqnode.replication.entry import Head, Position
from tqnode.replication.messages import Append, Appended, Ask, Vote, WouldYou
from tqnode.replication.state import Settings, State


def majority(settings: Settings) -> int:
    """More than half of all configured nodes, whether they live or not."""
    return (len(settings.peers) + 1) // 2 + 1


def majority_has(settings: Settings, nodes: frozenset[str]) -> bool:
    return len(nodes) >= majority(settings)


def reached_by_majority(settings: Settings, values: Iterable[float]) -> float:
    """The highest value that a majority has reached; ``values`` has one for each node that counts."""
    ranked = sorted(values, reverse=True)
    needed = majority(settings)
    return ranked[needed - 1] if len(ranked) >= needed else float("-inf")


def led_lease(settings: Settings, since: float) -> float:
    """When a leader's lease ends that counts from ``since``: from before it asked. Its clock may be slow."""
    return since + settings.lease_ttl_s * (1 - settings.drift)


def granted_lease(settings: Settings, received: float) -> float:
    """When the lease ends that a node grants by a vote, or by an append it takes: from receipt."""
    return received + settings.lease_ttl_s


def quiet_after_start(settings: Settings) -> float:
    """How long a node with an empty disk takes part in nothing: until no vote that it gave before counts."""
    return settings.lease_ttl_s * (1 + settings.drift)


def lease_over(state: State, asker: str, over: int, now: float) -> bool:
    """Nobody else may rely on this node's lease: it has run out, is the asker's, or was given up."""
    return now >= state.lease_until or state.row.holder == asker or over == state.row.term


def up_to_date(state: State, last: Position) -> bool:
    """Who holds ``last`` holds all that this node has ever said it had stored, be it damaged since."""
    return last >= state.stored


def may_vote(state: State, asker: str, question: WouldYou | Ask, now: float) -> bool:
    """The asker may have this node's vote."""
    row = state.row
    return (
        has_vote(state)
        and state.role != "leader"
        and (question.term > row.term or (question.term == row.term and row.holder == asker))
        and up_to_date(state, question.last)
        and lease_over(state, asker, question.over, now)
    )


def has_vote(state: State) -> bool:
    """It votes and counts; a disk that came empty has forgotten what it voted and acknowledged."""
    return not state.fresh


def may_stand(settings: Settings, state: State) -> bool:
    """It could lead, if it were elected: it has all it once had."""
    return has_vote(state) and not settings.witness and missing(state) == 0


def vote_counts(settings: Settings, state: State, sender: str, vote: Vote, now: float) -> bool:
    """The vote is for this candidacy, comes in its time, and is not from a disk that came empty."""
    campaign = state.campaign
    return (
        campaign is not None
        and campaign.binding
        and vote.yes
        and (vote.term, vote.round) == (campaign.term, campaign.round)
        and sender not in campaign.newcomers
        and sender not in state.strangers
        and now < led_lease(settings, campaign.asked)
    )


def accepts(state: State, append: Append) -> bool:
    """The append is not from a leader that a majority has left, and all its entries are of its term."""
    heads = append.heads
    return append.term >= state.row.term and (not heads or heads[0].term == heads[-1].term == append.term)


def follows(top: Head | None, head: Head) -> bool:
    """The entry is the one after ``top``; or the first of a newer term, which follows whatever there is."""
    if top is not None and head.term == top.term:
        return head.txid == top.txid + 1 and head.prev_sha256 == top.sha256
    return head.txid == 1 and not head.prev_sha256 and (top is None or head.term > top.term)


def missing(state: State) -> int:
    """The lowest txid of a damaged entry that is still needed; 0 if there is none."""
    if not state.holes:
        return 0
    done = state.applied.txid if state.applied.term == state.heads.term else 0
    if state.led == state.heads.term:
        done = state.heads.last
    return min((hole for hole in state.holes if hole > done), default=0)


def stored_in_term(state: State) -> int:
    """What it may say it has stored in its row's term: fsynced, without a gap, and in no other term."""
    if state.stored.term != state.row.term:
        return 0
    hole = missing(state)
    return hole - 1 if hole else state.stored.txid


def answer_counts(state: State, sender: str, node_id: str, answer: Appended) -> bool:
    """What the peer has stored counts: its disk did not come empty, or was admitted by this very leader."""
    return answer.counts and state.newcomers.get(sender, node_id) == node_id


def admits(state: State, append: Append) -> bool:
    """A leader elected without this node's vote, knowing its disk to be empty, lets it count from now on.

    It holds that leader's snapshot, which has all that a majority had stored before.
    """
    return state.fresh and append.admit == state.node_id and stored_in_term(state) > 0


def spared(settings: Settings, state: State) -> int:
    """Highest txid up to which a witness may trim: a majority holds all that without it.

    Other nodes have what they trimmed in their database.
    """
    own = state.heads.last if state.heads.term == state.term else 0
    others = (peer.stored for peer in state.peers.values() if peer.counts and not peer.witness)
    return int(max(0.0, reached_by_majority(settings, (own, *others))))


def committed(settings: Settings, state: State) -> int:
    """Highest txid of the leader's own term that a majority of nodes that count has stored."""
    own = stored_in_term(state)
    others = (peer.stored for peer in state.peers.values() if peer.counts)
    reached = reached_by_majority(settings, (own, *others))
    return int(max(0.0, reached))
