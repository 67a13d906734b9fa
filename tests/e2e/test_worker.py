"""``tq worker --app`` against a real node: what handlers do, and what is done to them."""

import os
import signal
import subprocess
import sys

import pytest

import tq
from tests.e2e.worker_bench import WorkerBench, gone
from tests.waiting import eventually


def test_function_gets_its_arguments_and_its_value_is_the_result(at_work: WorkerBench) -> None:
    at_work.worker()
    task = at_work.ended(at_work.enqueue("add", 2, 3))
    assert (task.state, at_work.value(task), task.attempt) == ("succeeded", 5, 1)


@pytest.mark.parametrize("flags", [(), ("--processes",)])
def test_handler_gets_what_the_tasks_before_it_came_to(at_work: WorkerBench, flags: tuple[str, ...]) -> None:
    at_work.worker(*flags)
    parents = [at_work.enqueue("add", 1, 2), at_work.enqueue("add", 3, 4)]
    task = at_work.ended(at_work.enqueue("add_inputs", after=parents))
    assert (task.state, at_work.value(task)) == ("succeeded", 10)


def test_async_function_runs_beside_sync_ones(at_work: WorkerBench) -> None:
    at_work.worker("-c", "2")
    ids = [at_work.enqueue(kind, 20, 22) for kind in ("async_add", "add", "async_add")]
    assert [at_work.value(at_work.ended(task_id)) for task_id in ids] == [42, 42, 42]


def test_exception_is_told_with_type_message_and_trace(at_work: WorkerBench) -> None:
    at_work.worker()
    task = at_work.ended(at_work.enqueue("fail", "no such thing", max_attempts=1))
    assert task.state == "dead"
    (error,) = task.errors
    assert (error.type, error.message) == ("ValueError", "no such thing \ufffd \ufffd")
    assert "raise ValueError(" in error.trace


def test_payload_that_does_not_fit_the_function_says_so(at_work: WorkerBench) -> None:
    at_work.worker()
    task = at_work.ended(at_work.enqueue("add", 1, max_attempts=1))
    assert task.state == "dead"
    assert "missing a required argument: 'other'" in task.errors[0].message


def test_snooze_burns_no_attempt(at_work: WorkerBench) -> None:
    at_work.worker()
    task = at_work.ended(at_work.enqueue("snooze_once"))
    assert (task.state, at_work.value(task), task.attempt) == ("succeeded", "awake", 1)


def test_retry_later_waits_as_long_as_it_says(at_work: WorkerBench) -> None:
    at_work.worker()
    task = at_work.in_state(at_work.enqueue("retry_later"), "scheduled")
    assert (task.attempt, task.errors[0].type, task.errors[0].message) == (1, "RetryLater", "not now")
    assert task.run_at > task.created_at


def test_reject_fails_for_good(at_work: WorkerBench) -> None:
    at_work.worker()
    task = at_work.ended(at_work.enqueue("reject"))
    assert (task.state, task.reason, task.attempt) == ("dead", "failed_for_good", 1)


def test_value_that_json_cannot_hold_fails_for_good(at_work: WorkerBench) -> None:
    at_work.worker()
    task = at_work.ended(at_work.enqueue("no_json"))
    assert (task.state, task.errors[0].type) == ("dead", "UnserialisableResult")
    assert "object" in task.errors[0].message


def test_result_over_the_limit_fails_and_leaves_its_neighbours_alone(at_work: WorkerBench) -> None:
    ids = [at_work.enqueue("add", 1, number) for number in range(20)]
    too_large = at_work.enqueue("large", 3_000_000)
    ids += [at_work.enqueue("add", 1, number) for number in range(20, 40)]
    at_work.worker("-c", "40", "--prefetch", "10")
    task = at_work.ended(too_large)
    assert (task.state, task.errors[0].type, task.attempt) == ("dead", "OutcomeRefused", 1)
    assert [at_work.value(at_work.ended(task_id)) for task_id in ids] == [1 + number for number in range(40)]


def test_progress_is_seen_while_the_task_runs(at_work: WorkerBench) -> None:
    at_work.worker()
    task_id = at_work.enqueue("progress", "p", lease_s=0.6)
    at_work.mark("p.begun")
    eventually(lambda: tq.value(at_work.task(task_id).progress) == {"percent": 40})
    at_work.release("p")
    assert at_work.ended(task_id).state == "succeeded"


