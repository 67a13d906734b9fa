"""The ASGI application: one table of routes, dispatched directly; pages behind it.

Calls of the API pay for no middleware. What every call needs (the errors' form, the counts, HEAD)
is in :meth:`Api.__call__` and nowhere else.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from tqnode.api import errors
from tqnode.api.call import Call, Headers, Reply
from tqnode.api.context import ClusterView, Context, Vital
from tqnode.api.convert import Conversion
from tqnode.api.hooks import Hooks
from tqnode.api.metrics import HttpMetrics
from tqnode.api.openapi import document
from tqnode.api.pages import pages
from tqnode.api.patience import Patience
from tqnode.api.query import query_of
from tqnode.api.route import Methods, Router
from tqnode.api.routes import ROUTES
from tqnode.api.service import Service
from tqnode.api.waiting import ClientGone, Waiting
from tqnode.api.webhooks import TRIALS_MAX
from tqnode.clock import Clock, Rng
from tqnode.config import Config
from tqnode.connection import ANSWER_WHOLE
from tqnode.delivery.courier import Courier
from tqnode.delivery.endpoints import Endpoints
from tqnode.errors import BodyTooLarge, Busy, Elsewhere, MethodNotAllowed, RequestTimeout, TqnodeError
from tqnode.metrics import Metrics
from tqnode.replication.past import PastStates

REQUEST_ID_BITS = 64
# After a refused body: how long and how much of it is still read, so that the refusal reaches the client.
LINGER_S = 2.0
LINGER_BYTES_MAX = 64 * 1024 * 1024

_NONE: dict[str, Any] = {}

logger = logging.getLogger(__name__)


def build(
    service: Service,
    *,
    config: Config,
    clock: Clock,
    rng: Rng,
    metrics: Metrics,
    draining: asyncio.Event,
    vitals: Callable[[], Mapping[str, Vital]] = dict,
    past: PastStates | None = None,
    cluster: ClusterView | None = None,
    courier: Courier | None = None,
) -> "Api":
    """Makes the application of one node.

    Args:
        service: gives the queue that the node serves.
        config: its configuration.
        clock: its clock.
        rng: for request ids.
        metrics: its collectors; the HTTP ones are added to their registry.
        draining: set when the node stops: waits end, and no new ones begin.
        vitals: how the parts are that the node may have besides its database.
        past: past states of the queue; None where there is no archive.
        cluster: the other nodes; None without any.
        courier: sends what webhooks are tried with; None knows no webhooks.
    """
    http = HttpMetrics()
    if courier is None:
        courier = Courier(Endpoints(), config=config, clock=clock)
    hooks = Hooks(config, courier.endpoints, courier.policy)
    metrics.registry.register(http)
    context = Context(
        service=service,
        config=config,
        clock=clock,
        rng=rng,
        metrics=metrics,
        http=http,
        draining=draining,
        waiting=Waiting(draining),
        following=Waiting(draining),
        conversion=Conversion(config, hooks),
        hooks=hooks,
        courier=courier,
        trials=asyncio.Semaphore(TRIALS_MAX),
        patience=Patience(clock, within_s=config.request_read_s),
        check_turn=asyncio.Semaphore(1),
        scan_turn=asyncio.Semaphore(1),
        description=cache(lambda: document(ROUTES)),
        past=past,
        cluster=cluster,
        vitals=vitals,
        began=clock.monotonic(),
    )
    return Api(context, Router(ROUTES, http))


class Api:
    """Answers every request.

    Args:
        context: the node's services.
        router: the API's routes.
    """

    def __init__(self, context: Context, router: Router) -> None:
        self._context = context
        self._router = router
        self._pages = pages(self._page_refusal)
        self._monotonic = context.clock.monotonic
        self._other = context.http.route("other")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"{scope['type']} is not served")
        began = self._monotonic()
        method = scope["method"]
        methods, values = self._router.find(scope["path"])
        endpoint = methods.get(method) if methods is not None else None
        if methods is None:
            await self._page(scope, receive, send)
            return
        if endpoint is None:
            counts = self._other
            reply: Reply | None = self._wrong_method(scope, methods)
        else:
            counts = endpoint.counts
            call = Call(self._context, scope, receive, send, values)
            try:
                if scope["query_string"] and not endpoint.takes_query:
                    query_of(scope, ())
                reply = await endpoint.handler(call)
            except TqnodeError as error:
                reply = self._refusal(scope, error)
                if isinstance(error, BodyTooLarge | RequestTimeout):
                    await self._close_after(reply, receive, send)
                    counts.add(method, reply.status, self._monotonic() - began)
                    return
            except ClientGone:
                # Nobody reads an answer; 499 is what proxies log for it.
                counts.add(method, 499, self._monotonic() - began)
                return
            except Exception:
                if call.streams:
                    # Its answer has begun: the server logs this and cuts the connection.
                    raise
                reply = self._fault(scope)
        if reply is None:
            counts.add(method, 200, self._monotonic() - began)
            return
        status, body, headers = reply
        if status != 204:
            headers = [*headers, (b"content-length", b"%d" % len(body))]
        if method == "HEAD":
            body = b""
        answer_whole = scope.get("extensions", _NONE).get(ANSWER_WHOLE)
        if answer_whole is None or not answer_whole(status, headers, body):
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        counts.add(method, status, self._monotonic() - began)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a path that is not the API's."""
        began = self._monotonic()
        status = 500

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._pages(scope, receive, note_status)
        finally:
            self._other.add(scope["method"], status, self._monotonic() - began)

    def _page_refusal(self, request: Request, error: TqnodeError, headers: dict[str, str]) -> Response:
        refusal = self._refusal(request.scope, error)
        response = Response(refusal.body, status_code=refusal.status, headers=headers)
        response.raw_headers.extend(refusal.headers)
        return response

    def _request_id(self) -> str:
        return f"{self._context.rng.bits(REQUEST_ID_BITS):016x}"

    def _wrong_method(self, scope: Scope, methods: Methods) -> Reply:
        allowed = ", ".join(sorted(methods))
        refusal = self._refusal(scope, MethodNotAllowed(f"{scope['path']} takes {allowed}", field="method"))
        return refusal._replace(headers=[*refusal.headers, (b"allow", allowed.encode())])

    def _refusal(self, scope: Scope, error: TqnodeError) -> Reply:
        request_id = self._request_id()
        status = errors.status_of(error)
        # A busy node that logged each refusal would be busier still.
        if status >= 500 and not isinstance(error, Busy):
            logger.warning(
                "%s %s answered %d %s: %s (request %s)",
                scope["method"],
                scope["path"],
                status,
                error.code,
                error.detail,
                request_id,
            )
        problem = errors.problem_of(error, request_id=request_id)
        headers = [*_problem_headers(request_id), *errors.headers_of(error)]
        if isinstance(error, Elsewhere):
            headers.append((b"location", _there(error.url, scope)))
        return Reply(status, errors.encode_problem(problem), headers)

    def _fault(self, scope: Scope) -> Reply:
        """Answers an exception nobody foresaw; must be called while it is handled."""
        request_id = self._request_id()
        logger.exception("%s %s failed (request %s)", scope["method"], scope["path"], request_id)
        return Reply(500, errors.encode_problem(errors.internal(request_id)), _problem_headers(request_id))

    async def _close_after(self, reply: Reply, receive: Receive, send: Send) -> None:
        """Answers before the body was read, then ends the connection.

        Closing at once would reset the connection, and a client that still sends would never
        see the answer: so what comes is read and thrown away for a while first.
        """
        headers: Sequence[tuple[bytes, bytes]] = [
            *reply.headers,
            (b"content-length", b"%d" % len(reply.body)),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body, "more_body": True})
        left = LINGER_BYTES_MAX
        try:
            async with asyncio.timeout(LINGER_S):
                while left > 0:
                    message = await receive()
                    left -= len(message.get("body", b""))
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        break
        except TimeoutError:
            logger.debug("a client still sends a refused body after %g s", LINGER_S)
        await send({"type": "http.response.body", "body": b""})

    async def close(self) -> None:
        """Ends what runs beside the calls."""
        await self._context.waiting.close()
        await self._context.following.close()


def _there(url: str, scope: Scope) -> bytes:
    """The same request's address at another node."""
    query: bytes = scope["query_string"]
    path: bytes = scope["raw_path"]
    return url.rstrip("/").encode() + path + (b"?" + query if query else b"")


def _problem_headers(request_id: str) -> Headers:
    return [(b"content-type", errors.PROBLEM_TYPE), (b"x-request-id", request_id.encode())]
