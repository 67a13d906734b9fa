"""What the step function is given besides the event, and what it gives back besides the effects."""

from typing import Final, Literal

import msgspec

from tqnode.replication.effects import Row
from tqnode.replication.entry import NOTHING, Head, Position
from tqnode.replication.heads import Heads

NEVER: Final = -1e9
"""A time before any that a node's clock, which counts from its machine's start, can show."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What does not change while the node runs.

    Args:
        name: of this node.
        peers: names of all the other configured nodes.
        witness: it keeps the log and votes, but applies nothing and never leads.
        lease_ttl_s: how long a leader may go unheard before others stand for election.
        drift: share of a lease by which two nodes' clocks may run apart while it lasts.
        window_entries: entries that may be on their way to a peer, unanswered.
        window_bytes: bytes of entries that may be; one entry may always be, whatever its size.
        kept_entries: entries that are kept, at most, for peers that have not applied them.
        kept_bytes: bytes that are kept, at most, for them, besides the snapshot that begins the term.
        new_term_every_s: time, at least, from one election to the next one that is held only because a peer
            came with an empty disk or needs entries that are gone.
    """

    name: str
    peers: frozenset[str]
    witness: bool = False
    lease_ttl_s: float = 2.0
    drift: float = 0.02
    window_entries: int = 64
    window_bytes: int = 4 << 20
    kept_entries: int = 20_000
    kept_bytes: int = 256 << 20
    new_term_every_s: float = 30.0


class Durable(msgspec.Struct, frozen=True, kw_only=True):
    """What a node's disk says when it starts.

    Args:
        node_id: of the disk.
        row: the lease row; ``Row(0, "")`` if none was ever saved.
        fresh: as last saved; True for a new disk, unless a person has said that it begins a new cluster.
        heads: entries that are stored, of one term and without a gap.
        applied: position up to which the database is. For a node that led the log's term itself, the log's
            last: its database is never behind.
    """

    node_id: str
    row: Row
    fresh: bool
    heads: tuple[Head, ...]
    applied: Position


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What a leader knows of a peer, in its own term.

    Args:
        node_id: of the peer's disk; empty if it was not heard yet.
        counts: what it has stored counts for the majority.
        eligible: it could be elected.
        witness: it has no database: what it has trimmed, it does not hold.
        stored: highest txid of the term that it has stored without a gap.
        taken: highest txid that has reached it, stored or not.
        applied: position up to which it needs no entries again.
        sent: the leader's clock, when it sent the latest append that the peer has heard.
        heard: when it was last heard in this term, by the leader's clock.
        next: lowest txid that was not sent yet, or is to be sent again.
        flying: bytes that were sent and are not known to be stored.
        moved: when entries were last sent to it, or last known to have reached it.
        rewound: when sending began anew from what it has stored.
    """

    node_id: str = ""
    counts: bool = False
    eligible: bool = False
    witness: bool = False
    stored: int = 0
    taken: int = 0
    applied: Position = NOTHING
    sent: float = NEVER
    heard: float = NEVER
    next: int = 1
    flying: int = 0
    moved: float = NEVER
    rewound: float = NEVER


class Campaign(msgspec.Struct, frozen=True, kw_only=True):
    """A question to all peers that is not decided: would they vote, or do they.

    Args:
        binding: the votes are asked for; False while the node only asks whether they would be given.
        term: the asked one.
        round: of the question.
        asked: when it was first asked; a lease that is won counts from here.
        repeated: when it was last asked.
        yes: nodes that agreed, this one among them.
        no: nodes that did not.
        newcomers: node id by name of the peers that are known to have an empty disk. They have no vote, and
            the elected leader may admit them.
        over: term whose leader has said that it leads no more.
    """

    binding: bool
    term: int
    round: int
    asked: float
    repeated: float
    yes: frozenset[str]
    no: frozenset[str]
    newcomers: dict[str, str]
    over: int


class Handover(msgspec.Struct, frozen=True):
    """A leader waits until the one who is to lead has everything.

    Args:
        to: name of that node.
        until: when it gives up waiting.
    """

    to: str
    until: float


class State(msgspec.Struct, frozen=True, kw_only=True):
    """A node, between two steps. A value: nothing in it is ever changed.

    Times are of the node's own clock, in seconds.

    Args:
        node_id: of the disk.
        row: the lease row, as on disk.
        fresh: the disk came empty: no vote, and nothing that it stores counts.
        quiet_until: a node with an empty disk takes part in nothing before.
        seen: highest term that any node has named.
        role: what it does.
        leader: whom it follows, or itself; None if it knows none.
        lease_until: leader: when its lease runs out. Others: until when they vote for nobody but the holder
            of their row.
        rest_until: it does not stand for election before.
        heads: entries it holds, those that are being stored included.
        stored: last position that is fsynced; never falls.
        holes: txids of stored entries that are damaged.
        mending: those of them that came again and are being stored.
        applied: position up to which it needs no entries again.
        committed: highest position that is known to be stored by a majority.
        led: the last term in which it led since it started; 0 if it did not.
        round: of its last question.
        campaign: the question that is open.
        strangers: node id by name of the peers that have said last that their disk came empty.
        sent: what the leader's clock was when it sent the latest append that was heard in this term.
        leader_commit: highest txid of this term that its leader has named as committed.
        leader_kept: lowest txid of this term that its leader wants held.
        peers: leader: what it knows of each peer; else empty.
        newcomers: leader: node id by name of the peers that it may admit in its term.
        elected: leader: when its term began.
        alive: leader: when its writer and disk were last known to work.
        renewed: leader: when it last sent an append to everybody.
        serving: leader: clients may be answered.
        handover: leader: under way.
    """

    node_id: str
    row: Row
    fresh: bool
    quiet_until: float
    seen: int
    role: Literal["follower", "candidate", "leader"]
    leader: str | None
    lease_until: float
    rest_until: float
    heads: Heads
    stored: Position
    holes: frozenset[int]
    mending: frozenset[int]
    applied: Position
    committed: Position
    led: int
    round: int
    campaign: Campaign | None
    strangers: dict[str, str]
    sent: float
    leader_commit: int
    leader_kept: int
    peers: dict[str, Progress]
    newcomers: dict[str, str]
    elected: float
    alive: float
    renewed: float
    serving: bool
    handover: Handover | None

    @property
    def term(self) -> int:
        """The highest term that it has taken part in."""
        return self.row.term

    @property
    def last(self) -> Position:
        """The last position on its disk."""
        return self.stored
