"""From a payload back to the arguments of a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any, get_type_hints

import msgspec
from msgspec import UNSET, Raw, UnsetType


class Arguments(msgspec.Struct, forbid_unknown_fields=True):
    """The payload of a task that is a function call."""

    args: list[Any] = []
    kwargs: dict[str, Any] = {}


def restore(
    function: Callable[..., Any], payload: Raw | UnsetType, *, kind: str
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments in ``payload``, converted to the annotations of ``function``.

    Raises:
        ValueError: the payload is not a function call's, or a value is not of its annotation's type.
        TypeError: the function does not take these arguments.
    """
    try:
        call = msgspec.json.decode(b"{}" if payload is UNSET else payload, type=Arguments)
    except msgspec.DecodeError as error:
        raise ValueError(
            f'{kind}: a task that is a function has a payload {{"args": [...], "kwargs": {{...}}}}: {error}'
        ) from error
    signature = _signature(function)
    try:
        bound = signature.bind(*call.args, **call.kwargs)
    except TypeError as error:
        raise TypeError(f"{kind}: {error}") from None
    hints = _hints(function)
    for name, value in bound.arguments.items():
        if name not in hints:
            continue
        parameter = signature.parameters[name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            bound.arguments[name] = tuple(_convert(item, hints[name], kind, name) for item in value)
        elif parameter.kind is parameter.VAR_KEYWORD:
            bound.arguments[name] = {
                key: _convert(item, hints[name], kind, key) for key, item in value.items()
            }
        else:
            bound.arguments[name] = _convert(value, hints[name], kind, name)
    return bound.args, bound.kwargs


# A worker asks for the same few functions with every task, and the answers take longer than the call.
@lru_cache(maxsize=1024)
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)


@lru_cache(maxsize=1024)
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except (NameError, TypeError):
        # Annotations of names that exist for the type checker only say nothing at run time.
        return {}


def _convert(value: Any, hint: Any, kind: str, name: str) -> Any:
    try:
        return msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        raise ValueError(f"{kind}: argument {name}: {error}") from error
    except TypeError:
        # A type that JSON knows nothing of: the function gets the plain value.
        return value
