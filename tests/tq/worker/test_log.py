import io
import json
import logging
from collections.abc import Iterator

import pytest

from tq.worker.log import facts, logger, set_up


@pytest.fixture
def restored() -> Iterator[None]:
    """Leaves logging as it was."""
    root, ours = logging.getLogger(), logger()
    before = (root.handlers[:], root.level, ours.level)
    yield
    root.handlers[:], level, our_level = before
    root.setLevel(level)
    ours.setLevel(our_level)


@pytest.mark.usefixtures("restored")
def test_text_has_one_line_with_the_facts() -> None:
    out = io.StringIO()
    set_up(level="info", style="text", stream=out)
    logger().warning("lease lost", extra=facts(task="t1", error="two words", after_s=1.23456, none=None))
    logger().debug("not told")
    line = out.getvalue()
    assert line.endswith("Z WARNING lease lost task=t1 error='two words' after_s=1.235\n")


@pytest.mark.usefixtures("restored")
def test_json_has_one_object_a_line_with_the_trace_of_an_error() -> None:
    out = io.StringIO()
    set_up(level="debug", style="json", stream=out)
    try:
        raise ValueError("no\nnewline")
    except ValueError:
        logger().exception("broke", extra=facts(thread="slot-1", count=3))
    (line,) = out.getvalue().splitlines()
    told = json.loads(line)
    assert (told["level"], told["event"], told["thread"], told["count"]) == ("error", "broke", "slot-1", 3)
    assert "ValueError" in told["trace"]
    assert told["at"].endswith("Z")


@pytest.mark.usefixtures("restored")
def test_what_libraries_tell_at_every_step_is_left_out() -> None:
    out = io.StringIO()
    set_up(level="info", style="text", stream=out)
    logging.getLogger("some.library").info("a step")
    logging.getLogger("some.library").warning("a warning")
    assert "a step" not in out.getvalue()
    assert "a warning" in out.getvalue()
