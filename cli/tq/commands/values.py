"""What people type: durations, moments, retry policies, key=value pairs, JSON from three places.

Parsing happens here and imports only what is cheap, so that a mistyped option is told at once.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

SECONDS_OF = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
SECONDS_MAX = 315_360_000.0
STATES = ("blocked", "scheduled", "ready", "running", "succeeded", "dead", "cancelled")
STDIN = "-"

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


def parse_duration(text: str) -> float:
    """Seconds in ``text``: ``90s``, ``5m``, ``1h30m``, ``250ms``, ``2d``, or a bare number of seconds.

    Raises:
        ValueError: it is no duration, or longer than ten years.
    """
    compact = text.strip().replace(" ", "")
    if _NUMBER.fullmatch(compact):
        seconds = float(compact)
    else:
        parts = _DURATION.findall(compact)
        if not parts or "".join(number + unit for number, unit in parts) != compact:
            raise ValueError(f"{text!r} is not a duration; write 90s, 5m, 1h30m, 2d or seconds as 1.5")
        seconds = sum(float(number) * SECONDS_OF[unit] for number, unit in parts)
    if seconds > SECONDS_MAX:
        raise ValueError(f"{text!r} is longer than ten years")
    return seconds


def parse_moment(text: str) -> datetime:
    """The moment in ``text``, RFC 3339; without an offset it is this machine's local time.

    Raises:
        ValueError: it is no moment.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(
            f"{text!r} is not a time; write 2026-01-31T12:00:00Z, or local time as '2026-01-31 12:00'"
        ) from None
    return moment.astimezone(UTC)


def now() -> datetime:
    """This machine's wall time."""
    from tq.clock import SystemClock

    return datetime.fromtimestamp(SystemClock().now_ms() / 1000, UTC)


class Duration(click.ParamType[float]):
    """A duration in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Moment(click.ParamType[datetime]):
    """A moment, in UTC.

    Args:
        ago: whether a bare duration is taken as that long before now.
    """

    name = "time"

    def __init__(self, *, ago: bool = False) -> None:
        self._ago = ago

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        text = str(value)
        try:
            if self._ago and _DURATION.match(text):
                return now() - timedelta(seconds=parse_duration(text))
            return parse_moment(text)
        except ValueError as error:
            self.fail(str(error), param, ctx)


_POLICY_FIELDS = {
    "exponential": ("base_s", "factor", "max_s", "jitter"),
    "linear": ("base_s", "max_s", "jitter"),
    "fixed": ("delay_s", "jitter"),
}
RETRY_FORMS = "exponential:5,2,1h[,0.1] linear:5,1h[,0.1] fixed:30[,0.1] list:5,30,5m or JSON"


def parse_retry(text: str) -> dict[str, Any]:
    """A retry policy as the API has it, from JSON or from ``TYPE:NUMBER,...``.

    Raises:
        ValueError: it is neither.
    """
    if text.lstrip().startswith("{"):
        import json

        try:
            policy = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"the retry policy is not JSON: {error}") from None
        assert isinstance(policy, dict)  # noqa: S101 - it began with "{"
        return policy
    name, _, rest = text.partition(":")
    try:
        numbers = [parse_duration(part) for part in rest.split(",")] if rest else []
    except ValueError as error:
        raise ValueError(f"{error}; a retry policy is {RETRY_FORMS}") from None
    if name == "list" and numbers:
        return {"type": "list", "delays_s": numbers}
    fields = _POLICY_FIELDS.get(name)
    if fields is None or len(numbers) > len(fields) or (name == "fixed" and not numbers):
        raise ValueError(f"{text!r} is not a retry policy; write {RETRY_FORMS}")
    return {"type": name, **dict(zip(fields, numbers, strict=False))}


class Retry(click.ParamType[dict[str, Any]]):
    """A retry policy."""

    name = "policy"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        try:
            return parse_retry(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def parse_meta(parts: Sequence[str]) -> bytes | None:
    """The JSON object that ``--meta`` gave: one JSON object, or any number of ``key=value``.

    Raises:
        ValueError: a part is neither, or both forms are mixed.
    """
    if not parts:
        return None
    if len(parts) == 1 and parts[0].lstrip().startswith("{"):
        return checked_json(parts[0].encode(), what="--meta")
    import json

    pairs: dict[str, str] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if not equals or not key or part.lstrip().startswith("{"):
            raise ValueError(f"{part!r} is not key=value; give pairs, or one JSON object")
        if key in pairs:
            raise ValueError(f"the key {key!r} comes twice")
        pairs[key] = value
    return json.dumps(pairs, ensure_ascii=False).encode()


def checked_json(raw: bytes, *, what: str) -> bytes:
    """``raw`` itself, every byte of it, if it is JSON: digits and key order are the sender's.

    Raises:
        ValueError: it is not JSON.
    """
    import msgspec

    try:
        raw.decode()
        msgspec.json.Decoder(msgspec.Raw).decode(raw)
    except msgspec.DecodeError as error:
        hint = "" if raw.lstrip()[:1] in (b"{", b"[", b'"') else """; quote text twice, as '"text"'"""
        raise ValueError(f"{what} is not JSON: {str(error).removeprefix('JSON is ')}{hint}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{what} is not UTF-8: byte {error.start} is {raw[error.start]:#04x}") from None
    except RecursionError:
        raise ValueError(f"{what} is nested too deep") from None
    return raw.strip(b" \t\r\n")


def read_json(argument: str | None) -> bytes | None:
    """JSON from the argument itself, from the file after ``@``, or from standard input for ``-``.

    Raises:
        ValueError: it is not JSON.
        OSError: the file cannot be read.
    """
    if argument is None:
        return None
    if argument == STDIN:
        return checked_json(sys.stdin.buffer.read(), what="standard input")
    if argument.startswith("@"):
        return checked_json(Path(argument[1:]).read_bytes(), what=argument[1:])
    return checked_json(argument.encode("utf-8", "surrogateescape"), what="the payload")


def ids(arguments: Sequence[str]) -> Iterator[str]:
    """The ids given, and for ``-`` those on standard input.

    A line of standard input is an id, a table's row that begins with one, or a task as JSON.

    Raises:
        ValueError: a line has no id.
    """
    for argument in arguments:
        if argument != STDIN:
            yield argument
            continue
        for number, line in enumerate(sys.stdin, start=1):
            if line.strip():
                yield _id_in(line, number)


def _id_in(line: str, number: int) -> str:
    if not line.lstrip().startswith("{"):
        return line.split(maxsplit=1)[0]
    import json

    try:
        task_id = json.loads(line)["id"]
    except (json.JSONDecodeError, KeyError):
        raise ValueError(f"line {number} of standard input is no task with an id") from None
    return str(task_id)
