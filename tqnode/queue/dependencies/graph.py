"""The tasks around a task: whom it waits for, who waits for it, and so on both ways, within bounds."""

import msgspec

from tqnode import ids
from tqnode.errors import NotFound
from tqnode.queue.rows import Reads, listed, place
from tqnode.sql import statement
from tqnode.task import Needs, TaskState

_PARENTS = statement("find_parents_of")
_CHILDREN = statement("find_children_of")
_NODES = statement("read_graph_nodes")
_EDGES = statement("read_graph_edges")

NODES_MAX = 1_000
"""The most tasks one answer may be asked for."""
EDGES_MAX = 10_000
"""The most dependencies of one answer."""
READ_MAX = 20_000
"""Dependencies that one step away from the task looks at."""


class Node(msgspec.Struct, frozen=True):
    """One task of a graph; ``needs`` is None for one that was enqueued after nobody."""

    id: str
    queue: str
    kind: str
    state: TaskState
    reason: str | None
    needs: Needs | None
    pending: int


class Graph(msgspec.Struct, frozen=True):
    """Edges are (parent, child), by id. ``truncated``: there is more than the bounds allow."""

    nodes: list[Node]
    edges: list[tuple[str, str]]
    truncated: bool


def graph_of(reader: Reads, task_id: str, *, nodes_max: int) -> Graph:
    """The task, its ancestors and its descendants, the nearest first if not all fit; none of other lines.

    Raises:
        NotFound: there is no such task.
    """
    where = place(task_id)
    start: int = where["seq"]
    own = reader.all(_NODES, {"seqs": listed([start])})
    if not own or own[0][1] != where["id"]:
        raise NotFound("task", task_id)
    seen = {start}
    ways = {_PARENTS: [start], _CHILDREN: [start]}
    truncated = False
    # Step by step both ways in turn: the nearest tasks are seen before the bound is reached.
    while any(ways.values()):
        for sql, frontier in ways.items():
            rows = reader.all(sql, {"seqs": listed(frontier), "limit": READ_MAX + 1}) if frontier else []
            fresh = sorted({row[0] for row in rows} - seen)
            room = nodes_max - len(seen)
            truncated = truncated or len(rows) > READ_MAX or len(fresh) > room
            ways[sql] = fresh[:room]
            seen.update(ways[sql])
    return _read(reader, seen, truncated=truncated)


def _read(reader: Reads, seqs: set[int], *, truncated: bool) -> Graph:
    # Of a parent that was deleted nothing is left but its number.
    params = {"seqs": listed(sorted(seqs))}
    rows = reader.all(_NODES, params)
    written = {row[0]: ids.text(row[1]) for row in rows}
    edges = reader.all(_EDGES, params | {"limit": EDGES_MAX + 1})
    nodes = [
        Node(written[seq], queue, kind, TaskState(state), reason, Needs(needs) if needs else None, pending)
        for seq, _, queue, kind, state, reason, needs, pending in rows
    ]
    known = [
        (written[parent], written[child])
        for parent, child in edges[:EDGES_MAX]
        if parent in written and child in written
    ]
    return Graph(nodes, known, truncated or len(edges) > EDGES_MAX)
