"""What may happen to a node: the inputs of the step function."""

import msgspec

from tqnode.replication.entry import Head, Position
from tqnode.replication.messages import AnyMessage


class Tick(msgspec.Struct, frozen=True):
    """Time has passed; comes at least eight times in a lease.

    Args:
        jitter: chance from 0 up to 1, new for each tick.
        alive: the node's writer and disk have done work since the last tick that said so. A leader without
            it renews no lease.
    """

    jitter: float
    alive: bool


class Received(msgspec.Struct, frozen=True):
    """A message came, with all the bytes that go with it (safe on disk if they are many).

    Args:
        sender: name of the node it is from, proved by the transport.
        node_id: of the disk the sender runs on.
        message: what it says.
    """

    sender: str
    node_id: str
    message: AnyMessage


class Produced(msgspec.Struct, frozen=True):
    """The leader's own next entries, in order, as its log writer made them."""

    heads: tuple[Head, ...]


class Stored(msgspec.Struct, frozen=True):
    """What a ``Store`` effect asked for is fsynced, up to and with this position."""

    position: Position


class Applied(msgspec.Struct, frozen=True):
    """A standby's database holds, fsynced, all up to and with this position."""

    position: Position


class Damaged(msgspec.Struct, frozen=True):
    """The bytes of this stored entry are not what was stored: it must come again from the leader.

    After a start it is told anew, first of all, if it is known by then.
    """

    position: Position


class Mended(msgspec.Struct, frozen=True):
    """What a ``Mend`` effect asked for is fsynced."""

    position: Position


class CannotLead(msgspec.Struct, frozen=True):
    """What ``Lead`` asked for has failed, or the disk is full: the node must lead no more in ``term``."""

    term: int


class HandOver(msgspec.Struct, frozen=True):
    """Somebody wants another node to lead: the leader has begun no write since, and told ``Produced`` of all.

    It ends in ``StepDown`` or in ``StayLeader``, within the time of one lease.

    Args:
        to: its name; None leaves the choice to the leader.
    """

    to: str | None


Event = Tick | Received | Produced | Stored | Applied | Damaged | Mended | CannotLead | HandOver
