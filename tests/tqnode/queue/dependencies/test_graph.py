"""The tasks around a task."""

import pytest

from tests.tqnode.nodes import Core, spec
from tests.tqnode.queue.families import child, enqueue, fail_for_good
from tqnode import ids
from tqnode.errors import NotFound
from tqnode.queue import Graph
from tqnode.queue.dependencies import graph
from tqnode.queue.dependencies.graph import NODES_MAX, Node
from tqnode.task import Needs, TaskState


async def graph_of(core: Core, task_id: str, *, nodes_max: int = NODES_MAX) -> Graph:
    return await core.queue.graph(task_id, nodes_max=nodes_max)


def seen(found: Graph) -> set[str]:
    return {node.id for node in found.nodes}


async def test_a_lonely_task_is_a_graph_of_one(core: Core) -> None:
    task_id = await core.enqueue(kind="k")
    node = Node(task_id, "default", "k", TaskState.READY, None, None, 0)
    assert await graph_of(core, task_id) == Graph([node], [], False)


async def test_a_diamond_is_seen_whole_from_top_and_bottom_and_in_part_from_a_side(
    core: Core,
) -> None:
    top, left, right, bottom = await enqueue(core, spec(), child(0), child(0), child(1, 2))
    edges = {(top, left), (top, right), (left, bottom), (right, bottom)}
    for task_id in (top, bottom):
        found = await graph_of(core, task_id)
        assert seen(found) == {top, left, right, bottom}
        assert set(found.edges) == edges
    side = await graph_of(core, left)
    assert seen(side) == {top, left, bottom}, "the other side neither waits for it nor is waited for"
    assert set(side.edges) == {(top, left), (left, bottom)}


async def test_an_edge_past_the_task_is_shown_too(core: Core) -> None:
    above, task_id, below = await enqueue(core, spec(), child(0), child(0, 1))
    found = await graph_of(core, task_id)
    assert set(found.edges) == {(above, task_id), (above, below), (task_id, below)}


async def test_nodes_tell_state_reason_and_for_whom_they_wait(core: Core) -> None:
    made = await enqueue(core, spec(), spec(queue="other"), child(0), child(0, 1, needs=Needs.FINISHED))
    await fail_for_good(core)
    found = await graph_of(core, made[0])
    assert [(node.state, node.reason, node.needs, node.pending) for node in found.nodes] == [
        ("dead", "failed_for_good", None, 0),
        ("cancelled", "dependency", Needs.SUCCEEDED, 0),
        ("blocked", None, Needs.FINISHED, 1),
    ]


async def test_a_graph_that_is_too_large_is_cut_to_the_nearest_tasks(core: Core) -> None:
    made = await enqueue(core, spec(), *[child(index) for index in range(9)])
    found = await graph_of(core, made[5], nodes_max=5)
    assert seen(found) == set(made[3:8])
    assert found.truncated
    whole = await graph_of(core, made[5], nodes_max=10)
    assert (seen(whole), whole.truncated) == (set(made), False)


async def test_a_fan_out_beyond_the_bounds_is_truncated(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await enqueue(core, spec(), *[child(0) for _ in range(30)])
    found = await graph_of(core, made[0], nodes_max=10)
    assert (len(found.nodes), len(found.edges), found.truncated) == (10, 9, True)
    monkeypatch.setattr(graph, "EDGES_MAX", 20)
    found = await graph_of(core, made[0])
    assert (len(found.nodes), len(found.edges), found.truncated) == (31, 20, True)
    monkeypatch.setattr(graph, "READ_MAX", 5)
    assert (await graph_of(core, made[0])).truncated


async def test_deleted_tasks_are_gone_from_the_graph(core: Core) -> None:
    first, second, third = await enqueue(core, spec(), child(0, needs=Needs.FINISHED), child(1))
    await fail_for_good(core)
    await core.queue.delete(first)
    found = await graph_of(core, second)
    assert (seen(found), found.edges) == ({second, third}, [(second, third)])


async def test_there_is_no_graph_of_a_task_that_is_not_there(core: Core) -> None:
    task_id = await core.enqueue()
    other = ids.text(ids.pack(at_ms=5, seq=ids.seq_of(ids.parse(task_id)), nonce=5))
    for wrong in (other, ids.text(ids.pack(at_ms=5, seq=99, nonce=5)), "no id"):
        with pytest.raises(NotFound):
            await graph_of(core, wrong)
