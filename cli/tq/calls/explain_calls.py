"""The call that asks why a task runs, or does not."""

from __future__ import annotations

from tq import wire
from tq.calls import Call, _read, _segment


def explain(task_id: str) -> Call[wire.Explanation]:
    return _read(f"/v1/tasks/{_segment(task_id)}/explain", wire.Explanation)
