"""The stream of events over connections that break."""

from typing import Any

import pytest

from tests.tq.driving import NODE, OTHER, Drive, ManualClock, problem, session
from tests.tq.test_sse import TASK
from tq import errors
from tq.effects import Effect, Lost, Open, Receive, Reply

STREAM = Reply(status=200, headers={"content-type": "text/event-stream; charset=utf-8"}, body=b"")
CUT = Lost(sent=True, reason="cut")


class Node:
    """Answers opens and receives in order; the last answer to an open stays."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.opens: list[Any] = []

    def __call__(self, effect: Effect) -> Any:
        if isinstance(effect, Open):
            self.opens.append(effect.request)
        else:
            assert isinstance(effect, Receive)
        return self._answers.pop(0)

    @property
    def last_ids(self) -> list[str | None]:
        return [request.headers.get("last-event-id") for request in self.opens]


def event(number: int) -> bytes:
    return TASK.replace(b"b-1", b"b-%d" % number)


def run(node: Node, *urls: str, emits: int, last_event_id: str | None = None, **options: Any) -> Drive:
    clock = ManualClock()
    program = session(clock, *urls, **options).events(
        last_event_id=last_event_id, queue=None, kind=None, ids=None
    )
    return Drive(program, node, clock, emits_max=emits)


def test_a_stream_that_breaks_goes_on_after_the_last_event() -> None:
    node = Node(STREAM, event(1) + event(2), CUT, STREAM, event(3), b"", STREAM, event(4))
    drive = run(node, emits=4)
    assert [item.id for item in drive.items] == ["b-1", "b-2", "b-3", "b-4"]
    assert node.last_ids == [None, "b-2", "b-3"]


def test_a_stream_starts_after_the_event_asked_for() -> None:
    node = Node(STREAM, event(8))
    run(node, emits=1, last_event_id="b-7")
    assert node.last_ids == ["b-7"]
    assert node.opens[0].headers["accept"] == "text/event-stream"


def test_a_stream_that_broke_before_its_first_event_says_that_some_may_be_missed() -> None:
    node = Node(STREAM, b": hello\n\n", CUT, STREAM, event(1))
    drive = run(node, emits=2)
    assert [item.reset for item in drive.items] == [True, False]


def test_the_filters_of_a_stream_are_in_its_address() -> None:
    clock, node = ManualClock(), Node(STREAM, event(1))
    program = session(clock).events(last_event_id=None, queue="a b", kind="k", ids=["1", "2"])
    Drive(program, node, clock, emits_max=1)
    assert node.opens[0].url == f"{NODE}/v1/events?queue=a+b&kind=k&id=1&id=2"


def test_a_node_that_is_not_there_ends_the_stream_before_it_began() -> None:
    node = Node(*[Lost(sent=False, reason="connection refused")] * 10)
    with pytest.raises(errors.TqUnavailable, match="connection refused"):
        run(node, emits=1, retries=3)
    assert len(node.opens) == 1 + 3


def test_a_node_that_was_there_is_waited_for_however_long_it_stays_away() -> None:
    refused = Lost(sent=False, reason="connection refused")
    node = Node(STREAM, event(1), CUT, *[refused] * 50, STREAM, event(2))
    drive = run(node, emits=2, retries=3)
    assert [item.id for item in drive.items] == ["b-1", "b-2"]
    assert node.last_ids == [None, *["b-1"] * 51]
    assert max(drive.pauses) <= 5.0


def test_a_node_that_closes_each_stream_at_once_ends_it() -> None:
    with pytest.raises(errors.TqUnavailable, match="closes the stream"):
        run(Node(*[STREAM, b""] * 10), emits=10, retries=3)


def test_a_busy_node_is_asked_again_when_it_says_and_the_next_one_is_asked() -> None:
    node = Node(problem(503, "overloaded", retry_after="3"), STREAM, event(1))
    drive = run(node, NODE, OTHER, emits=1)
    assert drive.pauses == [3.0]
    assert [request.url for request in node.opens] == [f"{NODE}/v1/events", f"{OTHER}/v1/events"]


def test_a_refusal_ends_the_stream() -> None:
    with pytest.raises(errors.InvalidField):
        run(Node(problem(422, "invalid_field", field="queue")), emits=1)


def test_a_page_instead_of_a_stream_is_an_error() -> None:
    page = Reply(status=200, headers={"content-type": "text/html"}, body=b"<h1>hi</h1>")
    with pytest.raises(errors.ApiError, match="<h1>hi</h1>"):
        run(Node(page), emits=1)


def test_garbage_in_the_stream_is_an_error_and_not_an_endless_loop() -> None:
    with pytest.raises(errors.ApiError, match="the stream of events broke"):
        run(Node(STREAM, b"event: task\ndata: nonsense\n\n"), emits=1)


@pytest.mark.parametrize("last_event_id", ["", "b\n1", "ü"])
def test_an_id_that_no_node_gave_is_refused(last_event_id: str) -> None:
    with pytest.raises(ValueError, match="last_event_id"):
        run(Node(STREAM), emits=1, last_event_id=last_event_id)
