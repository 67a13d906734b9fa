"""What JSON this node takes, judged at C speed for nearly all bodies.

A body is taken when every reader of it, now and later, sees the same value: no duplicate keys, no number
that an ordinary reader would round to infinity or refuse, no half surrogates, no U+0000, bounded depth.
The quick check proves that for a body or does not; :func:`tqnode.api.json_scan.scan` decides the rest.
"""

import re
from collections.abc import Iterator

import msgspec

from tqnode.api.json_scan import INT_MAX, scan
from tqnode.errors import InvalidField

VALUES_MAX = 1_000_000
"""Values in one body: what bounds the memory that reading it takes."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

_INT_DIGITS = len(str(INT_MAX))
# Every digit becomes "0" and every other byte a space, so that a long run of digits is one substring.
_DIGITS = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))
_LONG_RUN = b"0" * _INT_DIGITS
_LONG_DIGITS = re.compile(rb"[0-9]{%d,}" % _INT_DIGITS)
_INT_MAX_DIGITS = str(INT_MAX).encode()
# An escaped colon would upset the counting of colons; U+0000 is refused.
_ODD_ESCAPE = re.compile(rb"\\u(?:003[aA]|0000)")
# Strings are cut out piece by piece: cut out of a whole body, its parts would take many times its size.
_PIECE_BYTES = 65_536
_OPEN_CLOSE = bytes.maketrans(b"[]{}", b"()()")
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_NOT_SKELETON = bytes(byte for byte in range(256) if byte not in b'[]{}"')
_NOT_SEPARATORS = bytes(byte for byte in range(256) if byte not in b"[{,")


def check(body: bytes, *, depth_max: int) -> None:
    """Returns if the body is JSON this node takes.

    Args:
        body: what the client sent.
        depth_max: how many arrays and objects may lie within each other.

    Raises:
        InvalidJson: the body is not JSON in UTF-8.
        InvalidField: it is, but with something that would not survive; ``field`` and ``code`` say what.
    """
    if not surely_fine(body, depth_max=depth_max):
        scan(body, depth_max=depth_max)


def surely_fine(body: bytes, *, depth_max: int) -> bool:
    """Whether the body is certainly taken; False means only that :func:`scan` has to look.

    Raises:
        InvalidField: the body holds more than ``VALUES_MAX`` values.
    """
    if _LONG_RUN in body.translate(_DIGITS) and not _long_digits_are_small(body):
        return False
    if b"\\" in body and _ODD_ESCAPE.search(body):
        return False
    if len(body) > VALUES_MAX:
        _count_values(body)
    try:
        value = _decode(body)
        # A key that comes twice is kept once, and takes its colon with it. No other part of a value
        # gains or loses a colon on the way, since colons come unescaped.
        colons = _encode(value).count(b":")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    if colons != body.count(b":"):
        return False
    return body.count(b"[") + body.count(b"{") <= depth_max or _depth_is_within(body, depth_max)


def _long_digits_are_small(body: bytes) -> bool:
    """Whether each long run of digits, taken as an integer, is at most 2^63 - 1."""
    return all(
        len(run) == _INT_DIGITS and run <= _INT_MAX_DIGITS  # equally long: order of text is order of value
        for run in _LONG_DIGITS.findall(body)
    )


def _brackets(body: bytes) -> bytes:
    """The brackets of a well-formed body that belong to no string, as parentheses."""
    if b"\\" not in body:
        # Between two brackets outside of strings, whole strings leave an even number of quotes.
        skeleton = body.translate(_OPEN_CLOSE, _NOT_SKELETON).replace(b'""', b"")
        if b'"' not in skeleton:
            return skeleton
    return b"".join(part.translate(_OPEN_CLOSE, _NOT_BRACKETS) for part in _outside_strings(body))


def _outside_strings(body: bytes) -> Iterator[bytes]:
    """The bytes of a well-formed body that belong to no string, in pieces."""
    if b"\\" in body:
        # Pairs of backslashes go first: one that is left before a quote then certainly escapes it.
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    inside = False
    for start in range(0, len(body), _PIECE_BYTES):
        parts = body[start : start + _PIECE_BYTES].split(b'"')
        yield b"".join(parts[inside::2])
        inside ^= len(parts) % 2 == 0


def _depth_is_within(body: bytes, depth_max: int) -> bool:
    """Peels the innermost brackets off, one layer at a time, until none are left."""
    brackets = _brackets(body)
    for _ in range(depth_max):
        if not brackets:
            return True
        brackets = brackets.replace(b"()", b"")
    return not brackets


def _count_values(body: bytes) -> None:
    """Refuses what would take too much memory to read, before it is read."""
    if sum(map(body.count, (b"[", b"{", b","))) <= VALUES_MAX:
        return
    separators = 0
    for part in _outside_strings(body):
        separators += len(part.translate(None, _NOT_SEPARATORS))
        if separators > VALUES_MAX:
            raise InvalidField(
                f"a body may hold {VALUES_MAX} values", limit=VALUES_MAX, code="too_many_values"
            )
