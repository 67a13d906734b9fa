"""Routes: each is described once, for the dispatch and for the API's description."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tqnode.api.metrics import HttpMetrics, RouteCounts

if TYPE_CHECKING:
    from tqnode.api.call import Call, Reply

Handler = Callable[["Call"], Awaitable["Reply | None"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A query parameter or header, for the description."""

    name: str
    schema: dict[str, Any]
    about: str
    place: str = "query"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method on one path.

    Args:
        method: the HTTP method.
        path: the template, its parameters in braces.
        handler: answers the call; None if it has answered by itself.
        name: the operation's name.
        about: one sentence for people.
        answers: status to type of the body; a tuple for one of several, None for no body, a string
            for a media type.
        body: the type of the request's body; a tuple for one of several, None for none.
        body_required: whether the call needs the body.
        parameters: query parameters and headers.
        errors: the codes it may fail with, besides those every call may.
    """

    method: str
    path: str
    handler: Handler
    name: str
    about: str
    answers: dict[int, Any]
    body: Any = None
    body_required: bool = True
    parameters: Sequence[Parameter] = ()
    errors: Sequence[str] = field(default=())


class Endpoint:
    """A route that is being served."""

    __slots__ = ("counts", "handler", "route", "takes_query")

    def __init__(self, route: Route, counts: RouteCounts) -> None:
        self.route = route
        self.handler = route.handler
        self.counts = counts
        # Probes and scrapers may send what they like; in a call of the API, it would be a mistake unseen.
        self.takes_query = not route.path.startswith("/v1/") or any(
            parameter.place == "query" for parameter in route.parameters
        )


Methods = dict[str, Endpoint]


class _Segment:
    """The paths that go on from here: by a literal segment, or by any one."""

    __slots__ = ("any", "literal", "methods")

    def __init__(self) -> None:
        self.literal: dict[str, _Segment] = {}
        self.any: _Segment | None = None
        self.methods: Methods = {}


class Router:
    """Finds a path's endpoints.

    Args:
        routes: all there are.
        metrics: where each route's requests are counted.
    """

    def __init__(self, routes: Sequence[Route], metrics: HttpMetrics) -> None:
        self._exact: dict[str, Methods] = {}
        self._root = _Segment()
        for route in routes:
            endpoint = Endpoint(route, metrics.route(route.path))
            methods = self._methods(route.path)
            if route.method in methods:
                raise ValueError(f"{route.method} {route.path} is there twice")
            methods[route.method] = endpoint
            if route.method == "GET":
                methods["HEAD"] = endpoint

    def _methods(self, path: str) -> Methods:
        if "{" not in path:
            return self._exact.setdefault(path, {})
        segment = self._root
        for part in path.split("/"):
            if part.startswith("{"):
                segment.any = segment.any or _Segment()
                segment = segment.any
            else:
                segment = segment.literal.setdefault(part, _Segment())
        return segment.methods

    def find(self, path: str) -> tuple[Methods | None, Sequence[str]]:
        """The endpoints of a path by method, and the values of its parameters; None without any."""
        exact = self._exact.get(path)
        if exact is not None:
            return exact, ()
        segment = self._root
        values = []
        for part in path.split("/"):
            following = segment.literal.get(part)
            if following is None:
                following = segment.any
                if following is None or not part:
                    return None, ()
                values.append(part)
            segment = following
        return segment.methods or None, values
