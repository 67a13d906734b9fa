"""Python's logging inside a handler."""

import contextvars
import logging
from collections.abc import Iterator

import pytest

import tq
from tests.tq.test_context import TASK
from tq.context import enter

Told = list[tuple[str, str, float]]


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("tests.shop")
    handler = tq.TaskLogHandler()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger
    logger.removeHandler(handler)


def run(work: object, told: Told) -> None:
    def inside() -> None:
        enter(tq.TaskContext(TASK, print, lambda: False, lambda *line: told.append(line)))
        assert callable(work)
        work()

    contextvars.Context().run(inside)


def test_records_become_lines_of_the_current_task_with_their_level(logger: logging.Logger) -> None:
    told: Told = []

    def work() -> None:
        logger.debug("%d of %d", 1, 2)
        logger.info("so")
        logger.warning("hm")
        logger.error("oh")
        logger.critical("no")
        try:
            raise ValueError("why")
        except ValueError:
            logger.exception("broke")

    run(work, told)
    said = [(level, text) for text, level, _ in told]
    assert said[:5] == [
        ("debug", "1 of 2"),
        ("info", "so"),
        ("warning", "hm"),
        ("error", "oh"),
        ("error", "no"),
    ]
    first, *_, last = said[5][1].splitlines()
    assert (first, last) == ("broke", "ValueError: why")
    assert all(at_s > 1_700_000_000 for _, _, at_s in told)


def test_records_from_outside_a_task_are_left_out(logger: logging.Logger) -> None:
    told: Told = []
    logger.info("before")
    run(lambda: None, told)
    logger.info("after")
    assert told == []


def test_a_record_that_cannot_be_formatted_does_not_break_the_task(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told: Told = []
    record = logging.LogRecord("shop", logging.INFO, __file__, 1, "%d", ("x",), None)
    run(lambda: tq.TaskLogHandler().handle(record), told)
    assert told == []
    assert "Logging error" in capsys.readouterr().err
