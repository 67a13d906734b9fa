import threading

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tq import wire
from tq.worker import lines as module
from tq.worker.lines import WaitingLines, line_of


def line(text: str) -> wire.NewLine:
    return line_of(text, "info", 1_767_225_600.5)


def test_a_line_is_as_every_node_takes_it() -> None:
    made = line_of("a\0b\ud800" + "x" * 9_000, "error", 1_767_225_600.5)
    assert len(made.text) == module.LINE_CHARS_MAX
    assert (made.text[:4], made.text[-1]) == ("a\ufffdb\ufffd", "\u2026")
    assert msgspec.json.decode(msgspec.json.encode(made))["at"] == "2026-01-01T00:00:00.500000Z"


def test_lines_wait_until_they_are_taken_each_in_its_place() -> None:
    news: list[None] = []
    waiting = WaitingLines(lambda: news.append(None))
    assert waiting.unsent() is None
    for text in "abc":
        waiting.add(line(text))
    assert len(news) == 3
    told = waiting.unsent(chars_max=2)
    assert told is not None
    assert ([one.text for one in told.lines], told.first) == (["a", "b"], 0)
    waiting.add(line("d"))
    waiting.taken(told)
    waiting.taken(told)
    rest = waiting.close()
    assert rest is not None
    assert ([one.text for one in rest.lines], rest.first) == (["c", "d"], 2)


def test_what_is_told_after_the_end_is_dropped() -> None:
    waiting = WaitingLines(lambda: None)
    assert waiting.close() is None
    waiting.add(line("late"))
    assert len(waiting) == 0


def test_memory_is_bounded_by_lines_and_by_characters() -> None:
    waiting = WaitingLines(lambda: None)
    for _ in range(3 * module.LINES_MAX):
        waiting.add(line("x"))
    assert len(waiting) == module.LINES_MAX
    for _ in range(module.LINES_MAX):
        waiting.add(line("y" * module.LINE_CHARS_MAX))
    told = waiting.unsent()
    assert told is not None
    assert sum(len(one.text) for one in told.lines) <= module.CHARS_MAX
    assert told.first == 4 * module.LINES_MAX - len(told.lines)


@given(st.lists(st.one_of(st.just("add"), st.integers(1, 5)), max_size=60))
def test_whatever_is_taken_when_no_line_is_told_in_two_places(steps: list[str | int]) -> None:
    waiting = WaitingLines(lambda: None)
    seen: dict[int, str] = {}
    count = 0
    for step in steps:
        if step == "add":
            waiting.add(line(str(count)))
            count += 1
            continue
        told = waiting.unsent(chars_max=int(step))
        if told is not None:
            assert told.first is not None
            seen |= {told.first + index: one.text for index, one in enumerate(told.lines)}
            waiting.taken(told)
    last = waiting.close()
    if last is not None:
        assert last.first is not None
        seen |= {last.first + index: one.text for index, one in enumerate(last.lines)}
    assert seen == {place: str(place) for place in range(count)}


def test_threads_that_tell_at_once_lose_no_line() -> None:
    waiting = WaitingLines(lambda: None)

    def tell() -> None:
        for _ in range(200):
            waiting.add(line("x"))

    threads = [threading.Thread(target=tell) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = waiting.unsent()
    assert told is not None
    assert (len(told.lines), told.first) == (800, 0)
