"""Finds tasks of one request that would wait for themselves; called before and while they are made."""

from collections.abc import Sequence

from tqnode.errors import InvalidField
from tqnode.task import TaskSpec


def check_acyclic(specs: Sequence[TaskSpec], field: str = "") -> None:
    """Returns if no task of a request waits for itself, however many steps away.

    Args:
        specs: the tasks; whole numbers in ``after`` are places in it.
        field: the array's own path.

    Raises:
        InvalidField: some do; it names the first.
    """
    waits = [sum(isinstance(parent, int) for parent in spec.after) for spec in specs]
    if not any(waits):
        return
    followers: list[list[int]] = [[] for _ in specs]
    for index, spec in enumerate(specs):
        for parent in spec.after:
            if isinstance(parent, int):
                followers[parent].append(index)
    free = [index for index, count in enumerate(waits) if not count]
    while free:
        for follower in followers[free.pop()]:
            waits[follower] -= 1
            if not waits[follower]:
                free.append(follower)
    stuck = {index for index, count in enumerate(waits) if count}
    if stuck:
        raise InvalidField(
            f"it would wait for itself: {_circle(specs, stuck)}",
            field=f"{field}[{_on_circle(specs, stuck)[0]}].after",
            code="dependency_cycle",
        )


def _on_circle(specs: Sequence[TaskSpec], stuck: set[int]) -> list[int]:
    """The places of one circle, from its least on, each waiting for the one before."""
    way: dict[int, None] = {}
    index = min(stuck)
    while index not in way:
        way[index] = None
        # Whoever is stuck has a parent that is.
        index = next(parent for parent in specs[index].after if isinstance(parent, int) and parent in stuck)
    walked = list(way)
    circle = walked[walked.index(index) :][::-1]
    least = circle.index(min(circle))
    return circle[least:] + circle[:least]


def _circle(specs: Sequence[TaskSpec], stuck: set[int]) -> str:
    circle = _on_circle(specs, stuck)
    shown = [str(index) for index in [*circle, circle[0]]]
    if len(shown) > 10:
        shown[5:-4] = ["…"]
    return " before ".join(shown)
