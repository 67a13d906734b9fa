"""What tasks tell, and who waits for them, with real processes: through kills and restarts."""

import random
import secrets
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest

import tq
from tests.e2e.processes import running_node
from tests.e2e.worker_bench import WorkerBench
from tests.waiting import eventually

KILLS = 8
SEED = secrets.randbelow(1_000_000)
LINES = 1_500
"""What the handler logs: more than a worker keeps, and than a node does."""


def texts_of(client: tq.Client, task_id: str) -> list[str]:
    return [line.text for line in client.log(task_id)]


@pytest.mark.parametrize("flags", [(), ("--processes",)])
def test_what_a_handler_tells_is_there_while_it_runs_and_the_last_of_it_when_it_has_ended(
    at_work: WorkerBench, flags: tuple[str, ...]
) -> None:
    at_work.worker(*flags)
    task_id = at_work.enqueue("tells", "t")
    client = at_work.client
    page = eventually(lambda: (found := client.log_page(task_id)).lines and found)
    assert [(line.level, line.text, line.attempt) for line in page.lines] == [("debug", "begun", 1)]
    told = eventually(lambda: tq.value(client.get(task_id).progress))
    assert told == {"percent": 40.0, "message": "waiting"}
    at_work.release("t")
    assert at_work.ended(task_id).state == "succeeded"
    page = client.log_page(task_id, limit=1_000)
    assert page.ended
    assert [line.text for line in page.lines] == [f"line {number}" for number in range(LINES - 1_000, LINES)]
    assert {line.level for line in page.lines} == {"warning"}
    assert page.dropped + len(page.lines) == LINES + 1


def test_a_coroutine_tells_lines_and_what_is_no_text_is_made_one(at_work: WorkerBench) -> None:
    at_work.worker()
    task_id = at_work.enqueue("async_tells", "x")
    lines = list(at_work.client.log(task_id, follow=True))
    assert [(line.level, line.text) for line in lines] == [
        ("debug", "begun"),
        ("error", "x\ufffd and \ufffd"),
    ]


def test_the_standard_error_of_a_program_is_its_tasks_log(at_work: WorkerBench) -> None:
    at_work.program("#!/bin/sh\necho one >&2; echo '\"ok\"'; printf 'two\\r\\n\\nlast' >&2\n")
    task_id = at_work.client.enqueue("any", 1, queue=at_work.queue).id
    assert at_work.client.result(task_id, timeout_s=30) == "ok"
    assert texts_of(at_work.client, task_id) == ["one", "two", "last"]


def test_no_logs_keeps_standard_error_back_but_in_errors(at_work: WorkerBench) -> None:
    at_work.program("#!/bin/sh\necho secret >&2; exit 100\n", "--no-logs")
    task = at_work.ended(at_work.client.enqueue("any", 1, queue=at_work.queue).id)
    assert texts_of(at_work.client, task.id) == []
    assert task.errors[0].message == "exit code 100: secret"


def test_lines_wait_for_a_node_that_is_away(at_own_work: WorkerBench) -> None:
    at_own_work.worker()
    task_id = at_own_work.enqueue("tells", "t")
    eventually(lambda: texts_of(at_own_work.client, task_id) == ["begun"])
    at_own_work.node.stop()
    at_own_work.release("t")
    at_own_work.node.restart()
    assert at_own_work.ended(task_id, within_s=60).state == "succeeded"
    page = at_own_work.client.log_page(task_id)
    assert page.lines[-1].text == f"line {LINES - 1}"
    assert page.dropped + len(page.lines) == LINES + 1


def test_a_client_that_waits_gets_the_result_within_bounds_and_through_a_restart(tmp_path: Path) -> None:
    with running_node(tmp_path) as node, tq.Client(node.url) as client:
        task = client.enqueue("k", queue="q")
        (held,) = client.claim("w", queues=["q"], lease_s=300)
        got: list[tuple[float, object]] = []
        failed: list[BaseException] = []

        def wait() -> None:
            try:
                with tq.Client(node.url) as own:
                    result = own.result(task.id, timeout_s=120)
                    got.append((time.monotonic(), result))
            except BaseException as error:  # what a thread raises, nobody would see
                failed.append(error)

        waiting = [threading.Thread(target=wait) for _ in range(20)]
        for thread in waiting:
            thread.start()
        for stop in (node.stop, node.kill):
            eventually(lambda: waiting_reads(client) == 20, within_s=30, ignoring=(tq.TqError,))
            stop()
            node.restart()
        eventually(lambda: waiting_reads(client) == 20, within_s=30, ignoring=(tq.TqError,))
        client.complete(held.id, held.token, result={"n": 7})
        completed_at = time.monotonic()
        for thread in waiting:
            thread.join(30)
        assert failed == []
        assert [result for _, result in got] == [{"n": 7}] * 20
        assert max(at for at, _ in got) - completed_at < 5
        assert waiting_reads(client) == 0


def waiting_reads(client: tq.Client) -> float:
    text = httpx.get(f"{client.url}/metrics", timeout=10).raise_for_status().text
    (value,) = [line.split()[1] for line in text.splitlines() if line.startswith("tq_waiting_reads ")]
    return float(value)


@dataclass
class Teller:
    """Tells one task's lines, a few at a time, until told to stop, whatever becomes of the node meanwhile."""

    url: str
    task: tq.wire.ClaimedTask
    stop: threading.Event
    acknowledged: int = 0
    tried: int = 0

    def has_told(self, count: int) -> bool:
        """Whether more than ``count`` lines were acknowledged."""
        return self.acknowledged > count

    def run(self) -> None:
        chance = random.Random(SEED)
        with tq.Client(self.url, timeout_s=5, retries=0) as client:
            while not self.stop.is_set():
                self.tried = max(self.tried, self.acknowledged + chance.randint(1, 5))
                lines = [f"line {number}" for number in range(self.acknowledged, self.tried)]
                try:
                    client.append_lines(self.task.id, self.task.token, lines, first=self.acknowledged)
                except tq.TqError:
                    self.stop.wait(0.02)
                else:
                    self.acknowledged = self.tried


@pytest.mark.timeout(300)  # several starts on a loaded machine
def test_lines_that_were_acknowledged_survive_kills_each_once(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    flags = ("--log-lines-max", "100000", "--page-max", "10000", "--log-level", "warning")
    with running_node(tmp_path, *flags) as node, tq.Client(node.url, timeout_s=60) as client:
        client.enqueue("k", queue="q")
        (task,) = client.claim("w", queues=["q"], lease_s=3_000)
        teller = Teller(node.url, task, threading.Event())
        thread = threading.Thread(target=teller.run)
        thread.start()
        for _ in range(KILLS):
            before = teller.acknowledged
            eventually(partial(teller.has_told, before + 20), within_s=60)
            teller.stop.wait(chance.choice([0.0, 0.01, 0.1]))
            node.kill()
            node.restart()
        eventually(partial(teller.has_told, teller.acknowledged), within_s=60)
        teller.stop.set()
        thread.join(30)
        texts = texts_of(client, task.id)
        assert texts == [f"line {number}" for number in range(len(texts))]
        assert teller.acknowledged <= len(texts) <= teller.tried
        assert teller.acknowledged > 20 * KILLS
