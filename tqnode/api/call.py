"""One call: its parameters and body as they come in, its answer as it goes out."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
from starlette.types import Receive, Scope, Send

from tqnode.api.context import Context
from tqnode.api.decode import Decoder
from tqnode.api.json_body import surely_fine
from tqnode.api.json_scan import scan
from tqnode.api.waiting import ClientGone
from tqnode.connection import BODY_HERE, CLIENT_GONE
from tqnode.errors import (
    BodyTooLarge,
    InvalidField,
    RequestTimeout,
    UnsupportedMediaType,
)

T = TypeVar("T")

Headers = list[tuple[bytes, bytes]]

JSON_TYPE = (b"content-type", b"application/json")
_JSON = b"application/json"
_NONE: dict[str, Any] = {}
# A body larger than this is judged in a thread when the quick check can't vouch for it,
_SCAN_HERE_BYTES_MAX = 65_536
# and one larger than this even for the quick check: for the largest it takes most of a second.
_CHECK_HERE_BYTES_MAX = 1_048_576
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@+-]*")

_encode = msgspec.json.Encoder().encode


class Reply(NamedTuple):
    """A whole answer."""

    status: int
    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = (JSON_TYPE,)


def json_reply(status: int, answer: msgspec.Struct) -> Reply:
    """An answer of one of the wire's types."""
    return Reply(status, _encode(answer))


class Call:
    """A request on its way through a handler.

    Args:
        context: the node's services.
        scope: the request's head.
        receive: gives the body, then the client's going away.
        send: takes the answer, for handlers that stream it.
        values: of the path's parameters, in order.
    """

    __slots__ = ("context", "idempotency_key", "receive", "scope", "send", "streams", "values")

    def __init__(
        self, context: Context, scope: Scope, receive: Receive, send: Send, values: Sequence[str]
    ) -> None:
        self.context = context
        self.scope = scope
        self.receive = receive
        self.send = send
        self.values = values
        self.idempotency_key: str | None = None
        """The header of that name; known once the body is."""
        self.streams = False
        """Whether the handler has begun to answer by itself."""

    def uuid(self, index: int = 0, field: str = "id") -> str:
        """The path's parameter at ``index`` as a UUID in lower case.

        Raises:
            InvalidField: it is none.
        """
        return checked_uuid(self.values[index], field)

    def name(self, index: int = 0, field: str = "queue") -> str:
        """The path's parameter at ``index`` as a name.

        Raises:
            InvalidField: no queue or kind can have it.
        """
        name = self.values[index]
        if not _NAME.fullmatch(name):
            raise InvalidField("is no name that a queue or schedule can have", field=field)
        return self.context.conversion.name(name, field)

    def header(self, name: bytes) -> str | None:
        """A header's value, the first where there are several; None without."""
        for key, value in self.scope["headers"]:
            if key == name:
                return bytes(value).decode("latin-1")
        return None

    def client_gone(self) -> bool:
        """Whether an answer written now would be thrown away, though ``receive`` may not have told it yet."""
        gone = self.scope.get("extensions", _NONE).get(CLIENT_GONE)
        return gone is not None and gone()

    async def json(self, decoder: Decoder[T]) -> T:
        """The body, judged and decoded.

        Raises:
            UnsupportedMediaType, BodyTooLarge, RequestTimeout: see :meth:`body`.
            InvalidJson: it is not JSON in UTF-8.
            InvalidField: a part of it is not taken.
        """
        body = await self.body()
        await self.judge(body)
        return decoder(body)

    async def judge(self, body: bytes) -> None:
        """Returns if the body is JSON this node takes.

        Raises:
            InvalidJson: it is not JSON in UTF-8.
            InvalidField: it holds what would not survive.
        """
        depth_max = self.context.config.json_depth_max
        if len(body) <= _CHECK_HERE_BYTES_MAX:
            fine = surely_fine(body, depth_max=depth_max)
        else:
            async with self.context.check_turn:
                fine = await asyncio.to_thread(surely_fine, body, depth_max=depth_max)
        if fine:
            return
        if len(body) <= _SCAN_HERE_BYTES_MAX:
            scan(body, depth_max=depth_max)
            return
        async with self.context.scan_turn:
            await asyncio.to_thread(scan, body, depth_max=depth_max)

    async def body(self, *, optional: bool = False) -> bytes:
        """The whole body.

        Args:
            optional: whether there may be none, whatever the content type says.

        Raises:
            UnsupportedMediaType: it is not said to be JSON.
            BodyTooLarge: found before it is read where the client says its length, else while reading.
            RequestTimeout: it does not arrive in time.
            ClientGone: the client went away before it was whole.
        """
        content_type = None
        for key, value in self.scope["headers"]:
            if key == b"content-type":
                content_type = value
            elif key == b"content-length":
                if int(value) > self.context.config.body_bytes_max:
                    raise self._too_large()
            elif key == b"idempotency-key" and self.idempotency_key is None:
                self.idempotency_key = value.decode("latin-1")
        if content_type != _JSON and not (optional and content_type is None):
            _judge_content_type(content_type)
        here = self.scope.get("extensions", _NONE).get(BODY_HERE)
        body: bytes | None = here() if here is not None else None
        if body is not None:
            if len(body) > self.context.config.body_bytes_max:
                raise self._too_large()
            return body
        try:
            return await self.context.patience.wait(self._arrival())
        except TimeoutError:
            limit = self.context.config.request_read_s
            raise RequestTimeout("the body did not arrive in time", limit=limit) from None

    async def _arrival(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            part: bytes = message.get("body", b"")
            size += len(part)
            if size > self.context.config.body_bytes_max:
                raise self._too_large()
            more = message.get("more_body", False)
            if not more and not parts:
                return part
            parts.append(part)
            if not more:
                return b"".join(parts)

    def _too_large(self) -> BodyTooLarge:
        limit = self.context.config.body_bytes_max
        return BodyTooLarge(f"a body may have {limit} bytes", limit=limit)


def checked_uuid(text: str, field: str = "id") -> str:
    """A UUID in lower case.

    Raises:
        InvalidField: it is none.
    """
    if not _UUID.fullmatch(text):
        raise InvalidField("must be a UUID such as 0198c0de-0000-7000-8000-000000000000", field=field)
    return text.lower()


def _judge_content_type(content_type: bytes | None) -> None:
    if content_type is None:
        raise UnsupportedMediaType("say content-type: application/json", field="content-type")
    media, *parameters = (part.strip().lower() for part in content_type.split(b";"))
    charsets = (b"charset=utf-8", b'charset="utf-8"', b"charset=utf8", b"")
    if media != _JSON or any(parameter not in charsets for parameter in parameters):
        raise UnsupportedMediaType("the content type must be application/json in UTF-8", field="content-type")
