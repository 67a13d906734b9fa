"""What nodes say to each other about leadership and the log; the entries' bytes travel beside it.

Every message names the term it is said in. The transport adds, and checks, the protocol's version, the
cluster, the sender's name and the sender's node id. It may lose, delay, repeat and reorder messages. Small
ones should not wait behind a large one's bytes: they renew leases.
"""

import msgspec

from tqnode.replication.entry import Head, Position


class Message(msgspec.Struct, frozen=True, tag=True):
    """The base of all messages.

    Args:
        term: of the sender, or the one it asks for.
    """

    term: int


class WouldYou(Message, frozen=True, tag=True):
    """Asks, without effect, whether the receiver would vote for the sender in ``term``.

    Args:
        last: the sender's last position.
        round: tells the answers to this question from those to earlier ones.
        over: term whose leader has told the sender that it leads no more; 0 if none has.
    """

    last: Position
    round: int
    over: int


class Would(Message, frozen=True, tag=True):
    """The answer; ``term`` is the highest the answering node has seen.

    Args:
        round: of the question.
        yes: it would.
        fresh: the answering node has an empty disk: it has no vote, and its node id is to be remembered.
    """

    round: int
    yes: bool
    fresh: bool


class Ask(Message, frozen=True, tag=True):
    """Asks for the receiver's vote in ``term``, which is on the sender's own disk already.

    Args:
        last: the sender's last position.
        round: tells the answers to this question from those to earlier ones.
        over: as in :class:`WouldYou`.
    """

    last: Position
    round: int
    over: int


class Vote(Message, frozen=True, tag=True):
    """The answer to :class:`Ask`, on the answering node's disk if it is a yes.

    Args:
        round: of the question.
        yes: the vote is given; ``term`` is then the asked one, else the highest the node has seen.
    """

    round: int
    yes: bool


class Append(Message, frozen=True, tag=True):
    """From the leader: entries to store, or none; in any case a renewal of its lease.

    Args:
        heads: entries in order, each following the one before; their bytes travel beside the message.
        commit: highest txid of ``term`` that a majority has stored.
        sent: the leader's clock when it sent this, in seconds; comes back in the answer.
        admit: node id of the receiver, if it came with an empty disk and counts from this term on.
        kept: lowest txid of ``term`` that the receiver should go on holding, once it is applied.
    """

    heads: tuple[Head, ...]
    commit: int
    sent: float
    admit: str | None
    kept: int


class Appended(Message, frozen=True, tag=True):
    """The answer to :class:`Append`; a ``term`` above the append's says that the sender leads no more.

    Args:
        last: highest txid of ``term`` stored without a gap and fsynced; 0 if none.
        taken: highest txid of ``term`` that it has, those included that are still being stored.
        applied: position up to which the node needs no entries again.
        sent: the latest that the node has heard in ``term``; far below 0 if none.
        counts: the node votes and counts for the majority.
        eligible: the node could be elected now; a witness never could.
        gap: entries after ``last`` are missing, and are to be sent again.
        witness: the node has no database: what it has trimmed, it does not hold.
    """

    last: int
    taken: int
    applied: Position
    sent: float
    counts: bool
    eligible: bool
    gap: bool
    witness: bool


class Lend(Message, frozen=True, tag=True):
    """To a node that asked for votes with less than the sender holds: the entries that it lacks.

    Without it, two nodes could wait for each other for ever: one that holds the last entry and can't lead,
    and one that could lead without it.

    Args:
        heads: entries of ``term``, each following the one before; their bytes travel beside the message.
    """

    heads: tuple[Head, ...]


class Release(Message, frozen=True, tag=True):
    """From a leader that steps down by will: its lease in ``term`` is over at once."""


class TakeOver(Message, frozen=True, tag=True):
    """From a leader that hands over: the receiver is to stand for election at once."""


AnyMessage = WouldYou | Would | Ask | Vote | Append | Appended | Lend | Release | TakeOver
