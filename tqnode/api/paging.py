"""Pages of what there is: how the calls that list something are asked for one."""

from tqnode.api.call import Call
from tqnode.api.filters import CURSOR_CHARS_MAX, LIMIT
from tqnode.api.query import integer, one, query_of
from tqnode.api.route import Parameter
from tqnode.errors import InvalidCursor


def asked_page(call: Call, *, cursor_chars_max: int = CURSOR_CHARS_MAX) -> tuple[int, str | None]:
    """How many rows a page may have, and the cursor it goes on from.

    Raises:
        InvalidCursor: no cursor is that long.
        InvalidField: the page would be too large, or a parameter is not known.
    """
    page_max = call.context.config.page_max
    limit, cursor = min(LIMIT, page_max), None
    if call.scope["query_string"]:
        query = query_of(call.scope, ("limit", "cursor"))
        limit = integer(query, "limit", low=1, high=page_max) or limit
        cursor = one(query, "cursor")
        if cursor is not None and not 0 < len(cursor) <= cursor_chars_max:
            raise InvalidCursor("the cursor is not one this node gave", field="cursor")
    return limit, cursor


def page_parameters(rows: str) -> list[Parameter]:
    """Both parameters, for the description; ``rows`` is what is listed, such as ``Limits``."""
    return [
        Parameter(
            name="limit",
            schema={"type": "integer", "minimum": 1, "default": LIMIT},
            about=f"{rows} on the page, at most the node's page_max.",
        ),
        Parameter(name="cursor", schema={"type": "string"}, about="The next_cursor of the page before."),
    ]
