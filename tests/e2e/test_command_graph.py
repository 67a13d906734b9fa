"""Tasks that wait for others, by ``tq``."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.e2e.command_process import Tq
from tests.e2e.processes import NodeProcess
from tq import Client, new_task


@pytest.fixture(scope="module")
def tq(shared_node: NodeProcess) -> Tq:
    return Tq(shared_node.url)


@pytest.fixture(scope="module")
def client(shared_node: NodeProcess) -> Iterator[Client]:
    with Client(shared_node.url) as made:
        yield made


def test_a_task_is_enqueued_after_others_and_shown_with_them(tq: Tq, client: Client) -> None:
    parents = [tq("enqueue", "fetch", "-q", "after").out.strip() for _ in range(2)]
    options = ["--after", parents[0], "-a", parents[1], "--after-policy", "finished"]
    task_id = tq("enqueue", "parse", "-q", "after", *options).out.strip()
    task = client.get(task_id)
    assert (task.state, task.after, task.after_policy, task.pending) == ("blocked", parents, "finished", 2)
    shown = tq("get", task_id).out
    assert re.search(
        rf"^after +are to end: 2 not ended yet\n +{parents[0]}\n +{parents[1]}$", shown, re.MULTILINE
    )
    assert parents[0] in tq("get", "--json", task_id).out
    client.cancel(parents[0])
    client.cancel(parents[1])
    assert re.search(r"^after +are to end: all ended$", tq("get", task_id).out, re.MULTILINE)


def test_graph_draws_a_tree_with_the_task_marked(tq: Tq, client: Client) -> None:
    rows = client.enqueue_together(
        [
            new_task("fetch", queue="graph", ref="a"),
            new_task("left", queue="graph", ref="b", after=["#a"]),
            new_task("right", queue="graph", ref="c", after=["#a"], after_policy="finished"),
            new_task("join", queue="graph", after=["#b", "#c"]),
        ]
    )
    top, left, right, join = [str(row.id) for row in rows]
    (claimed,) = client.claim("w", queues=["graph"])
    client.fail(claimed.id, claimed.token, retry=False)
    assert tq("graph", left).out.splitlines() == [
        f"- fetch  {top}  dead  (failed_for_good)",
        f"  * left  {left}  cancelled  (dependency)",
        f"    - join  {join}  cancelled  (dependency)",
    ]
    whole = tq("graph", join).out.splitlines()
    assert whole[3] == f"  - right  {right}  ready  (whatever they come to)"
    assert whole[4] == f"    ^ join  {join}  cancelled"
    found = json.loads(tq("graph", join, "--json").out)
    assert len(found["nodes"]) == len(found["edges"]) == 4
    cut = tq("graph", join, "--limit", "2")
    assert len(cut.out.splitlines()) == 2
    assert "there are more" in cut.err


def test_what_cannot_be_waited_for_is_told_with_its_place(tq: Tq) -> None:
    nobody = "0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70"
    assert "after[0]: there is no task" in tq("enqueue", "k", "--after", nobody, code=1).err
    assert "--after-policy needs --after" in tq("enqueue", "k", "--after-policy", "finished", code=2).err
    assert nobody in tq("graph", nobody, code=6).err
