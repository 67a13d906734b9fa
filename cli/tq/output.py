"""What commands print: tables and details for people, JSON lines for programs.

What a node sends back was written by strangers. Nothing of it reaches a terminal before
:func:`safe` has made its control characters visible. Colours are used on a terminal only.
"""

import os
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from msgspec import Raw, UnsetType
    from rich.console import Console
    from rich.table import Table

# Control characters of both sets, line and paragraph separators, and what reverses or hides text.
_UNSAFE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
COLOURS = {
    "blocked": "magenta",
    "scheduled": "blue",
    "ready": "cyan",
    "running": "yellow",
    "succeeded": "green",
    "dead": "bold red",
    "cancelled": "bright_black",
    "deleted": "bright_black",
    "run": "green",
    "quiet": "yellow",
    "terminate": "red",
}
# Wide enough that no table made for a pipe or a file is ever cut.
_UNCUT = 100_000


def _escape(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\u{number:04x}" if number < 0x10000 else "\\u{:04x}\\u{:04x}".format(*_pair(number))


def _pair(number: int) -> tuple[int, int]:
    high, low = divmod(number - 0x10000, 0x400)
    return 0xD800 + high, 0xDC00 + low


def safe(text: str, *, one_line: bool = False) -> str:
    """``text`` with what could drive a terminal written as JSON's escapes.

    Args:
        text: anything.
        one_line: whether line ends are escaped too.
    """
    escaped = _UNSAFE.sub(_escape, text)
    return escaped.replace("\n", "\\n") if one_line else escaped


def coloured(stream: IO[Any]) -> bool:
    """Whether ``stream`` is a terminal that wants colours (NO_COLOR and TERM=dumb say no)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def on_terminal() -> bool:
    """Whether standard output is read by a person."""
    return sys.stdout.isatty()


def console(*, stderr: bool = False) -> "Console":
    """A console that takes text as it is: no markup, no emoji codes, no guessed highlights."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    wide = None if stream.isatty() else _UNCUT
    return Console(
        file=stream, highlight=False, markup=False, emoji=False, width=wide, no_color=not coloured(stream)
    )


class Column(NamedTuple):
    """A column of a table.

    Args:
        title: its heading.
        right: whether its cells are numbers, flush right.
        cut: whether its cells may be cut when the terminal is narrow.
        state: whether its cells are states, each in its colour.
    """

    title: str
    right: bool = False
    cut: bool = False
    state: bool = False


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, header: bool = True) -> "Table":
    """A table without lines, so that it can be copied and cut up by other programs."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=header, header_style="bold")
    for column in columns:
        made.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis",
            min_width=None if column.cut else len(column.title),
            ratio=None,
        )
    for row in rows:
        made.add_row(
            *(
                Text(safe(cell, one_line=True), style=COLOURS.get(cell, "") if column.state else "")
                for column, cell in zip(columns, row, strict=True)
            )
        )
    return made


def write_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, header: bool = True) -> None:
    """Writes a table to standard output; in full when that is not a terminal."""
    console().print(table(columns, rows, header=header))


def write_json(value: Any) -> None:
    """Writes ``value`` as one line of JSON.

    The bytes of a payload are the node's own, but for line ends between its tokens, which become
    spaces. On a terminal, characters that could drive it are written as escapes, which mean the same.
    """
    write_line(json_line(value))


def json_line(value: Any) -> bytes:
    """``value`` as JSON on one line, without the line's end."""
    import msgspec

    line = msgspec.json.encode(value)
    # Within strings JSON has no raw line ends, so these stand between tokens.
    return line.replace(b"\r", b" ").replace(b"\n", b" ")


def write_line(line: bytes) -> None:
    """Writes one line of UTF-8, made safe when standard output is a terminal."""
    if on_terminal():
        line = safe(line.decode("utf-8", "replace").replace("\t", " ")).encode()
    out = sys.stdout.buffer
    sys.stdout.flush()
    out.write(line + b"\n")
    out.flush()


def pretty(raw: "Raw | UnsetType | bytes") -> str:
    """JSON laid out for reading, digits and key order as they are; empty when it is unset."""
    import msgspec

    if isinstance(raw, msgspec.UnsetType):
        return ""
    return msgspec.json.format(bytes(raw), indent=2).decode("utf-8", "replace")


def brief(raw: "Raw | UnsetType | bytes") -> str:
    """JSON on one line, for a table's cell; empty when it is unset."""
    import msgspec

    if isinstance(raw, msgspec.UnsetType):
        return ""
    return msgspec.json.format(bytes(raw), indent=0).decode("utf-8", "replace")


_UNITS = ((86_400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s"))


def span(seconds: float) -> str:
    """A duration for people, in at most two units: ``45s``, ``3m``, ``1h05m`` is ``1h5m``, ``2d3h``."""
    if seconds < 0:
        return "-" + span(-seconds)
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 10:
        return f"{seconds:.1f}s".replace(".0s", "s")
    whole = int(seconds)
    for size, name, part_size, part_name in _UNITS:
        if whole >= size:
            count, rest = divmod(whole, size)
            part = rest // part_size
            return f"{count}{name}{part}{part_name}" if part and count < 10 else f"{count}{name}"
    return f"{whole}s"


def parse_stamp(stamp: str) -> datetime:
    """A moment of an answer."""
    return datetime.fromisoformat(stamp)


def age(stamp: str | None, *, now: datetime | None = None) -> str:
    """How long ago ``stamp`` was, or ``in 5m`` when it is to come; empty for None."""
    if stamp is None:
        return ""
    if now is None:
        from tq.clock import SystemClock

        now = datetime.fromtimestamp(SystemClock().now_ms() / 1000, UTC)
    past = (now - parse_stamp(stamp)).total_seconds()
    # The node's clock and ours differ a little: nothing "in 3ms" is worth telling.
    return f"in {span(-past)}" if past < -1 else span(max(past, 0))


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
