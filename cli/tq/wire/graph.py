"""The tasks around a task, and who was enqueued after whom."""

from tq.wire.names import AfterPolicy, Answer, Id, Name, State


class GraphNode(Answer, kw_only=True):
    """One task; ``pending`` says for how many others it still waits."""

    id: Id
    queue: Name
    kind: Name
    state: State
    reason: str | None = None
    after_policy: AfterPolicy | None = None
    pending: int = 0


class GraphEdge(Answer, kw_only=True):
    """``child`` was enqueued after ``parent``."""

    parent: Id
    child: Id


class Graph(Answer, kw_only=True):
    """A task, all it was enqueued after and all that was enqueued after it, near and far.

    Nodes are in the order of enqueueing; ``truncated`` says that there are more than was asked for.
    """

    task: Id
    nodes: list[GraphNode]
    edges: list[GraphEdge]
    truncated: bool = False
