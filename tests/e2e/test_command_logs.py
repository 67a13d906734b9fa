"""``tq logs``, and what other commands show of progress and results, against a real node."""

import json
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.command_process import RUN_S, Tq
from tests.e2e.processes import NodeProcess
from tests.waiting import eventually
from tq import Client, new_task
from tq.wire import ClaimedTask, NewLine


@pytest.fixture(scope="module")
def tq(shared_node: NodeProcess) -> Tq:
    return Tq(shared_node.url)


@pytest.fixture(scope="module")
def client(shared_node: NodeProcess) -> Iterator[Client]:
    with Client(shared_node.url) as made:
        yield made


@pytest.fixture
def task(client: Client, request: pytest.FixtureRequest) -> ClaimedTask:
    """A running task."""
    queue = re.sub(r"\W", "_", request.node.name)[:150]
    client.enqueue("k", queue=queue, result_ttl_s=90)
    (claimed,) = client.claim("tester", queues=[queue])
    return claimed


def test_logs_shows_lines_with_what_could_drive_a_terminal_made_visible(
    tq: Tq, client: Client, task: ClaimedTask
) -> None:
    lines = [NewLine(text="hot\n\x1b[31mred", level="error"), "cold"]
    client.append_lines(task.id, task.token, lines)
    shown = tq("logs", task.id).out.splitlines()
    assert len(shown) == 3
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]{12}Z  error    hot", shown[0])
    assert shown[1].strip() == "\\u001b[31mred"
    assert shown[2].endswith("  info     cold")
    rows = [json.loads(line) for line in tq("logs", "--json", task.id).out.splitlines()]
    assert [(row["number"], row["level"]) for row in rows] == [(1, "error"), (2, "info")]
    assert rows[0]["text"] == "hot\n\x1b[31mred"
    assert [
        json.loads(line)["number"] for line in tq("logs", "--json", "--after", "1", task.id).out.splitlines()
    ] == [2]


def test_logs_colours_levels_on_a_terminal_and_only_there(tq: Tq, client: Client, task: ClaimedTask) -> None:
    lines = [NewLine(text=level, level=level) for level in ("info", "warning", "error")]
    client.append_lines(task.id, task.token, lines)
    one = tq.terminal("logs", task.id)
    assert one.wait() == 0
    assert "\x1b[33mwarning\x1b[0m" in one.screen
    assert "\x1b[31merror\x1b[0m" in one.screen
    assert "\x1b" not in tq("logs", task.id).out
    plain = tq.terminal("logs", task.id, NO_COLOR="1")
    assert plain.wait() == 0
    assert "\x1b" not in plain.screen


def test_logs_counts_the_lines_that_were_dropped(tq: Tq, client: Client, task: ClaimedTask) -> None:
    client.append_lines(task.id, task.token, ["late"], first=3)
    said = tq("logs", task.id)
    assert "(3 lines were dropped here)" in said.err
    rows = [json.loads(line) for line in tq("logs", "--json", task.id).out.splitlines()]
    assert (rows[0], rows[1]["text"]) == ({"dropped": 3}, "late")


def test_logs_follows_a_task_to_its_end(tq: Tq, client: Client, task: ClaimedTask) -> None:
    with tq.start("logs", "-f", task.id) as following:
        eventually(lambda: waits(client))
        client.append_lines(task.id, task.token, ["a"])
        assert following.stdout is not None
        assert following.stdout.readline().endswith("  a\n")
        client.append_lines(task.id, task.token, ["b"])
        client.complete(task.id, task.token, result=1)
        assert following.stdout.read().endswith("  b\n")
        assert following.wait(RUN_S) == 0


def test_logs_of_a_task_that_does_not_exist_is_an_error_that_says_so(tq: Tq) -> None:
    said = tq("logs", "0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70", code=6)
    assert "no task 0199f0a2" in said.err
    assert tq("logs", "..", code=2).out == ""


def test_get_shows_progress_in_words_and_for_how_long_the_result_is_kept(
    tq: Tq, client: Client, task: ClaimedTask
) -> None:
    client.heartbeat(task.id, task.token, progress={"percent": 40.0, "message": "resizing"})
    shown = tq("get", task.id).out
    assert re.search(r"^progress +█+░+ 40% resizing$", shown, re.MULTILINE)
    assert re.search(r"^result for +1m ?30s after the end$", shown, re.MULTILINE)


def test_top_shows_how_far_running_tasks_are(tq: Tq, client: Client, task: ClaimedTask) -> None:
    client.heartbeat(task.id, task.token, progress={"done": 1, "total": 4, "message": "a\x1b.png"})
    shown = tq("top", "--once").out
    assert re.search(rf"^{task.id} +k +\S+ +█+░+ 25% a\\u001b\.png \(1 of 4\)", shown, re.MULTILINE)


def test_wait_hears_of_the_end_at_once(tq: Tq, client: Client, task: ClaimedTask) -> None:
    with tq.start("wait", task.id) as waiting:
        eventually(lambda: waits(client))
        client.complete(task.id, task.token)
        assert waiting.wait(RUN_S) == 0


def waits(client: Client) -> bool:
    metrics = httpx.get(f"{client.url}/metrics").text
    return re.search(r"^tq_waiting_reads 1\.0$", metrics, re.MULTILINE) is not None


def test_enqueue_passes_the_time_of_the_result_on(tq: Tq, client: Client) -> None:
    made = tq("enqueue", "k", "--result-ttl", "2h", "-q", "of_results").out.strip()
    assert client.get(made).result_ttl_s == 7200
    assert new_task("k", result_ttl_s=5).result_ttl_s == 5
