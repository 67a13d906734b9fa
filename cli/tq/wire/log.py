"""The lines that tasks tell while they run."""

from typing import Annotated, Literal

from msgspec import Meta

from tq.wire.names import Answer, Moment, Request, Stamp, Token

Level = Literal["debug", "info", "warning", "error"]


class NewLine(Request, kw_only=True):
    """A line; ``at`` null is the moment at which it arrives. A text that is too long is cut."""

    text: str
    level: Level = "info"
    at: Moment | None = None


class NewLines(Request, kw_only=True):
    """Lines in their order. Of more than the node keeps, the last ones are kept.

    ``first`` is the place of the first one among all lines of this claim, counted from 0: with it, lines sent
    again are not added twice, and those that never came are counted as dropped.
    """

    lines: Annotated[list[NewLine], Meta(min_length=1, max_length=10_000)]
    first: Annotated[int, Meta(ge=0, le=2**31)] | None = None


class AppendLines(NewLines, kw_only=True):
    token: Token


class LinesAppended(Answer, kw_only=True):
    """``last`` is the number of the log's last line."""

    last: int


class LogLine(Answer, kw_only=True):
    """A line; ``number`` counts those of the task from 1, through all its attempts."""

    number: int
    attempt: int
    at: Stamp
    level: str
    text: str


class LogPage(Answer, kw_only=True):
    """Lines in their order, and where to go on.

    ``dropped`` are lines between ``after`` and the last of these that are gone. ``ended``: no more will come.
    """

    lines: list[LogLine]
    next_cursor: str
    dropped: int = 0
    ended: bool = False
