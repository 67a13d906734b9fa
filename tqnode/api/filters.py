"""Which tasks a list shows, read from the query string."""

from typing import Any, NamedTuple, get_args

from starlette.types import Scope

from tq import wire
from tqnode.api.call import checked_uuid
from tqnode.api.conditions import conditions_in, is_condition
from tqnode.api.past import AT
from tqnode.api.query import Query, flag, integer, moment, one, query_of
from tqnode.api.route import Parameter
from tqnode.config import Config
from tqnode.errors import InvalidCursor, InvalidField
from tqnode.queue.search import Filters
from tqnode.task import TaskState

LIMIT = 100
VALUES_MAX = 100
CURSOR_CHARS_MAX = 200

_STATES = get_args(wire.State)
_NAMES: dict[str, str] = {
    "queue": "Only tasks of this queue; may come several times.",
    "kind": "Only tasks of this kind; may come several times.",
}
_MOMENTS = {
    "created_after": "Created at this moment or later.",
    "created_before": "Created before this moment.",
    "finished_after": "Finished at this moment or later.",
    "finished_before": "Finished before this moment.",
}
_Schema = dict[str, Any]
_TEXT: _Schema = {"type": "string"}
_SCALAR: _Schema = {"type": ["string", "number", "boolean", "null"]}
_MOMENT: _Schema = {"type": "string", "format": "date-time"}
_PRIORITY: _Schema = {"type": "integer", "minimum": 0, "maximum": 255}

FILTER_PARAMETERS = [
    *(
        Parameter(name=name, schema={"type": "array", "items": _TEXT}, about=about)
        for name, about in _NAMES.items()
    ),
    Parameter(
        name="state",
        schema={"type": "array", "items": {"type": "string", "enum": list(_STATES)}},
        about="Only tasks in this state; may come several times.",
    ),
    Parameter(name="tag", schema=_TEXT, about="Only tasks with this tag."),
    Parameter(name="worker", schema=_TEXT, about="Only tasks this worker holds or last held."),
    Parameter(name="limit_key", schema=_TEXT, about="Only tasks with this limit key."),
    Parameter(
        name="batch",
        schema={"type": "string", "format": "uuid"},
        about="Only members of this batch.",
    ),
    Parameter(name="min_priority", schema=_PRIORITY, about="Of this priority or higher."),
    Parameter(name="max_priority", schema=_PRIORITY, about="Of this priority or lower."),
    *(Parameter(name=name, schema=_MOMENT, about=about) for name, about in _MOMENTS.items()),
    Parameter(
        name="text",
        schema=_TEXT,
        about="With this in the kind or in a tag, whatever the case of ASCII letters.",
    ),
    Parameter(name="error_type", schema=_TEXT, about="Whose last error is of this type."),
    Parameter(
        name="payload.{path}",
        schema=_SCALAR,
        about="With this value at a path of the payload, as in payload.user.id=42; up to ten such.",
    ),
    Parameter(name="meta.{path}", schema=_SCALAR, about="The same of the meta."),
]
LIST_PARAMETERS = [
    *FILTER_PARAMETERS,
    Parameter(
        name="limit",
        schema={"type": "integer", "minimum": 1, "default": LIMIT},
        about="Tasks on the page, at most the node's page_max.",
    ),
    Parameter(name="cursor", schema=_TEXT, about="The next_cursor of the page before."),
    Parameter(
        name="payload",
        schema={"type": "boolean", "default": False},
        about="Whether each task comes with its payload and result.",
    ),
    AT,
]


class _Known(frozenset[str]):
    """Names of parameters, and those of every path."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and is_condition(name))


_KNOWN = _Known(parameter.name for parameter in LIST_PARAMETERS)
_COUNTED = _Known(parameter.name for parameter in FILTER_PARAMETERS)


class ListQuery(NamedTuple):
    """A list's query string, read."""

    filters: Filters
    limit: int
    cursor: str | None
    bodies: bool
    at_ms: int | None


def list_query(scope: Scope, config: Config) -> ListQuery:
    """Reads a list's query string.

    Raises:
        InvalidField: a parameter is unknown or wrong.
        InvalidCursor: the cursor can't be one of this node's.
    """
    query = query_of(scope, _KNOWN)
    filters = _filters_in(query, config)
    limit = integer(query, "limit", low=1, high=config.page_max)
    cursor = one(query, "cursor")
    if cursor is not None and not 0 < len(cursor) <= CURSOR_CHARS_MAX:
        raise InvalidCursor("the cursor is not one this node gave", field="cursor")
    return ListQuery(
        filters=filters,
        limit=min(LIMIT, config.page_max) if limit is None else limit,
        cursor=cursor,
        bodies=flag(query, "payload"),
        at_ms=moment(query, AT.name),
    )


def _batch(query: Query) -> str | None:
    text = one(query, "batch")
    return None if text is None else checked_uuid(text, "batch")


def count_query(scope: Scope, config: Config) -> Filters:
    """Reads a count's query string.

    Raises:
        InvalidField: a parameter is unknown or wrong.
    """
    return _filters_in(query_of(scope, _COUNTED), config)


def _filters_in(query: Query, config: Config) -> Filters:
    chars_max = config.name_chars_max
    low = integer(query, "min_priority", low=0, high=255)
    high = integer(query, "max_priority", low=0, high=255)
    return Filters(
        queues=_texts(query, "queue", chars_max),
        states=[TaskState(state) for state in _choices(query, "state", _STATES)],
        kinds=_texts(query, "kind", chars_max),
        tag=_text(query, "tag", chars_max),
        worker=_text(query, "worker", chars_max),
        limit_key=_text(query, "limit_key", chars_max),
        batch=_batch(query),
        min_priority=0 if low is None else low,
        max_priority=255 if high is None else high,
        created_after_ms=moment(query, "created_after"),
        created_before_ms=moment(query, "created_before"),
        finished_after_ms=moment(query, "finished_after"),
        finished_before_ms=moment(query, "finished_before"),
        text=_text(query, "text", chars_max),
        error_type=_text(query, "error_type", config.error_type_chars_max),
        payload=conditions_in(query, "payload", path_chars_max=chars_max),
        meta=conditions_in(query, "meta", path_chars_max=chars_max),
    )


def _texts(query: Query, name: str, chars_max: int) -> list[str]:
    texts = query.get(name, [])
    if len(texts) > VALUES_MAX:
        raise InvalidField(f"may come {VALUES_MAX} times", field=name, limit=VALUES_MAX)
    for text in texts:
        judge_text(text, name, chars_max)
    return texts


def _text(query: Query, name: str, chars_max: int) -> str | None:
    text = one(query, name)
    if text is not None:
        judge_text(text, name, chars_max)
    return text


def judge_text(text: str, name: str, chars_max: int) -> None:
    """
    Raises:
        InvalidField: a text is empty, or longer than the node takes.
    """
    if not text:
        raise InvalidField("must not be empty", field=name)
    if len(text) > chars_max:
        raise InvalidField(f"must be at most {chars_max} characters long", field=name, limit=chars_max)


def _choices(query: Query, name: str, known: tuple[str, ...]) -> list[str]:
    chosen = query.get(name, [])
    for value in chosen:
        if value not in known:
            raise InvalidField(f"must be one of {', '.join(known)}", field=name)
    return list(dict.fromkeys(chosen))
