"""The figures as text."""

from collections.abc import Callable, Sequence
from typing import Final

from bench.peers.peer import CALLERS, Figures

HEAD: Final = (
    "queue",
    "enqueue one by one/s",
    "ours/its",
    f"from {CALLERS} callers/s",
    "ours/its",
    "in bulk/s",
    "ours/its",
    "consume/s",
    "ours/its",
    "durability",
)
WAYS: Final[tuple[Callable[[Figures], float | None], ...]] = (
    lambda figures: figures.one,
    lambda figures: figures.crowd,
    lambda figures: figures.bulk,
    lambda figures: figures.consume,
)


def ours(measured: Sequence[Figures], name: str) -> list[float | None]:
    """Mean of our own runs for each way, to which the others are compared.

    Args:
        measured: of all queues.
        name: of our own.
    """
    means: list[float | None] = []
    for way in WAYS:
        values = [value for figures in measured if figures.name == name and (value := way(figures))]
        means.append(sum(values) / len(values) if values else None)
    return means


def rows(measured: Sequence[Figures], name: str) -> list[tuple[str, ...]]:
    """The cells of each line below :data:`HEAD`.

    Args:
        measured: of all queues, in the order of the lines.
        name: of our own.
    """
    means = ours(measured, name)
    lines = []
    for figures in measured:
        cells = [figures.name]
        for way, mean in zip(WAYS, means, strict=True):
            value = way(figures)
            cells.append(f"{value:,.0f}" if value else "-")
            cells.append(f"{mean / value:.2f}" if value and mean else "-")
        lines.append((*cells, figures.error.partition("\n")[0] or figures.durability))
    return lines


def plain(measured: Sequence[Figures], name: str) -> str:
    """A table for the terminal."""
    lines = [HEAD, *rows(measured, name)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    last = len(HEAD) - 1

    def line(cells: tuple[str, ...]) -> str:
        aligned = (
            cell.ljust(width) if at in (0, last) else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join(aligned).rstrip()

    return "\n".join(map(line, lines))


def markdown(measured: Sequence[Figures], name: str) -> str:
    """A table for a document."""
    rule = ("---", *["--:"] * (len(HEAD) - 2), "---")
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (HEAD, rule, *rows(measured, name)))
