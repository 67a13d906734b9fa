"""The exact judgement of a JSON body: slow, complete, and it names the place of what it refuses.

:mod:`tqnode.api.json_body` calls it only for the bodies its quick check cannot vouch for.
"""

import json
import math
import re
from typing import Never

from tqnode.errors import BadRequest, InvalidField, InvalidJson

INT_MIN = -(2**63)
INT_MAX = 2**63 - 1
# Anything longer is out of range whatever its digits are, and int() need not read it.
_INT_CHARS_MAX = len(str(INT_MIN))
_FIELD_CHARS_MAX = 200

_SPACE = re.compile(r"[ \t\n\r]*")
# Possessive, so that a string without an end is gone through once, and not back again.
_STRING = re.compile(
    r'"([^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+)"',
)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)")
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
_WORDS = ("true", "false", "null")


def field_path(steps: list[str | int]) -> str | None:
    """The steps from the root to a value as ``[3].payload.user["odd key"]``; None for the root."""
    parts: list[str] = []
    length = 0
    for step in steps:
        if isinstance(step, int):
            part = f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            part = f".{step}"
        else:
            part = f"[{json.dumps(step)}]"
        length += len(part)
        if length > _FIELD_CHARS_MAX:
            parts.append("…")
            break
        parts.append(part)
    return "".join(parts).removeprefix(".") or None


def scan(body: bytes, *, depth_max: int) -> None:
    """Reads the whole body once and returns if it is JSON this node takes.

    Args:
        body: what the client sent.
        depth_max: how many arrays and objects may lie within each other.

    Raises:
        InvalidJson: the body is not JSON in UTF-8.
        InvalidField: it is, but too deep, or with a number, key or text that would not survive.
    """
    if body.startswith(b"\xef\xbb\xbf"):
        raise InvalidJson("the body starts with a byte order mark; send plain UTF-8")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidJson(f"the body is not UTF-8: byte {error.start} is wrong") from None
    _Scanner(text, depth_max).run()


class _Scanner:
    """One pass over one text, without recursion: depth is data here, not stack."""

    def __init__(self, text: str, depth_max: int) -> None:
        self._text = text
        self._depth_max = depth_max
        self._at = 0
        # The way to the value being read: an object's key or an array's index per open container.
        self._steps: list[str | int] = []
        # The keys seen in each open container; None where that is an array.
        self._open: list[set[str] | None] = []

    def run(self) -> None:
        text = self._text
        if not text.strip(" \t\n\r"):
            raise InvalidJson("the body is empty")
        self._value()
        while self._open:
            self._next()
        self._skip_space()
        if self._at != len(text):
            self._malformed("nothing more")

    def _skip_space(self) -> str:
        found = _SPACE.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return self._text[self._at : self._at + 1]

    def _value(self) -> None:
        """Reads a scalar whole, or opens a container (and, in one, its first value)."""
        while True:
            char = self._skip_space()
            if char == "{":
                self._open_container(set())
                if self._skip_space() == "}":
                    self._close()
                    return
                self._key()
            elif char == "[":
                self._open_container(None)
                if self._skip_space() == "]":
                    self._close()
                    return
                self._steps.append(0)
            else:
                self._scalar(char)
                return

    def _next(self) -> None:
        """After a value inside a container: its end, or the next value."""
        seen = self._open[-1]
        char = self._skip_space()
        if char == ",":
            self._at += 1
            last = self._steps.pop()
            if seen is None:
                self._steps.append(int(last) + 1)
            else:
                self._skip_space()
                self._key()
            self._value()
        elif char == ("]" if seen is None else "}"):
            self._steps.pop()
            self._close()
        else:
            self._malformed("a comma or the end of the array" if seen is None else "a comma or }")

    def _open_container(self, seen: set[str] | None) -> None:
        if len(self._open) >= self._depth_max:
            self._refuse(
                "too_deep", f"arrays and objects may lie {self._depth_max} deep", limit=self._depth_max
            )
        self._open.append(seen)
        self._at += 1

    def _close(self) -> None:
        self._open.pop()
        self._at += 1

    def _key(self) -> None:
        if self._text[self._at : self._at + 1] != '"':
            self._malformed("a key in double quotes")
        raw = self._string()
        key: str = json.loads(f'"{raw}"') if "\\" in raw else raw
        self._steps.append(key)
        seen = self._open[-1]
        if seen is not None:
            if key in seen:
                self._refuse("duplicate_key", "the key comes twice in its object")
            seen.add(key)
        self._judge_text(raw)
        if self._skip_space() != ":":
            self._malformed("a colon")
        self._at += 1

    def _scalar(self, char: str) -> None:
        if char == '"':
            self._judge_text(self._string())
            return
        number = _NUMBER.match(self._text, self._at)
        if number is not None:
            self._judge_number(number)
            self._at = number.end()
            return
        for word in _WORDS:
            if self._text.startswith(word, self._at):
                self._at += len(word)
                return
        self._malformed("a value")

    def _string(self) -> str:
        """The text between the quotes, escapes unresolved."""
        found = _STRING.match(self._text, self._at)
        if found is None:
            self._malformed("a well-formed string")
        self._at = found.end()
        return found[1]

    def _judge_text(self, raw: str) -> None:
        if "\\u" not in raw:
            return
        high_ends = -1
        for escape in _ESCAPE.finditer(raw):
            if escape[1] is None:
                continue
            code = int(escape[1], 16)
            if code == 0:
                self._refuse("invalid_text", "the character U+0000 is not taken")
            follows_high = high_ends == escape.start()
            if high_ends >= 0 and not (follows_high and 0xDC00 <= code <= 0xDFFF):
                break
            if follows_high:
                high_ends = -1
            elif 0xD800 <= code <= 0xDBFF:
                high_ends = escape.end()
            elif 0xDC00 <= code <= 0xDFFF:
                high_ends = 0
                break
        if high_ends >= 0:
            self._refuse("invalid_text", "half of a surrogate pair is not a character")

    def _judge_number(self, number: re.Match[str]) -> None:
        digits = number[0]
        if number[1] is None and number[2] is None:
            if len(digits) > _INT_CHARS_MAX or not INT_MIN <= int(digits) <= INT_MAX:
                self._refuse("number_out_of_range", "integers go from -2^63 to 2^63 - 1")
        elif not math.isfinite(float(digits)):
            self._refuse("number_out_of_range", "the number is beyond what a double holds")

    def _refuse(self, code: str, detail: str, *, limit: int | None = None) -> Never:
        raise InvalidField(detail, field=field_path(self._steps), limit=limit, code=code)

    def _malformed(self, expected: str) -> Never:
        where = "the end" if self._at >= len(self._text) else f"character {self._at}"
        fault: BadRequest = InvalidJson(
            f"expected {expected} at {where}",
            field=field_path(self._steps),
        )
        raise fault
