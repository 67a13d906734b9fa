"""Each command of ``tq`` against a real node."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command_process import RUN_S, Tq, environment
from tests.e2e.processes import NodeProcess
from tests.waiting import eventually
from tq import Client, NewTask, Raw, new_task
from tq.wire import NewWorker

PAYLOAD = '{"id": 1970670598291982290, "x": 1.10, "big": 123456789.123456789123456789, "b": 1, "a": [1,  2]}'
NOBODY = "0199f0a2-7c1e-7b3a-9d5e-2f6a1c4b8e70"


@pytest.fixture(scope="module")
def tq(shared_node: NodeProcess) -> Tq:
    return Tq(shared_node.url)


@pytest.fixture(scope="module")
def client(shared_node: NodeProcess) -> Iterator[Client]:
    with Client(shared_node.url) as made:
        yield made


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> str:
    """A queue of the test's own."""
    return re.sub(r"\W", "_", request.node.name)[:150]


def finish(client: Client, queue: str, *, result: object = None, error: str | None = None) -> str:
    """Claims a task of the queue and finishes it; returns its id."""
    (task,) = client.claim("tester", queues=[queue])
    if error is None:
        client.complete(task.id, task.token, result=result)
    else:
        client.fail(task.id, task.token, error=error, retry=False)
    return task.id


def test_enqueue_passes_every_option_on_and_the_payload_byte_for_byte(
    tq: Tq, client: Client, queue: str, tmp_path: Path
) -> None:
    file = tmp_path / "payload.json"
    file.write_text(PAYLOAD + "\n")
    options = ["-q", queue, "-p", "200", "--delay", "1h", "--max-attempts", "3", "--retry", "list:5,30,5m"]
    options += ["--lease", "2m", "--timeout", "90", "--expires-in", "2d", "-t", "a", "-t", "b"]
    options += ["-m", "who=me", "--unique-key", "k", "--on-conflict", "reject", "--unique-state", "dead"]
    task = client.get(tq("enqueue", "resize", f"@{file}", *options).out.strip())
    assert bytes(task.payload) == PAYLOAD.encode()  # type: ignore[arg-type]  # it is set
    assert (task.queue, task.kind, task.state, task.priority) == (queue, "resize", "scheduled", 200)
    assert (task.max_attempts, task.lease_s, task.timeout_s, task.tags) == (3, 120.0, 90.0, ["a", "b"])
    assert task.retry is not None
    assert task.unique_key == "k"
    assert task.expires_at is not None
    refused = tq("enqueue", "resize", *options, code=1)
    assert task.id in refused.err


@pytest.mark.parametrize("where", ["argument", "standard input"])
def test_payload_comes_back_with_the_digits_that_went_in(tq: Tq, queue: str, where: str) -> None:
    if where == "argument":
        made = tq("enqueue", "k", PAYLOAD, "-q", queue)
    else:
        made = tq("enqueue", "k", "-", "-q", queue, stdin=PAYLOAD + "\n")
    task_id = made.out.strip()
    assert tq("get", "--only", "payload", task_id).out == PAYLOAD + "\n"
    assert f'"payload":{PAYLOAD}' in tq("get", "--json", task_id).out
    assert f'"payload":{PAYLOAD}' in tq("list", "-q", queue, "--json", "--payload").out


def test_duplicate_prints_the_id_of_the_task_that_is_there(tq: Tq, queue: str) -> None:
    first = tq("enqueue", "k", "1", "-q", queue, "--unique-key", queue)
    second = tq("enqueue", "k", "2", "-q", queue, "--unique-key", queue)
    assert second.out == first.out
    assert "holds the key" in second.err
    same = [tq("enqueue", "k", "3", "-q", queue, "--idempotency-key", queue).out for _ in range(2)]
    assert same[0] == same[1] != first.out


def test_get_shows_what_became_of_a_task(tq: Tq, client: Client, queue: str) -> None:
    client.enqueue("k", {"a": 1}, queue=queue)
    task_id = finish(client, queue, error="it broke\nbadly")
    shown = tq("get", task_id).out
    assert re.search(r"^state +dead \(failed_for_good\)$", shown, re.MULTILINE)
    assert re.search(r"^error +attempt 1, (now|.* ago): Error: it broke$", shown, re.MULTILINE)
    assert re.search(r"^ +badly$", shown, re.MULTILINE)
    assert tq("get", task_id, "--only", "result", code=1).err.startswith(
        f"tq: get: {task_id}: the task has no"
    )


