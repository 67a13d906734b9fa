"""The parser of the event stream."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tq.sse import LINE_BYTES_MAX, Event, Parser, StreamBroken

ID = "018f0000-0000-7000-8000-000000000001"
DATA = f'{{"id":"{ID}","queue":"q","kind":"k","state":"ready","at":"2026-01-01T00:00:00.000Z"}}'.encode()
TASK = b"event: task\nid: b-1\ndata: " + DATA + b"\n\n"


def test_a_task_event_comes_with_its_id_and_data() -> None:
    (event,) = Parser().feed(TASK)
    assert event.id == "b-1"
    assert not event.reset
    assert event.task is not None
    assert (event.task.id, event.task.state) == (ID, "ready")


def test_a_reset_comes_without_a_task() -> None:
    assert Parser("b-0").feed(b"event: reset\ndata: {}\n\n") == [Event(id="b-0", task=None, reset=True)]


def test_comments_and_unknown_events_and_fields_are_passed_over() -> None:
    parser = Parser()
    assert parser.feed(b": still here\n\nevent: weather\ndata: sun\n\nretry: 100\nwhatever\n\n") == []
    assert len(parser.feed(TASK)) == 1


def test_an_event_cut_off_in_the_middle_does_not_count_as_seen() -> None:
    parser = Parser("b-0")
    assert parser.feed(TASK[: -len(b"\n")]) == []
    assert parser.last_event_id == "b-0"
    parser.feed(b"\n")
    assert parser.last_event_id == "b-1"


@given(
    stream=st.lists(
        st.sampled_from([TASK, b": comment\n\n", b"event: reset\nid: b-9\ndata: {}\n\n", b"\n"]), max_size=6
    ),
    ending=st.sampled_from([b"\n", b"\r\n", b"\r"]),
    cuts=st.lists(st.integers(0, 2000), max_size=20),
)
def test_how_a_stream_is_cut_and_its_lines_end_makes_no_difference(
    stream: list[bytes], ending: bytes, cuts: list[int]
) -> None:
    whole = b"".join(stream)
    expected = Parser().feed(whole)
    # The parser holds a CR back until it knows what follows.
    text = whole.replace(b"\n", ending) + b":"
    parser, events, start = Parser(), [], 0
    for cut in [*sorted(min(cut, len(text)) for cut in cuts), len(text)]:
        events += parser.feed(text[start:cut])
        start = cut
    assert events == expected


@pytest.mark.parametrize(
    "stream",
    [
        b"data: " + b"x" * (LINE_BYTES_MAX + 1),
        (b"data: " + b"x" * 1000 + b"\n") * 1100,
        b"event: task\ndata: {\n\n",
        b'event: task\ndata: {"id": 5}\n\n',
    ],
)
def test_what_is_no_stream_of_events_is_refused_and_bounded(stream: bytes) -> None:
    with pytest.raises(StreamBroken):
        Parser().feed(stream)


def test_events_that_a_newer_node_enriched_are_understood() -> None:
    (event,) = Parser().feed(TASK.replace(b'"queue"', b'"colour":"red","queue"'))
    task: Any = event.task
    assert task.queue == "q"
