"""The words every wire type is made of: names, moments, durations, and the two bases."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

# An identifier people choose. The lookahead refuses the newline that "$" alone lets through.
# How long a name may be is the node's configuration (`name_chars_max`).
Name = Annotated[str, Meta(min_length=1, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:@+-]*$(?!\n)")]
Tag = Annotated[str, Meta(min_length=1)]
Key = Annotated[str, Meta(min_length=1)]
# By what limits know a task; a limit's own is a key, or the beginning of keys with * behind it.
LimitKey = Annotated[str, Meta(min_length=1, pattern=r"^[^*]+$(?!\n)")]
KeyPattern = Annotated[str, Meta(min_length=1, pattern=r"^[^*]*[*]?$(?!\n)")]
Label = Annotated[str, Meta(min_length=1)]
Priority = Annotated[int, Meta(ge=0, le=255)]
# Of a task for which neither its maker nor its queue says one.
PRIORITY = 128
Id = Annotated[str, Meta(min_length=36, max_length=36)]
Token = Annotated[str, Meta(min_length=1, max_length=64)]
Seconds = Annotated[float, Meta(ge=0, le=315_360_000)]
PositiveSeconds = Annotated[float, Meta(gt=0, le=315_360_000)]
Moment = Annotated[datetime, Meta(tz=True)]
# A moment in an answer: RFC 3339, UTC, milliseconds ("2026-01-31T12:00:00.000Z").
Stamp = str
State = Literal["blocked", "scheduled", "ready", "running", "succeeded", "dead", "cancelled"]
# What the tasks that a task waits for must come to: all succeed, or all end.
AfterPolicy = Literal["succeeded", "finished"]
WorkerState = Literal["run", "quiet", "terminate"]


class Request(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A body sent to the node: unknown fields are refused."""


class Answer(Struct, omit_defaults=True):
    """A body the node sends: unknown fields are ignored, so that an older SDK reads a newer node."""
