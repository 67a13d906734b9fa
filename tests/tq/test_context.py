"""What a handler can ask and raise."""

import contextvars
import pickle
from typing import Any

import msgspec
import pytest

import tq
from tq.context import enter
from tq.wire import ClaimedTask

TASK = msgspec.convert(
    {
        "id": "018f0000-0000-7000-8000-000000000001",
        "token": "t",
        "queue": "q",
        "kind": "k",
        "payload": msgspec.Raw(b"{}"),
        "priority": 128,
        "attempt": 2,
        "max_attempts": 10,
        "lease_s": 30.0,
        "lease_expires_at": "2026-01-01T00:00:30.000Z",
        "created_at": "2026-01-01T00:00:00.000Z",
        "run_at": "2026-01-01T00:00:00.000Z",
    },
    ClaimedTask,
)


def test_outside_a_handler_there_is_no_current_task() -> None:
    with pytest.raises(RuntimeError, match="inside a task"):
        contextvars.Context().run(tq.current_task)


def test_a_handler_sees_its_task_and_only_within_its_context() -> None:
    told: list[Any] = []
    stop = [False]

    def handler() -> None:
        enter(tq.TaskContext(TASK, told.append, lambda: stop[0]))
        current = tq.current_task()
        assert (current.id, current.attempt, current.task) == (TASK.id, 2, TASK)
        current.progress({"done": 1})
        assert not current.cancelled
        stop[0] = True
        assert current.cancelled

    contextvars.copy_context().run(handler)
    assert told == [{"done": 1}]
    with pytest.raises(RuntimeError):
        tq.current_task()


@pytest.mark.parametrize(
    ("order", "words", "delay_s"),
    [
        (tq.Snooze(5), "snooze for 5 s", 5),
        (tq.Snooze(), "snooze for 0 s", 0),
        (tq.RetryLater(2.5), "asked to be tried again later", 2.5),
        (tq.RetryLater(message="no network"), "no network", None),
        (tq.Reject("bad address"), "bad address", None),
        (tq.Cancelled(), "", None),
    ],
)
def test_an_order_to_the_worker_survives_its_way_out_of_a_child_process(
    order: Exception, words: str, delay_s: float | None
) -> None:
    copy = pickle.loads(pickle.dumps(order))
    assert type(copy) is type(order)
    assert str(copy) == str(order) == words
    assert getattr(copy, "delay_s", None) == delay_s
