"""Bulk operations on real nodes: whatever is killed, each task is treated once."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import pytest

import tq as sdk
from tests.e2e.command_process import Tq
from tests.e2e.processes import NodeProcess, running_node
from tests.e2e.three_nodes import three_nodes
from tests.waiting import eventually

TASKS = 20_000
KILLS = 5


@pytest.fixture(scope="module")
def tq(shared_node: NodeProcess) -> Tq:
    return Tq(shared_node.url)


@pytest.fixture(scope="module")
def client(shared_node: NodeProcess) -> Iterator[sdk.Client]:
    with sdk.Client(shared_node.url) as made:
        yield made


def fill(client: sdk.Client, tasks: int, queue: str, **options: object) -> None:
    rows = ({"user": number % 10} for number in range(tasks))
    made = client.enqueue_many(sdk.new_task("k", row, queue=queue, **options) for row in rows)  # type: ignore[arg-type]  # of a test's own
    assert len(made) == tasks


def ended(client: sdk.Client, bulk_id: str) -> sdk.wire.Bulk:
    found = client.bulk_operation(bulk_id)
    assert found.state == "done"
    return found


@pytest.mark.timeout(600)
def test_kills_in_the_middle_leave_no_task_out_and_treat_none_twice(tmp_path: Path) -> None:
    with (
        running_node(tmp_path, "--log-level", "warning") as node,
        sdk.Client(node.url, timeout_s=60) as client,
    ):
        fill(client, TASKS, "many")
        fill(client, 500, "other")
        # A task that is retried becomes ready each time: its attempts say how often it was.
        cancelled = client.bulk("cancel", queue="many", wait_s=60)
        assert (cancelled.state, cancelled.done, cancelled.skipped) == ("done", TASKS, 0)
        begun = client.bulk("move", queue="other", to="many", wait_s=0)
        assert begun.id is not None
        eventually(lambda: ended(client, str(begun.id)), within_s=60)
        again = client.bulk("retry", queue="many", state="cancelled", wait_s=0)
        assert again.id is not None
        interrupted = 0
        for _ in range(KILLS):
            before = client.bulk_operation(again.id)
            node.kill()
            node.restart()
            after = client.bulk_operation(again.id)
            assert after.done >= before.done, "what was told was on the disk"
            interrupted += after.state == "running"
        assert interrupted, "no kill met it in the middle"
        last = eventually(lambda: ended(client, str(again.id)), within_s=60, ignoring=(sdk.TqError,))
        assert (last.done, last.matched, last.skips, last.progress) == (TASKS, TASKS, {}, 1.0)
        assert client.queue("many").counts == {"ready": TASKS + 500}
        assert client.count(queue="many", payload_has={"user": 3}).count == (TASKS + 500) // 10
        assert node.stop() == 0


@pytest.mark.timeout(600)
def test_the_next_leader_goes_on_where_the_last_one_was_killed(tmp_path: Path) -> None:
    with three_nodes(tmp_path) as cluster, sdk.Client(cluster.urls, timeout_s=60) as client:
        fill(client, TASKS // 2, "many")
        assert client.bulk("cancel", queue="many", wait_s=60).done == TASKS // 2
        begun = client.bulk("retry", queue="many", wait_s=0)
        leader = str(client.cluster().leader)
        cluster.nodes[leader].kill()
        last = eventually(lambda: ended(client, str(begun.id)), within_s=60, ignoring=(sdk.TqError,))
        assert (last.done, last.matched, last.skips) == (TASKS // 2, TASKS // 2, {})
        assert client.queue("many").counts == {"ready": TASKS // 2}
        assert client.cluster().leader != leader


def test_requests_are_answered_while_many_tasks_are_treated(tmp_path: Path) -> None:
    with (
        running_node(tmp_path, "--log-level", "warning") as node,
        sdk.Client(node.url, timeout_s=60) as client,
    ):
        fill(client, TASKS, "many")
        begun = client.bulk("delete", queue="many", payload_has={"user": 1}, wait_s=0)
        waits = []
        while client.bulk_operation(str(begun.id)).state == "running":
            start = perf_counter()
            client.enqueue("k", queue="meanwhile")
            waits.append(perf_counter() - start)
        assert client.bulk_operation(str(begun.id)).done == TASKS // 10
        assert sorted(waits)[len(waits) // 2] < 0.5, "half a second is much on any machine"


def test_the_command_counts_previews_changes_and_tells_what_it_left(tq: Tq, client: sdk.Client) -> None:
    fill(client, 30, "cli")
    (running,) = client.claim("w", queues=["cli"])
    which = ("--queue", "cli", "--where", "payload.user=0")
    assert tq("count", *which).out == "3\n"
    assert json.loads(tq("count", *which, "--json").out)["states"] == {"ready": 2, "running": 1}
    preview = tq("bulk", "move", *which, "--to", "b", "--dry-run").out
    assert preview in ("3 tasks match: 2 ready, 1 running\n", "3 tasks match: 1 running, 2 ready\n")
    moved = tq("bulk", "move", *which, "--to", "cli-b", "--yes")
    assert (moved.out, moved.err) == ("moved 2 to cli-b\n", "left 1 as they are: they are running\n")
    urgent = tq("bulk", "reprioritize", "-q", "cli-b", "-p", "200", "--yes", "--json")
    assert json.loads(urgent.out)["done"] == 2
    assert {task.priority for task in client.list(queue="cli-b")} == {200}
    cancelled = tq("bulk", "cancel", "-q", "cli", "-w", "payload.user=0", "-y")
    assert cancelled.out == "cancelled 1, 1 of them running: they were asked to stop\n"
    client.fail(running.id, running.token, error=sdk.wire.Failure(type="TimeoutError"), retry=False)
    assert tq("list", "--error-type", "TimeoutError", "-q", "cli", "--ids").out == f"{running.id}\n"
    retried = tq("bulk", "retry", "-q", "cli", "-s", "cancelled", "--yes")
    assert retried.out == "retried 1\n"
    assert tq("bulk", "delete", "-q", "cli", "--text", "K", "--yes").out == "deleted 28\n"
    assert client.queue("cli").counts == {}


def test_the_command_lists_shows_and_stops_operations(tq: Tq) -> None:
    begun = tq("bulk", "cancel", "-q", "nothing-here", "--yes", "--no-wait").out.strip()
    listed = tq("bulk", "list").out.splitlines()
    assert listed[0].split() == ["ID", "ACTION", "STATE", "SEEN", "DONE", "LEFT", "AGE"]
    assert listed[1].startswith(begun)
    shown = tq("bulk", "get", begun).out
    assert re.search(r'^filter +\{"queue":\["nothing-here"\]\}$', shown, re.MULTILINE)
    assert json.loads(tq("bulk", "stop", begun, "--json").out)["state"] in ("done", "cancelled")
    missing = tq("bulk", "get", "0198c0de-0000-7000-8000-000000000000", code=6)
    assert missing.err.startswith("tq: no bulk 0198c0de")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["cancel"], "say which tasks: a filter, or --all for all there are"),
        (["cancel", "--all", "-q", "a"], "--all is for all tasks, without a filter"),
        (["delete", "-q", "a"], "delete asks before it changes tasks; without a terminal, say --yes"),
        (["move", "-q", "a"], "Missing option '--to'"),
        (["reprioritize", "-q", "a", "-p", "256"], "0<=x<=255"),
        (["cancel", "--where", "user=1"], "write payload.user.id=42, or meta.tenant=acme"),
        (["cancel", "--where", "payload.user"], "write payload.user.id=42"),
        (["cancel", "--where", "payload.user=[1]"], "a text, a number, true, false or null"),
        (["cancel", "-w", "meta.a=1", "-w", "meta.a=2"], "--where meta.a comes twice"),
    ],
)
def test_a_command_that_says_too_little_changes_nothing(tq: Tq, argv: list[str], said: str) -> None:
    ran = tq("bulk", *argv, code=2)
    assert said in ran.err
    assert ran.out == ""


def test_on_a_terminal_it_asks_and_takes_no_for_an_answer(tq: Tq, client: sdk.Client) -> None:
    fill(client, 3, "asked")
    for keys, code, left in (("n\n", 1, {"ready": 3}), ("y\n", 0, {})):
        one = tq.terminal("bulk", "delete", "-q", "asked")
        try:
            eventually(lambda one=one: "delete 3 tasks (3 ready)? [y/N]" in one.text)
            one.type(keys)
            assert one.wait() == code
            assert ("deleted 3" if left == {} else "nothing was changed") in one.text
        finally:
            one.end()
        assert client.queue("asked").counts == left
