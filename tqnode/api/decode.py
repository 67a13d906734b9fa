"""From a body to a request's type, with every mistake put as a code and a field."""

import re
from typing import Generic, TypeVar

import msgspec

from tqnode.errors import BadRequest, InvalidField

T = TypeVar("T")

_DETAIL_CHARS_MAX = 300
_AT = " - at `$"
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_BOUND = re.compile(r"Expected `(.+)` (of length )?(<=|>=|<|>) (-?[0-9.e+]+)")
_PATTERN = re.compile(r"Expected `str` matching regex ")
_WORDS = {"<=": "at most", ">=": "at least", "<": "less than", ">": "more than"}
_NAME_RULE = "must be letters, digits and any of _ . : @ + - and must not start with one of . : @ + -"


class Decoder(Generic[T]):
    """Decodes bodies of one type.

    Args:
        shape: the type, as msgspec takes it.
    """

    def __init__(self, shape: type[T]) -> None:
        self._decode = msgspec.json.Decoder(shape).decode

    def __call__(self, body: bytes | msgspec.Raw) -> T:
        """Decodes what :mod:`tqnode.api.json_body` has found fit, whole or a part of it.

        Raises:
            InvalidField: a field is unknown, missing, of the wrong type or out of bounds.
        """
        try:
            return self._decode(body)
        except msgspec.ValidationError as error:
            raise explain(str(error)) from None


def explain(message: str) -> InvalidField:
    """The error that msgspec's message of a failed validation stands for."""
    what, at, path = message.rpartition(_AT)
    if not at or (what.startswith("Object") and not what.endswith("`")):
        # Without a place; or with what looks like one inside a field's name, which the client chose.
        what, path = message, ""
    path = path.removesuffix("`").removeprefix(".")
    if unknown := _UNKNOWN.fullmatch(what):
        name = unknown[1][:_DETAIL_CHARS_MAX]
        return InvalidField("there is no such field", field=_join(path, name), code="unknown_field")
    if missing := _MISSING.fullmatch(what):
        return InvalidField("the field is required", field=_join(path, missing[1]), code="missing_field")
    if bound := _BOUND.fullmatch(what):
        subject, length, relation, number = bound.groups()
        limit = float(number)
        short = int(limit) if limit.is_integer() else limit
        unit = {"array": " items long", "str": " characters long"}.get(subject, " long") if length else ""
        return InvalidField(f"must be {_WORDS[relation]} {short}{unit}", field=path or None, limit=short)
    if _PATTERN.match(what):
        return InvalidField(_NAME_RULE, field=path or None)
    detail = what[:1].lower() + what[1:_DETAIL_CHARS_MAX].replace("`", "")
    return InvalidField(detail, field=path or None)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def without_place(error: BadRequest) -> BadRequest:
    """The same error of a request's only task, said without its place in an array."""
    return type(error)(
        error.detail, field=(error.field or "").removeprefix("[0]."), limit=error.limit, code=error.code
    )


def within(error: BadRequest, place: str) -> BadRequest:
    """The same error, said of a field inside ``place``."""
    inner = error.field or ""
    dot = "." if inner and not inner.startswith("[") else ""
    return type(error)(error.detail, field=f"{place}{dot}{inner}", limit=error.limit, code=error.code)
