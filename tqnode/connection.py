"""Client connections that can't be held for nothing: uvicorn's protocol, with deadlines and bounds.

uvicorn waits for ever for a request's head, for a client that does not read its answer, and keeps
whatever header it is sent. Here a :class:`Watch` ticks, and each tick closes what has stood still.
"""

import asyncio
import functools
import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

HEAD_BYTES_MAX: Final = 64 * 1024
RETRY_AFTER_S: Final = 1
ANSWER_WHOLE: Final = "tqnode.answer_whole"
"""The ASGI extension by which an application answers in one piece."""
BODY_HERE: Final = "tqnode.body_here"
"""The ASGI extension by which an application takes a body that has come with its head."""
CLIENT_GONE: Final = "tqnode.client_gone"
"""The ASGI extension by which an application learns that an answer would reach nobody any more."""


def _answer_whole(
    cycle: RequestResponseCycle, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes
) -> bool:
    """Writes an answer that is known whole, in one piece: ``send()`` takes two, and two system calls.

    Args:
        cycle: the request it answers.
        status: the HTTP status.
        headers: all of them, content-length included, without line breaks; sent as they are.
        body: empty for HEAD.

    Returns:
        False, and nothing is done, if the client reads slowly: ``send()`` waits for it.
    """
    if cycle.flow.write_paused:
        return False
    if cycle.disconnected:
        return True
    parts = [STATUS_LINE[status]]
    for name, value in cycle.default_headers:
        parts += (name, b": ", value, b"\r\n")
    for name, value in headers:
        parts += (name, b": ", value, b"\r\n")
    if not cycle.keep_alive:
        parts.append(b"connection: close\r\n")
    parts += (b"\r\n", body)
    cycle.response_started = True
    cycle.waiting_for_100_continue = False
    cycle.transport.write(b"".join(parts))
    cycle.response_complete = True
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    # They hold the cycle that holds them: nobody needs them now, and the garbage collector need not come.
    cycle.scope.pop("extensions", None)
    return True


def _body_here(cycle: RequestResponseCycle) -> bytes | None:
    """Takes the whole body if it has arrived, as most have: ``receive()`` would be set up to wait for it.

    Args:
        cycle: the request it belongs to.
    """
    if cycle.more_body or cycle.disconnected or cycle.waiting_for_100_continue:
        return None
    body = bytes(cycle.body)
    cycle.body = bytearray()
    cycle.flow.resume_reading()
    return body


def _client_gone(cycle: RequestResponseCycle) -> bool:
    """Whether what is written now is thrown away; ``receive()`` tells it some turns of the loop later.

    Args:
        cycle: the request to be answered.
    """
    return cycle.disconnected or bool(cycle.transport.is_closing())


class Watch:
    """What all connections of a server share: how many there may be, and how long they may stand still.

    Args:
        connections_max: open connections; one more is answered 503.
        patience_s: seconds in which something has to move.
        tick_s: seconds between two calls of :meth:`check`.
    """

    def __init__(self, *, connections_max: int, patience_s: float, tick_s: float) -> None:
        self.connections_max = connections_max
        self.ticks_max = max(2, round(patience_s / tick_s))
        self.tick = 0

    def check(self, connections: "set[Connection]") -> None:
        """Lets a tick pass; closes the connections whose time is over."""
        self.tick += 1
        for connection in list(connections):
            connection.check()


class Connection(HttpToolsProtocol):
    """One client connection.

    Args:
        watch: shared by the server's connections.
        options: what uvicorn hands to its protocol.
    """

    def __init__(self, *, watch: Watch, **options: Any) -> None:
        super().__init__(**options)
        self._watch = watch
        self._head_bytes = 0
        # Since which tick a request is on its way in (its head first, then its body); None between two.
        self._arriving_since: int | None = watch.tick
        self._in_head = True
        self._unsent_bytes = 0
        self._unsent_since = 0
        self._answering: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if len(self.connections) > self._watch.connections_max:
            self._refuse(
                HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "the node has as many connections as it takes"
            )

    def connection_lost(self, exc: Exception | None) -> None:
        # uvicorn tells only the request that came last; while others wait behind it, that is not the one
        # being answered, which would go on and write to a closed transport.
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self._refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers_too_large",
                f"path and headers may take {HEAD_BYTES_MAX} bytes",
            )

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes += 1  # begun: one that stalls here is told so, unlike one that sent nothing
        self._arriving_since = self._watch.tick
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        super().on_headers_complete()
        # The application's task has not run yet: it finds this in its scope.
        self.scope["extensions"] = {
            ANSWER_WHOLE: functools.partial(_answer_whole, self.cycle),  # type: ignore[dict-item]  # ASGI leaves the value to us
            BODY_HERE: functools.partial(_body_here, self.cycle),  # type: ignore[dict-item]  # as above
            CLIENT_GONE: functools.partial(_client_gone, self.cycle),  # type: ignore[dict-item]  # as above
        }

    def on_message_complete(self) -> None:
        self._arriving_since = None
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:
        """Answers what is not HTTP; ``msg`` is uvicorn's sentence about it."""
        self._refuse(HTTPStatus.BAD_REQUEST, "invalid_http", msg)

    def check(self) -> None:
        """Ends the connection if nothing has moved for too long."""
        now, most = self._watch.tick, self._watch.ticks_max
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0 or unsent != self._unsent_bytes:
            self._unsent_bytes, self._unsent_since = unsent, now
        elif now - self._unsent_since > most:
            self.transport.abort()
            return
        if self._arriving_since is None or now - self._arriving_since <= most:
            return
        if not self._in_head:
            # A body that is late is the request's own matter while someone waits for it.
            if self.cycle.response_complete or now - self._arriving_since > 2 * most:
                self.transport.abort()
        elif self._head_bytes == 0:
            self.transport.close()
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "request_timeout", "the request did not arrive in time")

    def _refuse(self, status: HTTPStatus, code: str, detail: str) -> None:
        """Answers in the form of every other error, and closes."""
        if self.cycle is not None and not self.cycle.response_complete:
            # An answer is being written: another one in its middle would be taken for a part of it.
            self.transport.abort()
            return
        problem = {
            "type": f"/docs/api#{code}",
            "title": status.phrase,
            "status": status.value,
            "code": code,
            "detail": detail,
        }
        headers = {"content-type": "application/problem+json", "connection": "close"}
        if status is HTTPStatus.SERVICE_UNAVAILABLE:
            problem["retry_after_s"] = RETRY_AFTER_S
            headers["retry-after"] = str(RETRY_AFTER_S)
        body = json.dumps(problem).encode()
        headers["content-length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.transport.write(f"HTTP/1.1 {status.value} {status.phrase}\r\n{head}\r\n".encode() + body)
        self.transport.close()
