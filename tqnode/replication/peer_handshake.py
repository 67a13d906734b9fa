"""The first four frames of a connection, from both sides: who is it, and do the two match."""

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from tqnode.clock import Rng
from tqnode.replication.peer_auth import ANSWERER, DIALLER, Auth, check_proof, proof, session
from tqnode.replication.peer_link import Link, LinkBroken
from tqnode.replication.peer_refusals import Refused
from tqnode.replication.wire import (
    CONTROL,
    HANDSHAKE_BYTES_MAX,
    LOG,
    NEWEST,
    NONCE_BYTES,
    OLDEST,
    Card,
    Hello,
    Kind,
    Refusal,
    Welcome,
    pack,
)

HANDSHAKE_S: Final = 5.0
_SHOWN: Final = 80
T = TypeVar("T")


class RefusedByPeer(Refused):
    """The other node does not let this one in."""


class Handshake:
    """This node's side of it.

    Args:
        card: who this node is, at the moment.
        peers: names of all the other configured nodes.
        auth: how nodes prove who they are.
        rng: makes the nonces.
        oldest: version of the protocol this node speaks.
        newest: version of the protocol this node speaks.
    """

    def __init__(
        self,
        card: Callable[[], Card],
        *,
        peers: frozenset[str],
        auth: Auth,
        rng: Rng,
        oldest: int = OLDEST,
        newest: int = NEWEST,
    ) -> None:
        self._card = card
        self._peers = peers
        self._auth = auth
        self._rng = rng
        self._oldest = oldest
        self._newest = newest

    def _nonce(self) -> bytes:
        return self._rng.bits(8 * NONCE_BYTES).to_bytes(NONCE_BYTES, "big")

    async def dial(self, link: Link, name: str, lane: str) -> tuple[Card, int]:
        """Introduces this node on a connection it has made; returns who answered, and the protocol's version.

        Args:
            link: the new connection.
            name: of the peer that should be there.
            lane: what the connection is for.

        Raises:
            Refused: it is not that peer, or the two do not match.
            RefusedByPeer: so it says.
            LinkBroken: the connection has ended.
        """
        self._auth.check_certificate(link.ssl_object, name)
        hello = pack(
            Hello(
                oldest=self._oldest,
                newest=self._newest,
                card=self._card(),
                to=name,
                lane=lane,
                auth=self._auth.kind,
                nonce=self._nonce(),
            )
        )
        link.write(Kind.HELLO, hello)
        answer = await _expect(link, Kind.WELCOME)
        welcome = _decode(answer, Welcome)
        if welcome.card.name != name:
            raise Refused("name", f"{welcome.card.name[:_SHOWN]!r} answers at its address: correct peers")
        if not self._oldest <= welcome.protocol <= self._newest:
            raise Refused("protocol", f"it wants version {welcome.protocol} of the protocol")
        self._check_cluster(welcome.card)
        secret = self._auth.secret()
        transcript = pack([hello, answer])
        link.write(Kind.PROOF, proof(secret, DIALLER, transcript))
        check_proof(secret, ANSWERER, transcript, await _expect(link, Kind.READY))
        keys = session(secret, transcript)
        if keys is not None:
            link.secure(send=keys.dialler, receive=keys.answerer)
        return welcome.card, welcome.protocol

    async def answer(self, link: Link, claimed: Callable[[str], None]) -> tuple[Hello, int]:
        """Lets a peer in that has connected, or not; returns its first frame, and the protocol's version.

        Args:
            link: the new connection.
            claimed: told the name of a configured peer that it says it is, before that is proved.

        Raises:
            Refused: it is not let in; it was not told yet.
            LinkBroken: the connection has ended.
        """
        opening = await _expect(link, Kind.HELLO)
        hello = _decode(opening, Hello)
        name = hello.card.name
        if name not in self._peers:
            raise Refused(
                "unknown", f"no peer is named {name[:_SHOWN]!r}: all nodes need the same list of peers"
            )
        claimed(name)
        protocol = self._check_hello(hello)
        self._auth.check_certificate(link.ssl_object, name)
        reply = pack(Welcome(protocol=protocol, card=self._card(), nonce=self._nonce()))
        link.write(Kind.WELCOME, reply)
        secret = self._auth.secret()
        transcript = pack([opening, reply])
        check_proof(secret, DIALLER, transcript, await _expect(link, Kind.PROOF))
        link.write(Kind.READY, proof(secret, ANSWERER, transcript))
        keys = session(secret, transcript)
        if keys is not None:
            link.secure(send=keys.answerer, receive=keys.dialler)
        return hello, protocol

    def _check_hello(self, hello: Hello) -> int:
        """Returns the version of the protocol to speak."""
        me = self._card()
        if hello.auth != self._auth.kind:
            raise Refused(
                "auth",
                f"it proves itself by {hello.auth[:_SHOWN]!r}, {me.name} by {self._auth.kind!r}: "
                "configure the same on all nodes",
            )
        protocol = min(hello.newest, self._newest)
        if protocol < max(hello.oldest, self._oldest):
            older = hello.card.name if hello.newest < self._newest else me.name
            raise Refused(
                "protocol",
                f"it speaks versions {hello.oldest} to {hello.newest} of the protocol, {me.name} speaks "
                f"{self._oldest} to {self._newest}: upgrade {older}",
            )
        if hello.to != me.name:
            raise Refused(
                "name", f"it looks for {hello.to[:_SHOWN]!r} at the address of {me.name}: correct peers"
            )
        if hello.lane not in (CONTROL, LOG) or len(hello.nonce) != NONCE_BYTES:
            raise Refused("malformed", "its first frame makes no sense")
        self._check_cluster(hello.card)
        return protocol

    def _check_cluster(self, card: Card) -> None:
        own = self._card().cluster_id
        if own and card.cluster_id and own != card.cluster_id:
            raise Refused(
                "cluster",
                f"it belongs to cluster {card.cluster_id[:_SHOWN]}, this node to {own}: correct peers, or "
                "move away the data folder of the node that is to change over",
            )


async def _expect(link: Link, kind: Kind) -> bytes:
    found, body = await link.read(bytes_max=HANDSHAKE_BYTES_MAX, within_s=HANDSHAKE_S)
    if found != kind:
        raise unexpected(found, body)
    return body


def unexpected(kind: int, body: bytes) -> Refused:
    """What to say of a frame that does not belong where it came; it may be the other side's refusal."""
    if kind != Kind.REFUSAL:
        return Refused("malformed", f"a frame of kind {kind} came where none belongs: upgrade the older node")
    refusal = _decode(body, Refusal)
    return RefusedByPeer(refusal.reason[:_SHOWN], f"it refuses this node: {refusal.detail[:500]}")


def _decode(body: bytes, form: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(body, type=form)
    except msgspec.DecodeError as error:
        raise Refused("malformed", f"its handshake cannot be read: {error}") from error


async def refuse(link: Link, refused: Refused) -> None:
    """Tells the other side why it is not let in, and closes."""
    try:
        await link.say_last(Kind.REFUSAL, pack(Refusal(refused.reason, refused.detail)), within_s=1.0)
    except LinkBroken:
        link.close()
