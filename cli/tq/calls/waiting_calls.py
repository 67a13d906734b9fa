"""The calls on log lines of tasks as values, as :mod:`tq.calls` has those on all else."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tq import wire
from tq.calls import Call, Repeat, _query, _reader, _segment, seconds


def log_page(task_id: str, *, after: str | None, limit: int | None, wait_s: float) -> Call[wire.LogPage]:
    query = {"after": after, "limit": limit, "wait_s": seconds(wait_s)}
    return Call(
        method="GET",
        path=f"/v1/tasks/{_segment(task_id)}/logs{_query(query)}",
        read=_reader(wire.LogPage),
        repeat=Repeat.READ,
        wait_s=wait_s,
    )


def append_lines(
    task_id: str, token: str, lines: Iterable[wire.NewLine | str], *, first: int | None
) -> Call[int]:
    several = [wire.NewLine(text=line) if isinstance(line, str) else line for line in lines]
    appended = _reader(wire.LinesAppended)
    return Call(
        method="POST",
        path=f"/v1/tasks/{_segment(task_id)}/logs",
        read=lambda body: appended(body).last,
        # Without their place, lines that come again are lines like others.
        repeat=Repeat.ONCE if first is None else Repeat.SAFE,
        body=msgspec.json.encode(wire.AppendLines(token=token, lines=several, first=first)),
    )
