"""Why tasks run or do not, and unique tasks, by ``tq`` and the SDK on a real node."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.e2e.command_process import Tq
from tests.e2e.processes import NodeProcess
from tq import Client
from tq.errors import TaskNotFound, UniqueConflict

NO_TASK = "0198c0de-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
def tq(shared_node: NodeProcess) -> Tq:
    return Tq(shared_node.url)


@pytest.fixture(scope="module")
def client(shared_node: NodeProcess) -> Iterator[Client]:
    with Client(shared_node.url) as made:
        yield made


def codes(tq: Tq, task_id: str) -> list[str]:
    """The codes at the ends of the lines below a task."""
    head, *lines = tq("explain", task_id).out.splitlines()
    assert head.startswith(f"{task_id}  ")
    return [re.fullmatch(r"  .+[.]  \[(\w+)\]", line)[1] for line in lines]  # type: ignore[index]  # all match


def test_a_task_is_explained_at_each_turn_of_its_life(tq: Tq, client: Client) -> None:
    task_id = tq("enqueue", "welcome", "-q", "explained", "--delay", "1h").out.strip()
    assert codes(tq, task_id) == ["delayed"]
    tq("retry", task_id)
    client.pause("explained")
    assert codes(tq, task_id) == ["queue_paused", "no_worker", "first"]
    client.resume("explained")
    (claimed,) = client.claim("w", queues=["explained"])
    assert codes(tq, task_id) == ["running"]
    tq("cancel", task_id)
    assert codes(tq, task_id) == ["running", "cancel_requested"]
    client.fail(task_id, claimed.token, error="no such user")
    assert codes(tq, task_id) == ["requested", "kept"]


def test_an_explanation_is_one_object_a_line_as_json(tq: Tq, client: Client) -> None:
    made = [tq("enqueue", "k", "-q", "explained-json").out.strip() for _ in range(2)]
    lines = tq("explain", "--json", *made).out.splitlines()
    found = [json.loads(line) for line in lines]
    assert [one["id"] for one in found] == made
    assert [one["reasons"][-1]["facts"]["ahead"] for one in found] == [0, 1]
    explanation = client.explain(made[1])
    assert explanation.summary == found[1]["summary"]
    assert explanation.reasons[-1].code == "ahead"
    assert explanation.reasons[-1].facts["ahead"] == 1


def test_what_is_not_there_cannot_be_explained(tq: Tq, client: Client) -> None:
    done = tq("explain", NO_TASK, code=6)
    assert done.out == ""
    assert NO_TASK in done.err
    with pytest.raises(TaskNotFound):
        client.explain(NO_TASK)


def test_tasks_of_the_same_fields_are_one_by_the_command(tq: Tq, client: Client) -> None:
    options = ["-q", "unique", "--unique-field", "user_id", "--unique-period", "1h"]
    first = tq("enqueue", "digest", '{"user_id": 7, "n": 1}', *options)
    again = tq("enqueue", "digest", '{"n": 2, "user_id": 7}', *options)
    assert again.out == first.out
    assert "holds the key" in again.err
    task_id = first.out.strip()
    (claimed,) = client.claim("w", queues=["unique"])
    client.complete(task_id, claimed.token)
    assert tq("enqueue", "digest", '{"user_id": 7}', *options).out == first.out, "within the hour"
    assert tq("enqueue", "digest", '{"user_id": 8}', *options).out != first.out
    assert "unique_key" in codes(tq, task_id)


@pytest.mark.parametrize(("mode", "kept"), [("debounce", True), ("keep-earliest", False)])
def test_a_waiting_task_is_put_off_or_kept_early(tq: Tq, client: Client, mode: str, kept: bool) -> None:
    options = ["-q", "unique-modes", "--unique-key", mode, "--on-conflict", mode]
    task_id = tq("enqueue", "k", "1", "--delay", "1h", *options).out.strip()
    first = client.get(task_id)
    again = tq("enqueue", "k", "2", "--delay", "1m", *options)
    assert again.out.strip() == task_id
    assert "has the new content" in again.err
    task = client.get(task_id)
    assert bytes(task.payload) == b"2"  # type: ignore[arg-type]  # it has one
    assert (task.run_at == first.run_at) is kept


def test_a_retry_that_meets_the_key_of_another_task_is_told_of(tq: Tq, client: Client) -> None:
    first = client.enqueue("k", queue="unique-retry", unique_key="r")
    client.cancel(first.id)
    holder = client.enqueue("k", queue="unique-retry", unique_key="r")
    with pytest.raises(UniqueConflict) as caught:
        client.retry(first.id)
    assert caught.value.task == holder.id
    assert codes(tq, first.id)[:2] == ["requested", "unique_conflict"]
    assert holder.id in tq("retry", first.id, code=1).err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--unique-period", "1h"], "--unique-period needs --unique-key or --unique-field"),
        (["--unique-key", "k", "--unique-field", "f"], "exclude each other"),
        (["--unique-key", "k", "--unique-max-wait", "5s"], "--unique-max-wait needs --on-conflict debounce"),
    ],
)
def test_options_that_contradict_each_other_are_a_wrong_command_line(
    tq: Tq, options: list[str], said: str
) -> None:
    assert said in tq("enqueue", "k", *options, code=2).err
