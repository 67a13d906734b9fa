"""What a node has to do: the outputs of the step function, to be carried out in their order."""

import msgspec

from tqnode.replication.entry import Head, Position
from tqnode.replication.messages import AnyMessage


class Row(msgspec.Struct, frozen=True):
    """The lease row: a node's vote and whom it follows, in one.

    Args:
        term: highest term the node has seen.
        holder: name of the node it gave its vote to, or takes entries from; empty if none yet.
    """

    term: int
    holder: str


class SaveRow(msgspec.Struct, frozen=True):
    """Fsync this before the next effect, of this step or a later one, is begun.

    If it can't be, the rest of the list is void and the node starts anew from what its disk holds.

    Args:
        row: the new lease row.
        fresh: the node still counts as one with an empty disk.
    """

    row: Row
    fresh: bool


class Store(msgspec.Struct, frozen=True):
    """Store these entries, whose bytes came with the event, and fsync; then tell ``Stored``.

    Stores are done one after another, in their order; other effects need not wait for them, but ``Lead``
    does. Entry 1 of a term takes the place of all entries of older terms, in the same transaction.
    """

    heads: tuple[Head, ...]


class Mend(msgspec.Struct, frozen=True):
    """Put the bytes that came with the event in the place of a damaged entry's; fsync; tell ``Mended``."""

    head: Head


class Trim(msgspec.Struct, frozen=True):
    """Entries of ``before.term`` below ``before.txid`` may be deleted, in any later transaction."""

    before: Position


class Send(msgspec.Struct, frozen=True):
    """Send a message; it may be lost, and nothing waits for it.

    With an ``Append`` or a ``Lend`` go the bytes of its heads; they may not be stored yet, and be read from
    memory. What is not answered is sent again after a while: who is still busy sending the same entry to the
    same peer drops the second.
    """

    to: str
    message: AnyMessage


class Lead(msgspec.Struct, frozen=True):
    """The node was elected: once all stores asked for before are done, it prepares to write.

    That is: apply the whole local log, open the database for writing, start the log writer afresh, and tell
    ``Produced`` of all it writes, beginning with the snapshot (``term``, 1). If the node itself led the local
    log's term, there is nothing to apply: its database is ahead of the log.
    """

    term: int


class Serve(msgspec.Struct, frozen=True):
    """A majority has the snapshot of ``term``: clients may be answered."""

    term: int


class StepDown(msgspec.Struct, frozen=True):
    """Answer nothing more in ``term``, before the next effect is begun; end the log writer, and follow.

    Args:
        term: in which it led.
        why: for people.
    """

    term: int
    why: str


class Committed(msgspec.Struct, frozen=True):
    """A majority has stored all up to and with this position.

    A leader may answer it; a standby may apply it. Which of them it is for, the position's term says: the
    same step may go on with ``StepDown``, after which the node's state is a follower's.
    """

    position: Position


class StayLeader(msgspec.Struct, frozen=True):
    """The hand-over has come to nothing: go on writing in ``term``.

    Args:
        term: in which it leads.
        why: for people.
    """

    term: int
    why: str


class Alarm(msgspec.Struct, frozen=True):
    """Something that can't be, if programs and disks are right, was seen and refused: tell people loudly."""

    what: str


Effect = SaveRow | Store | Mend | Trim | Send | Lead | Serve | StepDown | Committed | StayLeader | Alarm
