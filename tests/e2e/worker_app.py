"""Handlers for the end-to-end tests of the worker. They talk with the tests through files."""

import asyncio
import logging
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import tq

app = tq.App()
FOLDER = Path(os.environ.get("TQ_TEST_FOLDER", "/nonexistent"))
_pause = threading.Event()
logging.getLogger("tests.worker_app").addHandler(tq.TaskLogHandler())


def mark(name: str, text: str = "") -> None:
    """Leaves a file for the test to find, whole or not at all."""
    begun = FOLDER / f".{name}.{threading.get_ident()}.{os.getpid()}"
    begun.write_text(text)
    begun.rename(FOLDER / name)


@app.task
def add(one: int, other: int) -> int:
    return one + other


@app.task
def add_inputs() -> int:
    """The sum of what the tasks before it came to."""
    return sum(tq.value(one.result, int) for one in tq.current_task().inputs)


@app.task
def until_released(name: str) -> str:
    """Runs until the test makes the file ``name.go``."""
    mark(f"{name}.begun", str(os.getpid()))
    while not (FOLDER / f"{name}.go").exists():
        _pause.wait(0.01)
    return name


@app.task
def until_cancelled(name: str) -> str:
    """Runs until told to stop."""
    mark(f"{name}.begun", str(os.getpid()))
    while not tq.current_task().cancelled:
        _pause.wait(0.01)
    mark(f"{name}.told")
    raise tq.Cancelled("as asked")


@app.task
def deaf(name: str, seconds: float) -> str:
    """Takes its time whatever it is told."""
    mark(f"{name}.begun", str(os.getpid()))
    _pause.wait(seconds)
    mark(f"{name}.done")
    return name


@app.task
async def async_until_cancelled(name: str) -> str:
    mark(f"{name}.begun")
    try:
        await asyncio.Event().wait()
    finally:
        mark(f"{name}.told", tq.current_task().id)
    return name


@app.task
async def async_add(one: int, other: int) -> int:
    await asyncio.sleep(0)
    return one + other


@app.task
def spin(seconds: float) -> int:
    """Keeps one thread busy in pure Python."""
    until = time.monotonic() + seconds
    turns = 0
    while time.monotonic() < until:
        turns += 1
    return turns


@app.task
def process_id() -> int:
    return os.getpid()


@app.task
def with_child(name: str) -> None:
    """Starts a program, says which, and waits for it."""
    program = subprocess.Popen(["sleep", "600"])
    mark(f"{name}.begun", f"{os.getpid()} {program.pid}")
    try:
        program.wait()
    finally:
        mark(f"{name}.told")


@app.task
def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@app.task
def progress(name: str) -> str:
    tq.current_task().progress({"percent": 40})
    mark(f"{name}.begun")
    while not (FOLDER / f"{name}.go").exists():
        _pause.wait(0.01)
    return name


@app.task
def tells(name: str) -> int:
    """Tells a line, waits until it is told to go on, tells many more, some of them through a logger."""
    tq.current_task().log("begun", "debug")
    tq.current_task().progress(0.4, "waiting")
    while not (FOLDER / f"{name}.go").exists():
        _pause.wait(0.01)
    logger = logging.getLogger("tests.worker_app")
    for number in range(1_500):
        logger.warning("line %d", number)
    return 1


@app.task
async def async_tells(name: str) -> int:
    """As :func:`tells`, in one go."""
    tq.current_task().log("begun", "debug")
    logging.getLogger("tests.worker_app").error("%s\x00 and \ud800", name)
    return 1


@app.task
def fail(message: str) -> None:
    """Fails with characters that no node takes."""
    raise ValueError(f"{message} \0 \ud800")


@app.task
def snooze_once() -> str:
    if not (FOLDER / "snoozed").exists():
        mark("snoozed")
        raise tq.Snooze(0.0)
    return "awake"


@app.task
def retry_later() -> None:
    raise tq.RetryLater(3600, "not now")


@app.task
def reject() -> None:
    raise tq.Reject("never")


@app.task
def no_json() -> object:
    return object()


@app.task
def large(size: int) -> str:
    return "x" * size


def name_two() -> None:
    """Names two sums that follow, in the queue of the task that runs."""
    current = tq.current_task()
    sum_here = add.options(queue=current.task.queue)
    current.then(sum_here, 1, 2)
    current.then(sum_here.options(priority=255).new_task(3, 4))


@app.task
def followed() -> str:
    name_two()
    return "first"


@app.task
async def async_followed() -> None:
    name_two()
    await asyncio.sleep(0)


@app.task
def followed_once() -> None:
    """Fails the first time, after it has named what follows."""
    name_two()
    if tq.current_task().attempt == 1:
        raise tq.RetryLater(0.0, "once more")


@app.task
def split(parts: int) -> int:
    """Adds as many more tasks to its own batch."""
    current = tq.current_task()
    assert current.batch is not None
    sum_here = add.options(queue=current.task.queue)
    with tq.Client() as client:
        return len(client.add_to_batch(current.batch, [sum_here.new_task(part, 1) for part in range(parts)]))


@app.task
def tell_batch() -> object:
    """What a callback's meta says of its batch."""
    return tq.value(tq.current_task().task.meta)["batch"]
