"""What callers say of a task's unique key, made into the one thing that is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import BoundArguments, Parameter
from typing import Any

import msgspec

from tq import wire

_PARTS = {
    "unique_key": "key",
    "unique_fields": "fields",
    "unique_period_s": "period_s",
    "on_conflict": "on_conflict",
}
"""Options that are each a part of it, and which."""


def with_unique(options: Mapping[str, Any]) -> dict[str, Any]:
    """The same options with one ``unique`` in the place of its parts.

    Raises:
        ValueError: there are parts, but neither a key nor fields.
    """
    fields = {name: value for name, value in options.items() if name not in _PARTS}
    unique = fields.get("unique")
    if isinstance(unique, str):
        fields["unique"] = unique = wire.Unique(key=unique)
    parts = {part: options[name] for name, part in _PARTS.items() if options.get(name) is not None}
    if not parts:
        return fields
    if isinstance(parts.get("fields"), str):
        parts["fields"] = [parts["fields"]]
    if "fields" in parts:
        parts["fields"] = list(parts["fields"])
    fields["unique"] = whole = msgspec.structs.replace(unique or wire.Unique(), **parts)
    if (whole.key is None) == (whole.fields is None):
        raise ValueError("unique: takes either a key or fields of the payload")
    return fields


def by_name(call: BoundArguments, unique: wire.Unique) -> tuple[Sequence[Any], dict[str, Any], wire.Unique]:
    """A call written so that equal calls have equal keys, however their arguments were passed.

    Args:
        call: the arguments of a function.
        unique: its ``fields`` may begin with the names of parameters.

    Returns:
        Positional arguments, keyword arguments, and the fields as places in a payload of both.

    Raises:
        TypeError: the function takes any number of positional arguments.
    """
    parameters = call.signature.parameters
    paths = unique.fields or []
    named = {path.partition(".")[0] for path in paths} & parameters.keys()
    if not named:
        return call.args, call.kwargs, unique
    if any(parameter.kind is Parameter.VAR_POSITIONAL for parameter in parameters.values()):
        raise TypeError("unique fields of a function with *args are places in its payload, such as args.0")
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    places: dict[str, str] = {}
    for index, (name, parameter) in enumerate(parameters.items()):
        if parameter.kind is Parameter.VAR_KEYWORD:
            kwargs |= call.arguments.get(name, {})
            continue
        absent = name not in call.arguments
        if absent and name not in named and parameter.kind is not Parameter.POSITIONAL_ONLY:
            continue
        value = parameter.default if absent else call.arguments[name]
        if parameter.kind is Parameter.POSITIONAL_ONLY:
            args.append(value)
            places[name] = f"args.{index}"
        else:
            kwargs[name] = value
            places[name] = f"kwargs.{name}"
    fields = []
    for path in paths:
        first, dot, rest = path.partition(".")
        fields.append(f"{places.get(first, first)}{dot}{rest}")
    return args, kwargs, msgspec.structs.replace(unique, fields=fields)
