"""Whose a task's unique key is."""

from collections.abc import Iterator

from tqnode import ids
from tqnode.queue.explain.view import Cause, View, cut, from_now
from tqnode.sql import statement
from tqnode.task import FINAL

_FIND_RIVAL = statement("find_key_rival")


def key_taken(view: View) -> Iterator[Cause]:
    """Another task has it, so this one can't come back."""
    task = view.task
    if task.unique_key is None or task.state in view.unique_states:
        return
    row = view.reader.one(_FIND_RIVAL, {"seq": view.seq})
    if row is None or _is_over(view.unique_until_ms, view) or _is_over(row[1], view):
        return
    holder = ids.text(row[0])
    then = (
        "while it has, a retry of this one is refused"
        if task.state in FINAL
        else "when this one comes back to it, it goes on without"
    )
    yield Cause(
        "unique_conflict",
        f"The task {holder} of the same kind has its key {cut(task.unique_key)} now: {then}.",
        {"key": task.unique_key, "task": holder},
    )


def key_held(view: View) -> Iterator[Cause]:
    """It has it itself, so others like it give way."""
    task = view.task
    if task.unique_key is None or task.state not in view.unique_states:
        return
    until_ms = view.unique_until_ms
    if _is_over(until_ms, view):
        return
    facts: dict[str, object] = {"key": task.unique_key, "states": list(view.unique_states)}
    states = ", ".join(view.unique_states)
    text = f"It holds the key {cut(task.unique_key)} of its kind while it is {states}"
    if until_ms is not None:
        facts["until_at_ms"] = until_ms
        text += f", until {from_now(until_ms, view.now_ms)} at the latest"
    yield Cause("unique_key", text + ".", facts)


def _is_over(until_ms: int | None, view: View) -> bool:
    return until_ms is not None and until_ms <= view.now_ms