def test_what_does_not_exist_is_told_and_the_rest_is_done(tq: Tq, client: Client, queue: str) -> None:
    task = client.enqueue("k", queue=queue)
    ran = tq("cancel", NOBODY, task.id, code=6)
    assert NOBODY in ran.err
    assert ran.out == f"{task.id}  cancelled\n"
    assert client.get(task.id).state == "cancelled"
    assert tq("cancel", NOBODY, "not-an-id", code=None).code in (1, 6)


def test_cancel_retry_and_delete_take_ids_from_standard_input(tq: Tq, client: Client, queue: str) -> None:
    ids = {client.enqueue("k", queue=queue).id for _ in range(3)}
    listed = tq("list", "-q", queue, "--ids").out
    assert set(listed.split()) == ids
    assert tq("cancel", "-", stdin=listed).out.count("cancelled") == 3
    as_json = tq("list", "-q", queue, "--json").out
    retried = tq("retry", "-", "--json", stdin=as_json).out.splitlines()
    assert {json.loads(line)["state"] for line in retried} == {"ready"}
    table = tq("list", "-q", queue).out.split("\n", 1)[1]
    assert tq("delete", "-", stdin=table).out.count("deleted") == 3
    assert tq("list", "-q", queue).err == "no such tasks\n"


def test_running_task_is_neither_deleted_nor_cancelled_at_once(tq: Tq, client: Client, queue: str) -> None:
    client.enqueue("k", queue=queue)
    (task,) = client.claim("tester", queues=[queue])
    assert tq("delete", task.id, code=1).err
    assert "its worker is told to stop" in tq("cancel", task.id).out
    assert client.heartbeat(task.id, task.token).cancel


def test_list_filters_limits_and_follows_pages(tq: Tq, client: Client, queue: str) -> None:
    made = client.enqueue_many([_new(queue, number) for number in range(230)])
    newest_first = [str(row.id) for row in reversed(made)]
    assert tq("list", "-q", queue, "--ids", "-n", "0").out.split() == newest_first
    limited = tq("list", "-q", queue, "-n", "7")
    assert [line.split()[0] for line in limited.out.splitlines()[1:]] == newest_first[:7]
    assert "there are more" in limited.err
    assert len(tq("list", "-q", queue).out.splitlines()) == 51
    assert len(tq("list", "-q", queue, "--min-priority", "229", "--ids").out.split()) == 1
    assert len(tq("list", "-q", queue, "-k", "even", "-k", "none", "--ids", "-n", "0").out.split()) == 115
    assert len(tq("list", "-q", queue, "--created-after", "1h", "--ids", "-n", "0").out.split()) == 230
    assert tq("list", "-q", queue, "--created-before", "1h", "--ids").out == ""


def _new(queue: str, number: int) -> NewTask:
    return new_task("even" if number % 2 == 0 else "odd", number, queue=queue, priority=number)


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        (["succeeded", "succeeded"], 0),
        (["succeeded", "dead"], 1),
        (["cancelled", "dead"], 1),
        (["succeeded", "cancelled"], 3),
        (["succeeded", "waiting"], 4),
        (["dead", "waiting"], 4),
        (["cancelled", "missing"], 6),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else str(value),
)
def test_wait_says_by_its_exit_code_how_the_tasks_ended(
    tq: Tq, client: Client, queue: str, ends: list[str], code: int
) -> None:
    ids = []
    for end in ends:
        task = client.enqueue("k", queue=queue)
        ids.append(task.id)
        if end == "cancelled":
            client.cancel(task.id)
        elif end == "missing":
            client.delete(task.id)
        elif end != "waiting":
            assert finish(client, queue, error="broke" if end == "dead" else None) == task.id
    ran = tq("wait", "--timeout", "0.2s", *ids, code=code)
    told = {line.split()[0]: line.split()[1] for line in ran.out.splitlines()}
    assert told == {
        name: end for name, end in zip(ids, ends, strict=True) if end not in ("waiting", "missing")
    }


def test_wait_tells_each_end_while_others_are_still_running(tq: Tq, client: Client, queue: str) -> None:
    first, second = (client.enqueue("k", queue=queue).id for _ in range(2))
    with tq.start("wait", "--json", first, second) as waiting:
        assert waiting.stdout is not None
        finish(client, queue, result=Raw(b'{"x": 1.10}'))
        assert f'"id":"{first}"' in (line := waiting.stdout.readline())
        assert '"result":{"x": 1.10}' in line
        assert waiting.poll() is None
        finish(client, queue)
        assert json.loads(waiting.stdout.readline())["id"] == second
        assert waiting.wait(RUN_S) == 0


