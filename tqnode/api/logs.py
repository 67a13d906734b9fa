"""What tasks tell while they run: told line by line, read page by page, followed."""

from tq import wire
from tqnode.api.call import Call, Reply, json_reply
from tqnode.api.decode import Decoder
from tqnode.api.query import Query, integer, one, query_of, seconds
from tqnode.api.route import Parameter, Route
from tqnode.api.stamps import MOMENT_MAX_MS, moment_ms, stamp
from tqnode.errors import Draining, InvalidCursor
from tqnode.queue.logs import LogPage, NewLine, NewLines

_append = Decoder(wire.AppendLines)

_AFTER = Parameter(
    name="after",
    schema={"type": "string"},
    about="The next_cursor of the page before; without one, from the first line that is kept.",
)
_WAIT = Parameter(
    name="wait_s",
    schema={"type": "number", "minimum": 0, "default": 0},
    about="Without a line, wait so long for the next ones or the task's end.",
)
_LIMIT = Parameter(
    name="limit",
    schema={"type": "integer", "minimum": 1, "default": 1000},
    about="How many lines at most.",
)
_CURSOR_CHARS_MAX = 18
LINES = 1_000
"""Lines of a page that does not say how many."""


def lines_of(task_id: str, token: str, new: wire.NewLines) -> NewLines:
    """Lines as the core takes them."""
    lines = tuple(
        # A clock that is far off is no reason to lose a line.
        NewLine(
            line.text,
            line.level,
            None if line.at is None else min(max(0, moment_ms(line.at)), MOMENT_MAX_MS),
        )
        for line in new.lines
    )
    return NewLines(id=task_id, token=token, lines=lines, first=new.first)


async def append(call: Call) -> Reply:
    """Adds lines to a running task's log."""
    asked = await call.json(_append)
    last = await call.context.queue.logs.append(lines_of(call.uuid(), asked.token, asked))
    return json_reply(200, wire.LinesAppended(last=last))


async def read(call: Call) -> Reply:
    """A page of lines; waits for the next ones when there are none."""
    context = call.context
    query = query_of(call.scope, (_AFTER.name, _WAIT.name, _LIMIT.name))
    after = _cursor(query)
    wait_s = seconds(query, _WAIT.name, high=context.config.read_wait_s_max)
    limit = min(LINES, context.config.page_max)
    limit = integer(query, _LIMIT.name, low=1, high=context.config.page_max) or limit
    task_id = call.uuid()
    logs = context.queue.logs
    if not wait_s:
        return json_reply(200, _page_of(await logs.page(task_id, after=after, limit=limit, wait_s=0)))
    try:
        page = await context.waiting.run(
            logs.page(task_id, after=after, limit=limit, wait_s=wait_s), call.receive
        )
    except Draining:
        page = await logs.page(task_id, after=after, limit=limit, wait_s=0)
    return json_reply(200, _page_of(page))


def _cursor(query: Query) -> int:
    text = one(query, _AFTER.name)
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= _CURSOR_CHARS_MAX):
        raise InvalidCursor("is not the next_cursor of a page of lines", field=_AFTER.name)
    return int(text)


def _page_of(page: LogPage) -> wire.LogPage:
    lines = [
        wire.LogLine(
            number=line.number,
            attempt=line.attempt,
            at=stamp(line.at_ms),
            level=line.level,
            text=line.text,
        )
        for line in page.lines
    ]
    return wire.LogPage(lines=lines, next_cursor=str(page.next), dropped=page.dropped, ended=page.ended)


ROUTES = [
    Route(
        method="POST",
        path="/v1/tasks/{id}/logs",
        handler=append,
        name="append_lines",
        about="Add lines to the log of a running task.",
        body=wire.AppendLines,
        answers={200: wire.LinesAppended},
        errors=["task_not_found", "lease_lost"],
    ),
    Route(
        method="GET",
        path="/v1/tasks/{id}/logs",
        handler=read,
        name="read_lines",
        about="A page of the lines that a task's attempts have told, oldest first; waits for the next ones.",
        answers={200: wire.LogPage},
        parameters=[_AFTER, _WAIT, _LIMIT],
        errors=["task_not_found", "invalid_cursor", "overloaded"],
    ),
]
