"""How ``tq worker`` goes, is steered, and lives through a node that is away."""

import http.server
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from tests.e2e.worker_bench import WorkerBench, gone
from tests.e2e.worker_process import APP
from tests.waiting import eventually


def test_sigterm_lets_running_tasks_finish(at_work: WorkerBench) -> None:
    worker = at_work.worker("-c", "1")
    running = at_work.enqueue("until_released", "r")
    at_work.mark("r.begun")
    worker.signal(signal.SIGTERM)
    eventually(lambda: worker.said("no more claims"))
    later = at_work.enqueue("add", 1, 1)
    at_work.release("r")
    assert worker.wait() == 0
    assert at_work.task(running).state == "succeeded"
    assert at_work.task(later).state == "ready"
    assert worker.said("gone")
    assert all(row.pid != worker.process.pid for row in at_work.client.workers())


def test_idle_worker_goes_at_once(at_work: WorkerBench) -> None:
    worker = at_work.worker()
    worker.signal(signal.SIGINT)
    assert worker.wait(within_s=3) == 0


def test_prefetched_tasks_go_back_at_once_without_an_attempt(at_work: WorkerBench) -> None:
    worker = at_work.worker("-c", "1", "--prefetch", "3")
    running = at_work.enqueue("until_released", "r", priority=200)
    at_work.mark("r.begun")
    waiting = [at_work.enqueue("add", 1, number) for number in range(3)]
    for task_id in waiting:
        at_work.in_state(task_id, "running")
    worker.signal(signal.SIGTERM)
    for task_id in waiting:
        assert at_work.in_state(task_id, "ready").attempt == 0
    assert at_work.task(running).state == "running"
    at_work.release("r")
    assert worker.wait() == 0
    assert at_work.task(running).state == "succeeded"


def test_thread_that_outlasts_the_grace_gives_its_task_back(at_work: WorkerBench) -> None:
    worker = at_work.worker("--grace", "200ms")
    deaf = at_work.enqueue("deaf", "d", 60.0)
    at_work.mark("d.begun")
    worker.signal(signal.SIGTERM)
    assert worker.wait(within_s=8) == 0
    task = at_work.task(deaf)
    assert (task.state, task.attempt, task.errors) == ("ready", 0, [])


def test_handler_told_at_the_end_of_the_grace_burns_no_attempt(at_work: WorkerBench) -> None:
    worker = at_work.worker("--grace", "200ms", "-c", "2")
    ids = [at_work.enqueue("until_cancelled", "t"), at_work.enqueue("async_until_cancelled", "a")]
    at_work.mark("t.begun")
    at_work.mark("a.begun")
    worker.signal(signal.SIGTERM)
    assert worker.wait(within_s=8) == 0
    at_work.mark("t.told", within_s=1)
    at_work.mark("a.told", within_s=1)
    for task_id in ids:
        task = at_work.task(task_id)
        assert (task.state, task.attempt, task.errors) == ("ready", 0, [])


def test_process_is_ended_before_its_task_goes_back(at_work: WorkerBench) -> None:
    worker = at_work.worker("--processes", "--grace", "200ms", "--kill-after", "500ms", "-c", "1")
    task_id = at_work.enqueue("with_child", "w")
    handler, program = map(int, at_work.mark("w.begun").split())
    worker.signal(signal.SIGTERM)
    task = at_work.in_state(task_id, "ready")
    assert gone(handler)
    assert (task.attempt, task.errors) == (0, [])
    assert worker.wait() == 0
    eventually(lambda: gone(program))


def test_second_signal_does_not_wait_for_the_grace(at_work: WorkerBench) -> None:
    worker = at_work.worker("--grace", "1h")
    task_id = at_work.enqueue("deaf", "d", 60.0)
    at_work.mark("d.begun")
    worker.signal(signal.SIGTERM)
    eventually(lambda: worker.said("no more claims"))
    worker.signal(signal.SIGTERM)
    assert worker.wait(within_s=8) == 0
    assert at_work.task(task_id).state == "ready"


def test_quiet_worker_finishes_and_claims_no_more_until_it_may(at_own_work: WorkerBench) -> None:
    worker = at_own_work.worker("-c", "2")
    running = at_own_work.enqueue("until_released", "r", lease_s=0.6)
    at_own_work.mark("r.begun")
    (row,) = at_own_work.client.workers()
    at_own_work.client.steer_worker(row.id, "quiet")
    eventually(lambda: worker.said("state=quiet"))
    later = at_own_work.enqueue("add", 1, 1)
    at_own_work.release("r")
    assert at_own_work.ended(running).state == "succeeded"
    assert at_own_work.task(later).state == "ready"
    at_own_work.client.steer_worker(row.id, "run")
    # An idle worker hears of it with its next heartbeat.
    assert at_own_work.ended(later, within_s=25).state == "succeeded"


