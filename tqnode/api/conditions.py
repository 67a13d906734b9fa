"""Conditions on what payloads and meta hold, from the words of a request."""

from collections.abc import Mapping, Sequence

import msgspec

from tqnode.api.query import Query, one
from tqnode.errors import InvalidField
from tqnode.queue.search import CONDITIONS_MAX, Condition, Scalar, is_path

PREFIXES = ("payload.", "meta.")
VALUE_CHARS_MAX = 1000

_INTEGERS = range(-(2**63), 2**63)


def is_condition(parameter: str) -> bool:
    """Whether a query parameter says what must stand at a path."""
    return parameter.startswith(PREFIXES)


def conditions_in(query: Query, field: str, *, path_chars_max: int) -> tuple[Condition, ...]:
    """The conditions of a query string on ``payload`` or ``meta``.

    Args:
        query: all parameters.
        field: which of the two.
        path_chars_max: the longest path.

    Raises:
        InvalidField: a path or a value is none.
    """
    prefix = f"{field}."
    named = {name.removeprefix(prefix): one(query, name) or "" for name in query if name.startswith(prefix)}
    values = {path: _scalar(text, f"{prefix}{path}") for path, text in named.items()}
    return conditions(values, field, path_chars_max=path_chars_max)


def conditions(values: Mapping[str, Scalar], field: str, *, path_chars_max: int) -> tuple[Condition, ...]:
    """What must stand at each path.

    Raises:
        InvalidField: a path is none, a value is too long, or there are too many.
    """
    if len(values) > CONDITIONS_MAX:
        raise InvalidField(f"may have {CONDITIONS_MAX} conditions", field=field, limit=CONDITIONS_MAX)
    for path, value in values.items():
        place = f"{field}.{path}"[:200]
        if len(path) > path_chars_max:
            raise InvalidField(
                f"a path must be at most {path_chars_max} characters long", field=place, limit=path_chars_max
            )
        if not is_path(path):
            raise InvalidField("is no path such as user.emails[0].host", field=place)
        if isinstance(value, str) and len(value) > VALUE_CHARS_MAX:
            raise InvalidField(
                f"must be at most {VALUE_CHARS_MAX} characters long", field=place, limit=VALUE_CHARS_MAX
            )
    return tuple(Condition(path, value) for path, value in values.items())


def words_of(conditions: Sequence[Condition]) -> dict[str, Scalar]:
    """Conditions as requests have them."""
    return {condition.path: condition.value for condition in conditions}


def _scalar(text: str, field: str) -> Scalar:
    """A JSON value that is no array and no object; what is no JSON is a text as it stands."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return text
    if isinstance(value, list | dict):
        raise InvalidField("must be a text, a number, true, false or null", field=field)
    if isinstance(value, int) and value not in _INTEGERS:
        raise InvalidField("integers go from -2^63 to 2^63 - 1", field=field, code="number_out_of_range")
    if isinstance(value, float) and text.removeprefix("-").isdigit():
        # Too large for an integer of the decoder's.
        raise InvalidField("integers go from -2^63 to 2^63 - 1", field=field, code="number_out_of_range")
    checked: Scalar = value
    return checked
