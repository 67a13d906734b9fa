"""Python values to JSON and back."""

import math
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType


def encode(value: Any, *, name: str) -> Raw:
    """JSON of ``value``; JSON that already is :class:`msgspec.Raw` passes as it stands.

    Args:
        value: what msgspec can encode: numbers, text, lists, dicts, dates, dataclasses, structs, …
        name: what the error calls it.

    Raises:
        TypeError: something in it has no JSON.
        ValueError: a NaN, an infinity, or text that is not Unicode.
    """
    if isinstance(value, Raw):
        return value
    try:
        data = msgspec.json.encode(value)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from error
    except UnicodeEncodeError as error:
        raise ValueError(f"{name}: {error}") from error
    # msgspec writes NaN as null: what comes back would not be what went in.
    if b"null" in data and _has_no_json(msgspec.to_builtins(value)):
        raise ValueError(f"{name}: JSON has no NaN and no infinity")
    return Raw(data)


def encode_unless_unset(value: Any, *, name: str) -> Raw | UnsetType:
    """As :func:`encode`, but ``UNSET`` stays what it is."""
    return UNSET if value is UNSET else encode(value, name=name)


def value(raw: Raw | UnsetType, type: Any = Any) -> Any:
    """The Python value of a payload, result, progress or meta; ``None`` for one that was never set.

    Args:
        raw: the JSON as the node answered it.
        type: what to make of it: a dataclass, a struct, ``list[int]``, ``decimal.Decimal``, …

    Raises:
        msgspec.ValidationError: the JSON is not of that type.
    """
    if raw is UNSET:
        return None
    return msgspec.json.decode(raw, type=type)


def _has_no_json(value: Any) -> bool:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, float) and not math.isfinite(item):
            return True
        if isinstance(item, dict):
            waiting.extend(item)
            waiting.extend(item.values())
        elif isinstance(item, list | tuple | set | frozenset):
            waiting.extend(item)
    return False
