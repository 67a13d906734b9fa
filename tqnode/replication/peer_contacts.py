"""What is known of each peer from the connections to it: for people, for metrics, and for redirects."""

from collections.abc import Mapping

import msgspec

from tqnode.clock import Clock
from tqnode.replication.wire import Card


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """One peer.

    Args:
        name: as configured.
        address: as configured.
        card: what it said of itself last; None if it never did.
        protocol: version of the protocol spoken with it; 0 if none was.
        connected: this node can reach it now.
        heard: when it was last heard, in seconds of this node's monotonic clock; None if never.
        round_trip_s: of a small frame there and back, lately; None if unknown.
        trouble: why it could not be reached, last time; empty if it could.
    """

    name: str
    address: str
    card: Card | None = None
    protocol: int = 0
    connected: bool = False
    heard: float | None = None
    round_trip_s: float | None = None
    trouble: str = ""


class Contacts:
    """All peers.

    Args:
        addresses: of the peers, by name.
        clock: the node's clock.
    """

    def __init__(self, addresses: Mapping[str, str], *, clock: Clock) -> None:
        self._clock = clock
        self._all = {name: Contact(name=name, address=address) for name, address in addresses.items()}

    def __getitem__(self, name: str) -> Contact:
        return self._all[name]

    def _change(self, name: str, **changes: object) -> None:
        self._all[name] = msgspec.structs.replace(self._all[name], **changes)

    def met(self, card: Card, protocol: int) -> None:
        """The peer has proved who it is."""
        self._change(card.name, card=card, protocol=protocol, heard=self._clock.monotonic())

    def heard(self, name: str) -> None:
        """A frame came from it."""
        self._change(name, heard=self._clock.monotonic())

    def timed(self, name: str, round_trip_s: float) -> None:
        """A frame went there and back."""
        self._change(name, round_trip_s=round_trip_s, heard=self._clock.monotonic())

    def reached(self, name: str) -> None:
        """This node's own connection to it stands."""
        self._change(name, connected=True, trouble="")

    def lost(self, name: str, trouble: str) -> None:
        """There is no connection of this node's own to it."""
        self._change(name, connected=False, trouble=trouble, round_trip_s=None)

    def all(self) -> dict[str, Contact]:
        """By name."""
        return dict(self._all)