def test_wait_outlives_a_restart_of_the_node(own_node: NodeProcess) -> None:
    tq = Tq(own_node.url)
    task_id, ended = (tq("enqueue", "k").out.strip() for _ in range(2))
    tq("cancel", ended)
    with tq.start("wait", task_id, ended) as waiting:
        assert waiting.stdout is not None
        assert waiting.stderr is not None
        assert waiting.stdout.readline().startswith(ended)
        own_node.kill()
        assert "still waiting" in waiting.stderr.readline()
        own_node.restart()
        tq("cancel", task_id)
        assert waiting.communicate(timeout=RUN_S)[0].startswith(f"{task_id}  cancelled")
    assert waiting.returncode == 3


def test_enqueue_with_wait_exits_as_the_task_ended(tq: Tq, client: Client, queue: str) -> None:
    with tq.start("enqueue", "k", "-q", queue, "--wait") as waiting:
        task_id = eventually(lambda: [task.id for task in client.list(queue=queue)])[0]
        finish(client, queue, error="broke")
        out, err = waiting.communicate(timeout=RUN_S)
    assert waiting.returncode == 1
    assert out == f"{task_id}  dead  Error: broke\n"
    assert task_id in err


def test_queues_are_listed_paused_resumed_and_purged(tq: Tq, client: Client, queue: str) -> None:
    client.enqueue("k", queue=queue)
    client.enqueue("k", queue=queue, delay_s=100)
    assert re.search(rf"^{queue} +1 +· +1 ", tq("queues", queue).out, re.MULTILINE)
    assert tq("queue", "pause", queue).out.rstrip().endswith("paused")
    assert json.loads(tq("queues", queue, "--json").out)["paused"] is True
    assert client.claim("tester", queues=[queue]) == []
    assert not tq("queue", "resume", queue).out.rstrip().endswith("paused")
    assert "say --yes" in tq("queue", "purge", queue, code=2).err
    assert tq("queue", "purge", queue, "--yes", "--state", "dead").out == "deleted 0\n"
    assert tq("queue", "purge", queue, "--yes", "--json").out == f'{{"queue":"{queue}","deleted":2}}\n'
    assert tq("queues", "nobody-knows-it", code=6).err


def test_workers_are_listed_and_steered_by_id_and_by_name(tq: Tq, client: Client) -> None:
    first = client.register_worker(NewWorker(name="steered", queues=["a", "b"], concurrency=4))
    assert re.search(rf"^{first.id} +steered +run +0/4 .* a,b", tq("workers").out, re.MULTILINE)
    assert tq("workers", "quiet", "steered").out == f"{first.id}  steered  quiet\n"
    assert client.worker_heartbeat(first.id).state == "quiet"
    assert json.loads(tq("workers", "run", first.id, "--json").out)["state"] == "run"
    second = client.register_worker(NewWorker(name="steered"))
    assert "several workers" in tq("workers", "terminate", "steered", code=1).err
    assert tq("workers", "terminate", second.id).out.endswith("terminate\n")
    assert tq("workers", "quiet", NOBODY, code=6).err
    client.remove_worker(first.id)
    client.remove_worker(second.id)


def test_stats_top_and_version_tell_of_the_node(tq: Tq, client: Client, queue: str) -> None:
    client.enqueue("k", queue=queue)
    assert json.loads(tq("stats", "--json").out)["totals"]["ready"] >= 1
    assert tq.url in tq("stats").out
    once = tq("top", "--once").out
    assert re.search(rf"^{queue} +1", once, re.MULTILINE)
    assert set(json.loads(tq("top", "--once", "--json").out)) == {"stats", "workers"}
    assert re.fullmatch(r"tq (\S+)\nnode \1\n", tq("version", "--node").out)
    assert tq("version", "--json").out.startswith('{"tq":')


def test_top_into_a_pipe_prints_snapshots_with_rates(tq: Tq, client: Client, queue: str) -> None:
    with tq.start("top", "--interval", "0.2s") as top:
        assert top.stdout is not None
        for _ in range(2):
            while "/s in" not in top.stdout.readline():
                client.enqueue("k", queue=queue)
        top.send_signal(signal.SIGINT)
        assert top.wait(RUN_S) == 130