def test_terminated_worker_drains_and_ends_well(at_work: WorkerBench) -> None:
    worker = at_work.worker("-c", "2")
    running = at_work.enqueue("until_released", "r", lease_s=0.6)
    at_work.mark("r.begun")
    (row,) = [row for row in at_work.client.workers() if row.pid == worker.process.pid]
    at_work.client.steer_worker(row.id, "terminate")
    eventually(lambda: worker.said("no more claims"))
    at_work.release("r")
    assert worker.wait() == 0
    assert at_work.task(running).state == "succeeded"


def test_result_outlives_a_node_that_is_away(at_own_work: WorkerBench) -> None:
    worker = at_own_work.worker()
    task_id = at_own_work.enqueue("until_released", "r")
    at_own_work.mark("r.begun")
    at_own_work.node.kill()
    at_own_work.release("r")
    eventually(lambda: worker.said("outcomes are kept"))
    at_own_work.node.restart()
    task = at_own_work.ended(task_id)
    assert (task.state, task.attempt, at_own_work.value(task)) == ("succeeded", 1, "r")
    after = at_own_work.ended(at_own_work.enqueue("add", 1, 1))
    assert after.state == "succeeded"


def test_result_outlives_a_node_that_is_away_while_the_worker_goes(at_own_work: WorkerBench) -> None:
    worker = at_own_work.worker()
    task_id = at_own_work.enqueue("until_released", "r")
    at_own_work.mark("r.begun")
    at_own_work.node.kill()
    worker.signal(signal.SIGTERM)
    at_own_work.release("r")
    eventually(lambda: worker.said("outcomes are kept"))
    at_own_work.node.restart()
    assert worker.wait() == 0
    assert at_own_work.task(task_id).state == "succeeded"


def test_second_signal_does_not_wait_for_a_node_that_is_away(
    at_own_work: WorkerBench,
) -> None:
    worker = at_own_work.worker("--grace", "1h")
    at_own_work.enqueue("until_released", "r")
    at_own_work.mark("r.begun")
    at_own_work.node.kill()
    worker.signal(signal.SIGTERM)
    at_own_work.release("r")
    eventually(lambda: worker.said("outcomes are kept"))
    worker.signal(signal.SIGTERM)
    assert worker.wait(within_s=10) == 0
    assert worker.said("outcome not reported")


def test_worker_goes_although_its_node_stands_still(at_own_work: WorkerBench) -> None:
    worker = at_own_work.worker()
    at_own_work.node.signal(signal.SIGSTOP)
    worker.signal(signal.SIGTERM)
    assert worker.wait(within_s=25) == 0
    at_own_work.node.signal(signal.SIGCONT)


def test_worker_that_the_node_forgot_registers_again(at_own_work: WorkerBench) -> None:
    worker = at_own_work.worker("-c", "2")
    running = at_own_work.enqueue("until_released", "r", lease_s=0.6)
    at_own_work.mark("r.begun")
    (before,) = at_own_work.client.workers()
    at_own_work.client.remove_worker(before.id)
    eventually(lambda: worker.said("does not know this worker"))
    (now,) = eventually(at_own_work.client.workers)
    assert now.id != before.id
    at_own_work.release("r")
    assert at_own_work.ended(running).attempt == 1
    assert at_own_work.ended(at_own_work.enqueue("add", 1, 1)).state == "succeeded"


def test_worker_waits_for_a_node_that_is_not_there_yet(at_own_work: WorkerBench) -> None:
    at_own_work.node.kill()
    worker = at_own_work.worker(claims=False)
    eventually(lambda: worker.said("waiting for the node"))
    at_own_work.node.restart()
    assert at_own_work.ended(at_own_work.enqueue("add", 1, 1)).state == "succeeded"


def test_worker_told_to_go_while_it_waits_for_a_node_goes(at_own_work: WorkerBench) -> None:
    at_own_work.node.kill()
    worker = at_own_work.worker(claims=False)
    eventually(lambda: worker.said("waiting for the node"))
    worker.signal(signal.SIGTERM)
    assert worker.wait(within_s=8) == 0


class _NoEntry(http.server.BaseHTTPRequestHandler):
    """A node that lets nobody in."""

    def do_POST(self) -> None:
        body = (
            b'{"type":"/docs/api#unauthorized","title":"Unauthorized","status":401,'
            b'"code":"unauthorized","detail":"this token is not known"}'
        )
        self.send_response(401)
        self.send_header("content-type", "application/problem+json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def test_worker_that_is_not_let_in_ends_and_says_why(tmp_path: Path) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _NoEntry) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        ran = subprocess.run(
            [sys.executable, "-m", "tq", "worker", "--app", APP],
            capture_output=True,
            text=True,
            timeout=30,
            env=os.environ | {"TQ_URL": f"http://127.0.0.1:{server.server_port}"},
        )
        server.shutdown()
        serving.join()
    assert ran.returncode == 1
    assert "this token is not known" in ran.stderr
