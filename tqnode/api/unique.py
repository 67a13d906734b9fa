"""From ``unique`` as it is sent to what the core takes; the key, where it is made from the payload.

Such a key is JSON itself, an object of the chosen paths and the values found there, so that people can read
it: ``{"order.id":17,"user_id":null}``. Where nothing is, the path is left out, so that absent is not null.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import msgspec

from tq import wire
from tqnode.config import Config
from tqnode.errors import InvalidField
from tqnode.task import WAITING, TaskState

WHOLE = "."
"""The path of the payload itself."""

_LEAST_STATES: tuple[wire.State, ...] = ("blocked", "scheduled", "ready", "running")
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_KEPT: dict[str, Callable[[Config], int]] = {
    "succeeded": lambda config: config.keep_succeeded_s,
    "dead": lambda config: config.keep_dead_s,
    "cancelled": lambda config: config.keep_cancelled_s,
}


def unique_of(unique: wire.Unique, payload: bytes, config: Config) -> dict[str, Any]:
    """The fields of a :class:`~tqnode.task.TaskSpec` that say whose key it is, and for how long.

    Args:
        unique: what was sent.
        payload: the task's, as JSON.
        config: the limits.

    Raises:
        InvalidField: there is no key, or it or a path is too long; its states would let two tasks come to
            hold it; its time is longer than ended tasks are kept; two fields exclude each other.
    """
    states = unique.states
    if states is None:
        # A time that ended with the task would be none: it is there to leave one out that comes soon after.
        states = [*_LEAST_STATES, "succeeded"] if unique.period_s is not None else [*_LEAST_STATES]
    _check_states(states)
    _check_period(unique.period_s, states, config)
    if unique.max_wait_s is not None and unique.on_conflict != "debounce":
        raise InvalidField("only debounce has a longest wait", field="unique.max_wait_s")
    return {
        "unique_key": _key_of(unique, payload, config),
        "unique_fields": tuple(unique.fields or ()),
        "unique_mode": unique.on_conflict,
        "unique_states": " ".join(dict.fromkeys(states)),
        "unique_period_ms": None if unique.period_s is None else max(1, round(unique.period_s * 1000)),
        "unique_wait_max_ms": None if unique.max_wait_s is None else max(1, round(unique.max_wait_s * 1000)),
    }


def _check_states(states: list[wire.State]) -> None:
    missing = [state.value for state in TaskState if state in WAITING and state not in states]
    if missing:
        raise InvalidField(
            f"must include blocked, scheduled and ready; missing: {', '.join(missing)}",
            field="unique.states",
        )


def _check_period(period_s: float | None, states: list[wire.State], config: Config) -> None:
    """A task that is deleted holds no key."""
    for state in states if period_s is not None else ():
        kept_s = _KEPT[state](config) if state in _KEPT else -1
        if period_s is not None and 0 <= kept_s < period_s:
            raise InvalidField(
                f"{state} tasks are kept for {kept_s} seconds (keep_{state}_s), and hold no key for longer",
                field="unique.period_s",
                limit=kept_s,
            )


def _key_of(unique: wire.Unique, payload: bytes, config: Config) -> str:
    limit = config.name_chars_max
    if unique.fields is None:
        if unique.key is None:
            raise InvalidField(
                "needs a key, or fields of the payload", field="unique.key", code="missing_field"
            )
        if len(unique.key) > limit:
            raise InvalidField(f"must be at most {limit} characters long", field="unique.key", limit=limit)
        return unique.key
    if unique.key is not None:
        raise InvalidField("key and fields exclude each other", field="unique.fields")
    for index, path in enumerate(unique.fields):
        if len(path) > limit:
            raise InvalidField(
                f"must be at most {limit} characters long", field=f"unique.fields[{index}]", limit=limit
            )
    return key_of(payload, unique.fields, chars_max=limit)


def key_of(payload: bytes, fields: list[str], *, chars_max: int) -> str:
    """The key of a payload: the same for equal values at ``fields``, another for others.

    Args:
        payload: JSON.
        fields: the paths: names with dots between, numbers for the places of an array; a JSON pointer where
            it begins with a slash; ``.`` alone is the payload itself.
        chars_max: a longer key is a digest instead.
    """
    found: list[str] = []
    for path in sorted({*fields}):
        value = _value_at(payload, _steps_of(path))
        if value is not None:
            found.append(f"{_text(path)}:{_canonical(value)}")
    key = "{" + ",".join(found) + "}"
    return key if len(key) <= chars_max else "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def _steps_of(path: str) -> list[str]:
    if path == WHOLE:
        return []
    if path.startswith("/"):
        return [step.replace("~1", "/").replace("~0", "~") for step in path[1:].split("/")]
    return path.split(".")


def _value_at(payload: bytes, steps: list[str]) -> bytes | None:
    """The JSON at the end of a path; None if nothing is there."""
    value = payload.strip()
    for step in steps:
        if value[:1] == b"{":
            part = _object(value).get(step)
        elif value[:1] == b"[" and step.isascii() and step.isdigit():
            items = _array(value)
            # A number of very many digits is not worth reading: there are not that many items.
            part = items[int(step)] if len(step) < 10 and int(step) < len(items) else None
        else:
            part = None
        if part is None:
            return None
        value = bytes(part).strip()
    return value


class _Digits(str):
    """A number as it is written: 1, 1.0 and 1e0 are three."""


def _canonical(value: bytes) -> str:
    """JSON of the same value, always written the same: keys in order, no spaces, characters as they are."""
    return _written(json.loads(value, parse_int=_Digits, parse_float=_Digits))


def _written(value: Any) -> str:
    # One frame for each level: a payload may be deep.
    if isinstance(value, _Digits):
        return value
    parts: list[str] = []
    if isinstance(value, dict):
        for name in sorted(value):
            parts.append(f"{_text(name)}:{_written(value[name])}")
        return "{" + ",".join(parts) + "}"
    if isinstance(value, list):
        for item in value:
            parts.append(_written(item))
        return "[" + ",".join(parts) + "]"
    return _text(value)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
