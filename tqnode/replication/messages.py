"""What nodes say to each other about leadership and the log; the transport carries the entries' bytes beside it.

Every message names the term it is said in. The transport adds, and checks, the protocol's version, the cluster,
the sender's name and the sender's node id.
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
        last: the sender's last stored position.
        round: tells the answers to this question from those to earlier ones.
    """

    last: Position
    round: int


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
        last: the sender's last stored position.
        round: tells the answers to this question from those to earlier ones.
    """

    last: Position
    round: int


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
        kept: lowest txid of ``term`` the leader still holds.
    """

    heads: tuple[Head, ...]
    commit: int
    sent: float
    admit: str | None
    kept: int


class Appended(Message, frozen=True, tag=True):
    """The answer to :class:`Append`; a ``term`` above the append's says that the sender leads no more.

    Args:
        last: highest txid of ``term`` stored without a gap and fsynced.
        applied: position up to which the node's database is.
        sent: of the append that is answered.
        counts: the node votes and counts for the majority.
    """

    last: int
    applied: Position
    sent: float
    counts: bool


class Release(Message, frozen=True, tag=True):
    """From a leader that steps down by will: its lease in ``term`` is over at once."""


class TakeOver(Message, frozen=True, tag=True):
    """From a leader that hands over: the receiver is to stand for election at once."""


AnyMessage = WouldYou | Would | Ask | Vote | Append | Appended | Release | TakeOver