def test_events_are_followed_and_can_be_gone_on_with(tq: Tq, client: Client, queue: str) -> None:
    with tq.start("events", "-q", queue, "--json", "-n", "2") as following:
        assert following.stdout is not None
        # Nothing tells that a stream is open but an event: so events until one was seen.
        made = []

        def enqueued() -> bool:
            made.append(client.enqueue("k", queue=queue).id)
            return following.poll() is not None

        eventually(enqueued)
        lines = [json.loads(line) for line in following.stdout]
    assert following.returncode == 0
    assert [line["id"] for line in lines] == [task for task in made if task in {line["id"] for line in lines}]
    assert {line["state"] for line in lines} == {"ready"}
    (after,) = tq("events", "-q", queue, "--after", lines[0]["event"], "-n", "1", "--json").out.splitlines()
    assert json.loads(after) == lines[1]
    human = tq("events", "-q", queue, "--after", lines[0]["event"], "-n", "1").out
    assert re.fullmatch(rf"\S+Z  {lines[1]['id']}  ready +{queue}  k\n", human)


def test_event_of_an_unknown_past_is_told_as_missed(tq: Tq, client: Client, queue: str) -> None:
    task = client.enqueue("k", queue=queue)
    with tq.start("events", "--id", task.id, "--after", "never-1", "--json") as following:
        assert following.stdout is not None
        assert following.stdout.readline() == '{"reset":true}\n'
        client.cancel(task.id)
        assert json.loads(following.stdout.readline())["state"] == "cancelled"
        following.send_signal(signal.SIGINT)
        assert following.wait(RUN_S) == 130
        assert following.stderr is not None
        assert following.stderr.read().strip() == ""


def test_interrupt_ends_a_command_quietly(tq: Tq, client: Client, queue: str) -> None:
    ended, task = (client.enqueue("k", queue=queue).id for _ in range(2))
    client.cancel(ended)
    with tq.start("wait", ended, task) as waiting:
        assert waiting.stdout is not None
        assert waiting.stdout.readline().startswith(ended)
        waiting.send_signal(signal.SIGINT)
        out, err = waiting.communicate(timeout=RUN_S)
    assert (waiting.returncode, out, err.strip()) == (130, "", "")


def test_running_task_is_listed_with_the_name_of_its_worker(tq: Tq, client: Client, queue: str) -> None:
    worker = client.register_worker(NewWorker(name="known-by-name", queues=[queue]))
    registered, free = (client.enqueue("k", queue=queue).id for _ in range(2))
    for task_id, name in ((registered, worker.id), (free, "by curl")):
        (claimed,) = client.claim(name, queues=[queue])
        assert claimed.id == task_id
    listed = tq("list", "-q", queue).out
    assert re.search(rf"^{registered} .* known-by-name", listed, re.MULTILINE)
    assert re.search(rf"^{free} .* by curl", listed, re.MULTILINE)
    assert (
        json.loads(tq("list", "-q", queue, "--worker", "known-by-name", "--json").out)["worker"] == worker.id
    )
    assert tq("list", "-q", queue, "--worker", "by curl", "--ids").out == f"{free}\n"
    assert f"known-by-name, {worker.id}" in tq("get", registered).out
    client.remove_worker(worker.id)
    assert re.search(rf"^{registered} .* {worker.id}", tq("list", "-q", queue).out, re.MULTILINE)


def test_node_without_peers_is_a_cluster_of_one(tq: Tq) -> None:
    assert "led by" in tq("cluster").out
    assert json.loads(tq("cluster", "--json").out)["nodes"][0]["role"] == "leader"
    assert "this node has no others" in tq("cluster", "handover", code=1).err


INTERRUPTED_IN_A_LOCK = """
import os, signal, sys
from tq.main import main

def look(frame, event, arg):
    code = frame.f_code
    if event == "c_return" and code.co_name == "__enter__" and "httpcore" in code.co_filename:
        sys.setprofile(None)
        os.kill(os.getpid(), signal.SIGINT)

sys.setprofile(look)
main(["stats"])
"""


def test_interrupt_ends_a_command_that_has_just_taken_a_lock(tq: Tq) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IN_A_LOCK],
        capture_output=True,
        text=True,
        env=environment(tq.url),
        timeout=RUN_S,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr.strip()) == (130, "", "")
