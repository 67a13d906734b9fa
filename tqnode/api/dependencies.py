"""Reads whom new tasks are to wait for: ids of stored tasks, and names of tasks in the same request.

Called by the conversion of requests.
"""

from collections.abc import Sequence

from tq import wire
from tqnode import ids
from tqnode.errors import InvalidField
from tqnode.task import REPLACING

REF = "#"
"""What a name in ``after`` begins with, and no id does."""
PARENTS_OF_REQUEST_MAX = 100_000
"""Most entries in all ``after`` of one request."""

DEPENDENCY_ERRORS = ("unknown_parent", "unknown_ref", "duplicate_ref", "dependency_cycle", "too_many_parents")
"""Codes of what may be wrong about ``after`` and ``ref``."""

Refs = dict[str, int]


def refs_of(tasks: Sequence[wire.NewTask]) -> Refs:
    """The place of each task that has a name.

    Raises:
        InvalidField: two have the same; or all of them wait for more than a request may bring.
    """
    refs: Refs = {}
    entries = 0
    for index, task in enumerate(tasks):
        entries += len(task.after)
        if task.ref is None:
            continue
        if task.ref in refs:
            raise InvalidField(
                f"task {refs[task.ref]} of the request has this ref too",
                field=f"[{index}].ref",
                code="duplicate_ref",
            )
        refs[task.ref] = index
    if entries > PARENTS_OF_REQUEST_MAX:
        limit = PARENTS_OF_REQUEST_MAX
        raise InvalidField(
            f"a request may bring {limit} entries in all its after",
            field="after",
            limit=limit,
            code="too_many_parents",
        )
    return refs


def parents_of(task: wire.NewTask, refs: Refs, *, limit: int) -> tuple[bytes | int, ...]:
    """Whom a task waits for, each once: ids as bytes, places of named tasks.

    Args:
        task: what was sent.
        refs: the places of the names in the request.
        limit: how many there may be.

    Raises:
        InvalidField: there are more; or one is neither an id nor a name of the request.
    """
    if len(task.after) > limit:
        raise InvalidField(
            f"a task waits for {limit} others at most", field="after", limit=limit, code="too_many_parents"
        )
    if task.unique is not None and task.unique.on_conflict in REPLACING:
        # The task it replaces may be one that those others wait for.
        raise InvalidField("a task that may replace another can't wait for others", field="after")
    parents: dict[bytes | int, None] = {}
    for place, entry in enumerate(task.after):
        parents[_parent(entry, refs, f"after[{place}]")] = None
    return tuple(parents)


def _parent(entry: str, refs: Refs, field: str) -> bytes | int:
    if entry.startswith(REF):
        index = refs.get(entry[1:])
        if index is None:
            raise InvalidField(
                f"no task of the request has the ref {entry[1:][:100]!r}", field=field, code="unknown_ref"
            )
        return index
    try:
        return ids.parse(entry)
    except ValueError:
        raise InvalidField(
            f"must be a task's id, or {REF} and the ref of a task in the request", field=field
        ) from None
