"""The documentation's pages, as text; and the answer to every path that is nothing."""

from collections.abc import Callable
from importlib import resources

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from tqnode.errors import MethodNotAllowed, NotFound, TqnodeError

SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}

Refuse = Callable[[Request, TqnodeError, dict[str, str]], Response]


def _texts() -> dict[str, bytes]:
    """Each page's name and Markdown."""
    folder = resources.files("tqweb").joinpath("docs")
    return {
        page.name.removesuffix(".md"): page.read_bytes()
        for page in sorted(folder.iterdir(), key=lambda page: page.name)
        if page.name.endswith(".md")
    }


def pages(refuse: Refuse) -> ASGIApp:
    """The application behind the API.

    Args:
        refuse: gives an error the form every error has.
    """
    texts = _texts()
    index = "# tqnode\n\n" + "".join(f"- [{name}](/docs/{name})\n" for name in texts)

    async def read_index(_request: Request) -> Response:
        return _markdown(index.encode())

    async def read_page(request: Request) -> Response:
        name: str = request.path_params["page"]
        text = texts.get(name.removesuffix(".md"))
        if text is None:
            raise NotFound("page", name)
        return _markdown(text)

    async def to_index(_request: Request) -> Response:
        return RedirectResponse("/docs", status_code=307, headers=SECURITY_HEADERS)

    async def refused(request: Request, error: Exception) -> Response:
        headers: dict[str, str] = {}
        if isinstance(error, HTTPException):
            headers = dict(error.headers or {})
            if error.status_code == 405:
                error = MethodNotAllowed(f"{request.scope['path']} takes GET and HEAD", field="method")
            else:
                error = NotFound("route", request.scope["path"])
        if not isinstance(error, TqnodeError):
            raise error
        return refuse(request, error, headers)

    return Starlette(
        routes=[
            Route("/", to_index),
            Route("/docs", read_index),
            Route("/docs/{page}", read_page),
        ],
        exception_handlers={HTTPException: refused, TqnodeError: refused},
    )


def _markdown(text: bytes) -> Response:
    return Response(text, media_type="text/markdown", headers=SECURITY_HEADERS)