def test_cancel_is_seen_by_a_function_in_a_thread(at_work: WorkerBench) -> None:
    at_work.worker()
    task_id = at_work.enqueue("until_cancelled", "c", lease_s=0.6)
    at_work.mark("c.begun")
    at_work.client.cancel(task_id)
    at_work.mark("c.told")
    assert at_work.ended(task_id).state == "cancelled"


def test_cancel_breaks_off_an_async_function(at_work: WorkerBench) -> None:
    at_work.worker()
    task_id = at_work.enqueue("async_until_cancelled", "c", lease_s=0.6)
    at_work.mark("c.begun")
    at_work.client.cancel(task_id)
    assert at_work.mark("c.told") == task_id
    assert at_work.ended(task_id).state == "cancelled"


def test_cancelled_task_that_waits_in_the_worker_never_begins(at_work: WorkerBench) -> None:
    at_work.worker("-c", "1", "--prefetch", "1")
    running = at_work.enqueue("until_released", "r", lease_s=0.6)
    at_work.mark("r.begun")
    waiting = at_work.enqueue("until_released", "never", lease_s=0.6)
    at_work.in_state(waiting, "running")
    at_work.client.cancel(waiting)
    assert at_work.ended(waiting).state == "cancelled"
    at_work.release("r")
    assert at_work.ended(running).state == "succeeded"
    assert at_work.ended(at_work.enqueue("add", 1, 1)).state == "succeeded"
    assert not (at_work.folder / "never.begun").exists()


def test_work_that_is_done_in_spite_of_a_cancel_stays_done(at_work: WorkerBench) -> None:
    worker = at_work.worker()
    task_id = at_work.enqueue("until_released", "w", lease_s=0.6)
    at_work.mark("w.begun")
    at_work.client.cancel(task_id)
    eventually(lambda: worker.said("why=cancel"))
    at_work.release("w")
    assert at_work.ended(task_id).state == "succeeded"


def test_thread_past_its_time_is_reported_and_keeps_its_slot(at_work: WorkerBench) -> None:
    worker = at_work.worker("-c", "1")
    late = at_work.enqueue("deaf", "d", 1.5, timeout_s=0.3, max_attempts=1)
    at_work.mark("d.begun")
    task = at_work.ended(late, within_s=5)
    assert (task.state, task.errors[0].type) == ("dead", "Timeout")
    assert not (at_work.folder / "d.done").exists()
    after = at_work.ended(at_work.enqueue("add", 1, 1))
    assert after.state == "succeeded"
    assert (at_work.folder / "d.done").exists(), "the slot was used twice at once"
    assert worker.said("handler goes on and keeps its slot")
    assert at_work.task(late).state == "dead", "what the late thread returned was counted"


def test_async_function_past_its_time_is_broken_off(at_work: WorkerBench) -> None:
    at_work.worker("-c", "1")
    task = at_work.ended(at_work.enqueue("async_until_cancelled", "a", timeout_s=0.3, max_attempts=1))
    assert (task.state, task.errors[0].type) == ("dead", "Timeout")
    assert at_work.mark("a.told") == task.id


def test_busy_handlers_do_not_hold_up_the_heartbeat(at_work: WorkerBench) -> None:
    at_work.worker("-c", "3")
    ids = [at_work.enqueue("spin", 4.0, lease_s=1.0) for _ in range(3)]
    tasks = [at_work.ended(task_id, within_s=30) for task_id in ids]
    assert [(task.state, task.attempt, task.crashes) for task in tasks] == [("succeeded", 1, 0)] * 3


def test_processes_run_functions_elsewhere_and_serve_many_tasks(at_work: WorkerBench) -> None:
    worker = at_work.worker("--processes", "-c", "2")
    ids = [at_work.enqueue("process_id") for _ in range(20)]
    pids = {at_work.value(at_work.ended(task_id)) for task_id in ids}
    assert worker.process.pid not in pids
    assert 1 <= len(pids) <= 2


def test_cancel_ends_a_handler_process_and_what_it_started(at_work: WorkerBench) -> None:
    at_work.worker("--processes", "-c", "1")
    task_id = at_work.enqueue("with_child", "w", lease_s=0.6)
    handler, program = map(int, at_work.mark("w.begun").split())
    at_work.client.cancel(task_id)
    assert at_work.ended(task_id).state == "cancelled"
    at_work.mark("w.told", within_s=1)
    assert gone(handler)
    eventually(lambda: gone(program))
    assert at_work.ended(at_work.enqueue("add", 1, 1)).state == "succeeded"


