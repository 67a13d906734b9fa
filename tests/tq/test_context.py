"""What a handler can ask and raise."""

import contextvars
import pickle
from typing import Any

import msgspec
import pytest

import tq
from tq import wire
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


@tq.task(queue="images", priority=200)
def shrink(path: str, *, width: int = 100) -> None:
    """Named by handlers below."""


def context() -> tq.TaskContext:
    return tq.TaskContext(TASK, print, lambda: False)


def test_a_handler_names_the_tasks_that_follow_it() -> None:
    current = context()
    current.then(shrink, "a.png", width=50)
    current.then(shrink.options(priority=1).new_task("b.png"))
    current.then(tq.new_task("mail", {"to": "ada@example.org"}, queue="mail"))
    first, second, third = current.end()
    assert (first.kind, first.queue, first.priority) == ("shrink", "images", 200)
    assert tq.value(first.payload) == {"args": ["a.png"], "kwargs": {"width": 50}}
    assert (second.priority, tq.value(second.payload)) == (1, {"args": ["b.png"], "kwargs": {}})
    assert (third.kind, third.queue) == ("mail", "mail")


def test_what_cannot_follow_is_refused_where_it_is_named() -> None:
    current = context()
    with pytest.raises(TypeError, match="shrink: got an unexpected keyword"):
        current.then(shrink, "a.png", height=5)  # type: ignore[call-arg]  # that is what is tested
    with pytest.raises(TypeError, match="takes a task function"):
        current.then(print)  # type: ignore[call-overload]  # that is what is tested
    with pytest.raises(TypeError, match="a new task alone"):
        current.then(tq.new_task("k"), 1)  # type: ignore[call-overload]  # that is what is tested
    for _ in range(1000):
        current.then(shrink, "a.png")
    with pytest.raises(ValueError, match="at most 1000"):
        current.then(shrink, "a.png")
    assert len(current.end()) == 1000


def test_nothing_follows_a_handler_that_has_returned() -> None:
    current = context()
    current.end()
    with pytest.raises(RuntimeError, match="has returned"):
        current.then(shrink, "a.png")


def test_a_handler_finds_what_the_tasks_before_its_own_came_to() -> None:
    parent = wire.Input(id=TASK.id, kind="k", state="succeeded", result=tq.Raw(b'{"n":1}'))
    claimed = msgspec.structs.replace(TASK, inputs=[parent])
    # As it comes over the network, and once more on its way to a handler's own process.
    told = msgspec.json.decode(msgspec.json.encode(claimed), type=wire.ClaimedTask)
    (found,) = tq.TaskContext(told, print, lambda: False).inputs
    assert (found.state, tq.value(found.result), found.left_out) == ("succeeded", {"n": 1}, False)
    assert context().inputs == []


def told_by(*args: Any, **kwargs: Any) -> Any:
    told: list[Any] = []
    tq.TaskContext(TASK, told.append, lambda: False).progress(*args, **kwargs)
    return told[0]


def test_progress_has_a_shape_for_a_share_a_count_and_a_message() -> None:
    assert told_by(0.4) == 0.4
    assert told_by({"page": 7}) == {"page": 7}
    assert told_by(0.4, "resizing") == {"percent": 40.0, "message": "resizing"}
    assert told_by(1, "done") == {"percent": 100, "message": "done"}
    assert told_by(done=3, total=12) == {"done": 3, "total": 12}
    assert told_by(done=3, total=12, message="so") == {"done": 3, "total": 12, "message": "so"}
    assert told_by(message="connecting") == {"message": "connecting"}
    assert told_by(None) is None


def test_a_progress_that_means_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 1, not 40"):
        told_by(40, "resizing")
    for wrong in ("x", {"a": 1}, True):
        with pytest.raises(TypeError, match="a message goes with a share"):
            told_by(wrong, "so")
    with pytest.raises(TypeError):
        told_by(0.4, done=1, total=2)


def test_a_handler_tells_lines_of_known_levels() -> None:
    told: list[Any] = []
    context = tq.TaskContext(TASK, print, lambda: False, lambda *line: told.append(line))
    context.log("a", at_s=5.0)
    context.log("b", "error", at_s=6.0)
    assert told == [("a", "info", 5.0), ("b", "error", 6.0)]
    with pytest.raises(ValueError, match="level is one of"):
        context.log("c", "loud")  # type: ignore[arg-type]  # what a caller without types may write
    tq.TaskContext(TASK, print, lambda: False).log("to nobody")
