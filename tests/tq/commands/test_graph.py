"""The tree that tq graph draws."""

from tq.commands.graph import rows
from tq.wire import Graph, GraphEdge, GraphNode


def graph(task: str, *edges: str, more: str = "") -> Graph:
    """A graph of tasks with one letter each; ``ab``: b comes after a."""
    ids = dict.fromkeys("".join(edges) + more + task)
    nodes = [GraphNode(id=one, queue="q", kind="k", state="ready") for one in sorted(ids)]
    return Graph(task=task, nodes=nodes, edges=[GraphEdge(parent=edge[0], child=edge[1]) for edge in edges])


def drawn(found: Graph) -> list[str]:
    return [" " * depth + mark + node.id for depth, mark, node in rows(found)]


def test_a_task_alone_is_one_line() -> None:
    assert drawn(graph("a")) == ["*a"]


def test_each_task_stands_below_one_that_it_waits_for_and_is_only_named_below_the_others() -> None:
    assert drawn(graph("b", "ab", "ac", "bd", "cd", "de")) == ["a", " *b", "  d", "   e", " c", "  ^d"]


def test_all_that_wait_for_nobody_are_roots_in_the_order_of_the_answer() -> None:
    assert drawn(graph("c", "ac", "bc")) == ["a", " *c", "b", " ^c"]


def test_a_long_chain_is_drawn_without_recursion() -> None:
    nodes = [GraphNode(id=str(number), queue="q", kind="k", state="blocked") for number in range(1_000)]
    edges = [GraphEdge(parent=str(number), child=str(number + 1)) for number in range(999)]
    lines = list(rows(Graph(task="0", nodes=nodes, edges=edges)))
    assert [(depth, node.id) for depth, _, node in lines] == [
        (number, str(number)) for number in range(1_000)
    ]