def test_process_that_ignores_the_clock_is_ended_at_its_timeout(at_work: WorkerBench) -> None:
    at_work.worker("--processes", "-c", "1", "--kill-after", "300ms")
    # By then its process is up: starting one may take longer than the task's time.
    at_work.ended(at_work.enqueue("add", 1, 1))
    task = at_work.ended(at_work.enqueue("deaf", "d", 60.0, timeout_s=0.4, max_attempts=1))
    assert (task.state, task.errors[0].type) == ("dead", "Timeout")
    assert gone(int(at_work.mark("d.begun")))


def test_process_that_dies_fails_its_task_alone(at_work: WorkerBench) -> None:
    at_work.worker("--processes", "-c", "1")
    task = at_work.ended(at_work.enqueue("die", max_attempts=1))
    assert (task.state, task.errors[0].type) == ("dead", "ProcessDied")
    assert "signal 9" in task.errors[0].message
    assert at_work.ended(at_work.enqueue("add", 1, 1)).state == "succeeded"


def test_progress_of_a_process_is_seen(at_work: WorkerBench) -> None:
    at_work.worker("--processes", "-c", "1")
    task_id = at_work.enqueue("progress", "p", lease_s=0.6)
    at_work.mark("p.begun")
    eventually(lambda: tq.value(at_work.task(task_id).progress) == {"percent": 40})
    at_work.release("p")
    assert at_work.ended(task_id).state == "succeeded"


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ((), "either --app"),
        (("--app", "no_such_module"), "no_such_module"),
        (("--app", "tests.e2e.worker_app:nothing"), "nothing"),
        (("--app", "json"), "holds no tasks"),
        (("--exec", "./no-such-program"), "no such program"),
        (("--app", "tests.e2e.worker_app", "--kind", "unknown_kind"), "unknown_kind"),
        (("--exec", "true", "--processes"), "--processes"),
        (("--app", "tests.e2e.worker_app", "--env", "HOME"), "--exec"),
    ],
)
def test_wrong_command_line_ends_at_once_and_says_why(flags: tuple[str, ...], told: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tq", "worker", *flags],
        capture_output=True,
        text=True,
        timeout=30,
        env=os.environ | {"TQ_URL": "http://127.0.0.1:9"},
    )
    assert ran.returncode == 2
    assert told in ran.stderr


def test_killed_worker_loses_its_task_to_another_at_the_end_of_the_lease(at_work: WorkerBench) -> None:
    first = at_work.worker()
    task_id = at_work.enqueue("until_released", "k", lease_s=1.0)
    at_work.mark("k.begun")
    first.signal(signal.SIGKILL)
    first.wait()
    at_work.release("k")
    at_work.worker()
    task = at_work.ended(task_id)
    assert (task.state, task.attempt) == ("succeeded", 2)


def test_paused_worker_learns_that_its_lease_is_lost(at_work: WorkerBench) -> None:
    first = at_work.worker()
    task_id = at_work.enqueue("until_cancelled", "l", lease_s=1.0)
    at_work.mark("l.begun")
    first.signal(signal.SIGSTOP)
    at_work.in_state(task_id, "ready")
    first.signal(signal.SIGCONT)
    at_work.mark("l.told")
    eventually(lambda: first.said("the outcome is dropped"))
    assert first.said("why=lost")
    assert all(error.type != "Cancelled" for error in at_work.task(task_id).errors)


@pytest.mark.parametrize(
    ("kind", "flags"),
    [("followed", ()), ("followed", ("--processes",)), ("async_followed", ()), ("followed_once", ())],
)
def test_what_a_handler_names_is_enqueued_once_when_its_task_succeeds(
    at_work: WorkerBench, kind: str, flags: tuple[str, ...]
) -> None:
    at_work.worker("-c", "1", *flags)
    assert at_work.ended(at_work.enqueue(kind)).state == "succeeded"
    sums = {
        tq.value(at_work.ended(row.id).result): row.priority
        for row in at_work.client.list(queue=at_work.queue, kind="add")
    }
    assert sums == {3: 128, 7: 255}
    assert len(list(at_work.client.list(queue=at_work.queue))) == 3
