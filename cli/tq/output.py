"""What commands print: tables and details for people, JSON lines for programs.

What a node sends back was written by strangers. Nothing of it reaches a terminal before
:func:`safe` has made its control characters visible. Colours are used on a terminal only.
"""

import os
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from msgspec import Raw, UnsetType
    from rich.console import Console, RenderableType
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
    "leader": "green",
    "standby": "cyan",
    "witness": "blue",
    "joining": "yellow",
    "starting": "yellow",
    "unreachable": "bold red",
}
# Wide enough that no table made for a pipe or a file is ever cut.
_UNCUT = 100_000
GAP = 2
# Less of a name tells nothing.
CUT_CHARS_MIN = 8


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


def paint(text: str, state: str) -> str:
    """``text`` in the colour of ``state``, where standard output is coloured."""
    style = COLOURS.get(state, "").split()
    if not style or not coloured(sys.stdout):
        return text
    import click

    return click.style(text, fg=style[-1], bold="bold" in style)


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
        spare: whether it is left out when the terminal is narrow, the highest number first; 0 never.
    """

    title: str
    right: bool = False
    cut: bool = False
    state: bool = False
    spare: int = 0


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, header: bool = True) -> "Table":
    """A table without lines, so that it can be copied and cut up by other programs."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), show_header=header, header_style="bold")
    shown = [
        [
            Text(safe(cell, one_line=True), style=COLOURS.get(cell, "") if column.state else "")
            for column, cell in zip(columns, row, strict=True)
        ]
        for row in rows
    ]
    natural = [
        max([len(column.title), *(row[index].cell_len for row in shown)])
        for index, column in enumerate(columns)
    ]
    widths = fitted(columns, natural, console().width)
    for index, width in widths.items():
        column = columns[index]
        justify: Literal["left", "right"] = "right" if column.right else "left"
        made.add_column(column.title, justify=justify, no_wrap=True, overflow="ellipsis", width=width)
    for row in shown:
        made.add_row(*(row[index] for index in widths))
    return made


def fitted(columns: Sequence[Column], natural: Sequence[int], room: int) -> dict[int, int]:
    """Which columns are shown, and how wide each is; rich would cut a little off every one.

    Args:
        columns: all of them.
        natural: how wide each would be.
        room: characters in a line.
    """
    widths = dict(enumerate(natural))

    def excess() -> int:
        return sum(widths.values()) + GAP * (len(widths) - 1) - room

    def floor(index: int) -> int:
        return min(natural[index], CUT_CHARS_MIN) if columns[index].cut else natural[index]

    for spare in sorted({column.spare for column in columns} - {0}, reverse=True):
        if excess() - sum(width - floor(index) for index, width in widths.items()) <= 0:
            break
        widths = {index: width for index, width in widths.items() if columns[index].spare != spare}
    while excess() > 0:
        widest = max(widths, key=lambda index: widths[index] - floor(index))
        if widths[widest] <= floor(widest):
            break
        widths[widest] -= 1
    return widths


def write_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, header: bool = True) -> None:
    """Writes a table to standard output; in full when that is not a terminal."""
    write(table(columns, rows, header=header))


def write(picture: "RenderableType") -> None:
    """Writes what rich can draw to standard output; without the blanks that it ends lines with."""
    screen = console()
    if on_terminal():
        screen.print(picture)
        return
    with screen.capture() as captured:
        screen.print(picture)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().removesuffix("\n").split("\n")))
    sys.stdout.flush()


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
    """Writes one line of UTF-8, made safe when standard output is a terminal. It may stay buffered."""
    if on_terminal():
        line = safe(line.decode("utf-8", "replace").replace("\t", " ")).encode()
    # Whatever else writes to standard output flushes it, so the order is kept.
    sys.stdout.buffer.write(line + b"\n")


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
    return f"in {span(round(-past))}" if past <= -1 else f"{span(int(past))}" if past >= 1 else "0s"


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
