"""The query string: every parameter known, each value checked, each mistake named."""

import re
from collections.abc import Collection
from datetime import datetime
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Scope

from tq import wire
from tqnode.api.stamps import moment_ms
from tqnode.errors import InvalidField

PARAMETERS_MAX = 200
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)

Query = dict[str, list[str]]


def query_of(scope: Scope, known: Collection[str]) -> Query:
    """All parameters of a request, each with its values in order.

    Raises:
        InvalidField: one is unknown, or the whole is no query string.
    """
    query: Query = {}
    try:
        pairs = parse_qsl(
            scope["query_string"].decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(scope["query_string"]),
            errors="strict",
            max_num_fields=PARAMETERS_MAX,
        )
    except ValueError as error:
        raise InvalidField(f"the query string is malformed: {error}"[:200], field="query") from None
    for name, value in pairs:
        if name not in known:
            raise InvalidField("there is no such parameter", field=name[:200], code="unknown_field")
        if "\0" in value:
            raise InvalidField("the character U+0000 is not taken", field=name, code="invalid_text")
        query.setdefault(name, []).append(value)
    return query


def one(query: Query, name: str) -> str | None:
    """A parameter's only value; None when absent.

    Raises:
        InvalidField: it is there more than once.
    """
    values = query.get(name)
    if values is None:
        return None
    if len(values) > 1:
        raise InvalidField("may be given once", field=name)
    return values[0]


def flag(query: Query, name: str) -> bool:
    """A parameter that is ``true`` or ``false``; absent is false.

    Raises:
        InvalidField: it is neither.
    """
    text = one(query, name)
    if text in (None, "false", "0"):
        return False
    if text in ("true", "1", ""):
        return True
    raise InvalidField("must be true or false", field=name)


def integer(query: Query, name: str, *, low: int, high: int) -> int | None:
    """A parameter that is a whole number.

    Args:
        query: all parameters.
        name: which one.
        low: the least it may be.
        high: the most it may be.

    Raises:
        InvalidField: it is none, or out of bounds.
    """
    text = one(query, name)
    if text is None:
        return None
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 10):
        raise InvalidField("must be a whole number", field=name)
    if not low <= int(text) <= high:
        raise InvalidField(
            f"must be from {low} to {high}", field=name, limit=low if int(text) < low else high
        )
    return int(text)


def seconds(query: Query, name: str, *, high: float) -> float:
    """A parameter that is a number of seconds, from 0 to ``high``; absent is 0.

    Raises:
        InvalidField: it is none, or out of bounds.
    """
    text = one(query, name)
    if text is None:
        return 0.0
    if not _SECONDS.fullmatch(text):
        raise InvalidField("must be a number of seconds", field=name)
    if float(text) > high:
        raise InvalidField(f"must be at most {high:g} seconds", field=name, limit=high)
    return float(text)


def moment(query: Query, name: str) -> int | None:
    """A parameter that is an RFC 3339 moment with an offset, in ms since 1970.

    Raises:
        InvalidField: it is none.
    """
    text = one(query, name)
    if text is None:
        return None
    if text[-6:-5] == " ":
        # An unescaped plus in a query string means a space: here it can only have been a plus.
        text = f"{text[:-6]}+{text[-5:]}"
    try:
        value: datetime = msgspec.convert(text, wire.Moment)
    except msgspec.ValidationError:
        raise InvalidField("must be a moment such as 2026-01-31T12:00:00Z", field=name) from None
    return moment_ms(value)
