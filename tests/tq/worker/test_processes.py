import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec import Raw

from tests.tq.worker.claims import attempt
from tests.waiting import eventually
from tq.clock import SystemClock
from tq.wire import CompleteOutcome, FailOutcome, Outcome, SnoozeOutcome
from tq.worker.attempt import Stop
from tq.worker.guard import Guard
from tq.worker.processes import ProcessExecutor

APP = """
import os, signal, sys, time
import tq

app = tq.App()

@app.task
def pid():
    return os.getpid()

@app.task
def told(file):
    try:
        time.sleep(600)
    finally:
        with open(file, "w") as marks:
            marks.write(str(tq.current_task().cancelled))

@app.task
def done_in_spite(file):
    try:
        open(file, "w").close()
        time.sleep(600)
    except BaseException:
        return "done"
"""
Make = Callable[[str], ProcessExecutor]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes executors for a module in the test's folder."""
    (tmp_path / "processes_app.py").write_text(APP)
    guard = Guard()
    made: list[ProcessExecutor] = []

    def executor(target: str) -> ProcessExecutor:
        made.append(
            ProcessExecutor(
                target,
                clock=SystemClock(),
                environment=os.environ | {"PYTHONPATH": str(tmp_path)},
                kill_after_s=5.0,
                guard=guard,
            )
        )
        return made[-1]

    yield executor
    for one in made:
        one.close()
    guard.close()


def value(outcome: Outcome) -> bytes:
    assert isinstance(outcome, CompleteOutcome), outcome
    assert isinstance(outcome.result, Raw)
    return bytes(outcome.result)


def test_slot_keeps_its_process_from_task_to_task(make: Make) -> None:
    executor = make("processes_app:app")
    task = attempt(1, kind="pid", payload=Raw(b"{}"))
    assert value(executor.run(task)) == value(executor.run(task)) != str(os.getpid()).encode()


def test_process_that_ended_between_tasks_is_replaced(make: Make) -> None:
    executor = make("processes_app:app")
    task = attempt(1, kind="pid", payload=Raw(b"{}"))
    first = int(value(executor.run(task)))
    os.kill(first, signal.SIGKILL)
    (process,) = executor._all
    eventually(lambda: not process.alive())
    assert int(value(executor.run(task))) != first


@pytest.mark.parametrize("target", ["no_such_module_at_all", "processes_app:nothing"])
def test_app_that_a_process_cannot_load_gives_the_task_back(
    make: Make, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = make(target).run(attempt(1, kind="pid", payload=Raw(b"{}")))
    assert isinstance(outcome, SnoozeOutcome)
    assert outcome.delay_s == 5
    (told,) = caplog.records
    assert "could not be loaded" in vars(told)["tq_facts"]["error"]


def test_handler_that_is_ended_may_clean_up_and_knows_why(make: Make, tmp_path: Path) -> None:
    executor, file = make("processes_app:app"), tmp_path / "marks"
    one = attempt(1, kind="told", payload=Raw(b'{"args": ["%s"]}' % bytes(file)))
    one.ask_to_stop(Stop.CANCEL)
    outcome = executor.run(one)
    # It was to stop before it began, or just after.
    assert isinstance(outcome, FailOutcome)
    assert outcome.error is not None
    assert outcome.error.type in ("Cancelled", "ProcessDied")


def test_result_of_a_handler_that_finishes_in_spite_of_all_counts(make: Make, tmp_path: Path) -> None:
    executor, file = make("processes_app:app"), tmp_path / "begun"
    one = attempt(1, kind="done_in_spite", payload=Raw(b'{"args": ["%s"]}' % bytes(file)))
    outcomes: list[Outcome] = []
    slot = threading.Thread(target=lambda: outcomes.append(executor.run(one)))
    slot.start()
    eventually(file.exists)
    one.ask_to_stop(Stop.CANCEL)
    executor.stop(one)
    slot.join(10)
    assert value(outcomes[0]) == b'"done"'
    assert executor._all == set(), "a process that was told to stop is not used again"
