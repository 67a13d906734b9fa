"""The figures as a picture: an SVG that reads on a light page as well as on a dark one."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from bench.peers.peer import CALLERS, Figures
from bench.peers.table import WAYS, ours

WIDTH: Final = 760
NAMES: Final = 280
"""Where the bars begin."""
NUMBERS: Final = 70
"""What is left for the figure beside the longest bar."""
ROW: Final = 20
BAR: Final = 13
TITLE: Final = 34
TEXT: Final = "#7b7b7b"  # as far from white as from black
OURS: Final = "#2f7fd0"
OTHERS: Final = "#999999"
TITLES: Final = (
    "Enqueue one by one, one caller",
    f"Enqueue one by one, {CALLERS} callers of one client",
    "Enqueue in bulk, one caller",
    "Run no-op tasks in 10 slots",
)
STYLE: Final = f'font-family="system-ui, sans-serif" font-size="12" fill="{TEXT}"'


class Bar(NamedTuple):
    """One queue in one panel; ``durable`` when what it acknowledged outlives a power cut."""

    name: str
    per_s: float
    durable: bool
    is_ours: bool


def bars(measured: Sequence[Figures], name: str, way: int, *, durable: str) -> list[Bar]:
    """The bars of one panel, longest first; our own runs are one, their mean.

    Args:
        measured: of all queues.
        name: of our own.
        way: which of :data:`bench.peers.table.WAYS`.
        durable: the durability that stands for "nothing is lost".
    """
    value: Callable[[Figures], float | None] = WAYS[way]
    found = {one.name: Bar(one.name, value(one) or 0.0, one.durability == durable, False) for one in measured}
    if name in found:
        found[name] = Bar(name, ours(measured, name)[way] or 0.0, found[name].durable, True)
    return sorted((bar for bar in found.values() if bar.per_s), key=lambda bar: bar.per_s, reverse=True)


def svg(measured: Sequence[Figures], name: str, *, durable: str) -> str:
    """The whole picture; arguments as of :func:`bars`."""
    parts: list[str] = []
    top = 0
    for way in (3, 0, 1, 2):
        panel = bars(measured, name, way, durable=durable)
        if panel:
            parts += _panel(TITLES[way], panel, top)
            top += TITLE + ROW * len(panel)
    parts += _legend(top + ROW, durable)
    height = top + 2 * ROW
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" {STYLE}>'
    return "\n".join([head, "<title>Tasks a second, tqnode and other queues</title>", *parts, "</svg>", ""])


def _panel(title: str, panel: Sequence[Bar], top: int) -> list[str]:
    scale = (WIDTH - NAMES - NUMBERS) / panel[0].per_s
    parts = [f'<text x="0" y="{top + TITLE - 12}" font-weight="600">{escape(title)}, tasks/s</text>']
    for number, bar in enumerate(panel):
        y = top + TITLE + ROW * number
        width = max(1.0, bar.per_s * scale)
        weight = ' font-weight="600"' if bar.is_ours else ""
        parts.append(
            f'<text x="{NAMES - 8}" y="{y + 11}" text-anchor="end"{weight}>{escape(bar.name)}</text>'
            f"{_box(NAMES, y, width, colour=OURS if bar.is_ours else OTHERS, filled=bar.durable)}"
            f'<text x="{NAMES + width + 6:.1f}" y="{y + 11}"{weight}>{bar.per_s:,.0f}</text>'
        )
    return parts


def _box(x: float, y: float, width: float, *, colour: str, filled: bool) -> str:
    opacity = "1" if filled else "0.25"
    return (
        f'<rect x="{x}" y="{y}" width="{width:.1f}" height="{BAR}" '
        f'fill="{colour}" fill-opacity="{opacity}" stroke="{colour}"/>'
    )


def _legend(y: int, durable: str) -> list[str]:
    return [
        f'{_box(0, y - 11, BAR, colour=OTHERS, filled=True)}<text x="20" y="{y}">{escape(durable)}</text>',
        f"{_box(120, y - 11, BAR, colour=OTHERS, filled=False)}"
        f'<text x="140" y="{y}">a power cut takes tasks that were acknowledged</text>',
    ]
