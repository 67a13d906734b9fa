"""What stands in the bytes between two nodes: frames, the handshake, calls and their answers.

A connection carries frames: ``length:u32 kind:u8 body`` and, with a shared secret, a MAC of 16 bytes, all
big-endian; the length is that of the body. The first four frames are the handshake, whose form is the same
in every version of the protocol, so that nodes of any two versions can tell each other why they don't match:
the dialling node says HELLO, the other WELCOME, then both prove that they know the secret (PROOF, READY).
After it one side may send messages, each followed by the bytes of its heads in chunks.
"""

import enum
import struct
from typing import Final

import msgspec

from tqnode.replication.messages import AnyMessage

OLDEST: Final = 1
"""The oldest version of the protocol that this program speaks."""
NEWEST: Final = 1
"""The newest one."""
HEADER: Final = struct.Struct(">IB")
MAC_BYTES: Final = 16
NONCE_BYTES: Final = 32
HANDSHAKE_BYTES_MAX: Final = 16 * 1024
FRAME_BYTES_MAX: Final = 1024 * 1024
CHUNK_BYTES: Final = 128 * 1024
HEADS_MAX: Final = 1024
"""Most entries of one message."""
CONTROL: Final = "control"
"""The connection for all that is small, and for calls."""
LOG: Final = "log"
"""The connection for messages with entries: whatever their size, they hold up no heartbeat."""


class Kind(enum.IntEnum):
    """What a frame is."""

    HELLO = 1
    WELCOME = 2
    PROOF = 3
    READY = 4
    REFUSAL = 5
    MESSAGE = 16
    CHUNK = 17
    REQUEST = 18
    RESPONSE = 19
    PING = 20
    PONG = 21


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """Who a node says it is.

    Args:
        name: as in everybody's ``peers``.
        node_id: of the disk it runs on.
        cluster_id: empty if it belongs to none yet.
        url: where clients reach it.
        software: version of the program.
        schema: number of the queue's schema that the program knows.
    """

    name: str
    node_id: str
    cluster_id: str
    url: str
    software: str
    schema: int


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """The first frame of a connection.

    Args:
        oldest: version of the protocol the dialling node speaks.
        newest: version of the protocol the dialling node speaks.
        card: who it is.
        to: name of the node it wants.
        lane: :data:`CONTROL` or :data:`LOG`.
        auth: how it proves who it is: ``tls``, ``secret`` or ``open``.
        nonce: 32 bytes, never used before.
    """

    oldest: int
    newest: int
    card: Card
    to: str
    lane: str
    auth: str
    nonce: bytes


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to :class:`Hello`.

    Args:
        protocol: the newest version that both speak.
        card: who answers.
        nonce: 32 bytes, never used before.
    """

    protocol: int
    card: Card
    nonce: bytes


class Refusal(msgspec.Struct, frozen=True):
    """The last frame to a node that is not let in.

    Args:
        reason: a stable word.
        detail: what is wrong and what to do, for people.
    """

    reason: str
    detail: str


class Request(msgspec.Struct, frozen=True):
    """A call.

    Args:
        number: comes back in the response.
        name: of what is called.
        payload: what it is called with.
    """

    number: int
    name: str
    payload: msgspec.Raw


class Response(msgspec.Struct, frozen=True):
    """The answer to a call.

    Args:
        number: of the request.
        error: why it was not done; empty if it was.
        payload: what came of it.
    """

    number: int
    error: str
    payload: msgspec.Raw


_packer = msgspec.msgpack.Encoder()
_messages: msgspec.msgpack.Decoder[AnyMessage] = msgspec.msgpack.Decoder(AnyMessage)


def pack(value: object) -> bytes:
    """MessagePack."""
    return _packer.encode(value)


def unpack_message(body: bytes) -> AnyMessage:
    """A message between two cores.

    Raises:
        msgspec.DecodeError: it is none that this version knows.
    """
    return _messages.decode(body)
