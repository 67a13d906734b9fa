"""Log lines for people, machines and the journal."""

import io
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tqnode import logs


@pytest.fixture(autouse=True)
def _root_logger_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def lines_of(
    *, form: str = "text", level: str = "info", environ: dict[str, str] | None = None
) -> io.StringIO:
    stream = io.StringIO()
    logs.set_up(level=level, form=form, environ=environ or {}, stream=stream)
    return stream


def test_a_text_line_has_time_severity_logger_message_and_facts() -> None:
    stream = lines_of()
    logging.getLogger("tqnode.x").warning("lost %d", 3, extra={"task": "t1", "attempt": 2})
    stamp, rest = stream.getvalue().split(" ", 1)
    assert rest == "WARNING tqnode.x: lost 3 task=t1 attempt=2\n"
    assert len(stamp) == len("2026-01-31T12:00:00.000Z")
    assert stamp.endswith("Z")


def test_a_json_line_is_one_object_with_the_facts_as_members() -> None:
    stream = lines_of(form="json")
    logging.getLogger("tqnode.x").error("two\nlines", extra={"task": "t1", "path": Path("/x")})
    assert stream.getvalue().count("\n") == 1
    event = json.loads(stream.getvalue())
    assert {key: event[key] for key in ("level", "logger", "message", "task", "path")} == {
        "level": "error",
        "logger": "tqnode.x",
        "message": "two\nlines",
        "task": "t1",
        "path": "/x",
    }


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_a_client_sent_cannot_forge_a_second_line(form: str) -> None:
    stream = lines_of(form=form)
    logging.getLogger("x").info("kind %s", "a\r\nERROR forged \x1b[31m\u2028", extra={"q": "b\nc"})
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("form", ["text", "json"])
def test_values_named_as_secrets_are_hidden(form: str) -> None:
    stream = lines_of(form=form)
    logging.getLogger("x").info("claimed", extra={"token": "tk-12345", "Authorization": "Bearer tk-12345"})
    assert "tk-12345" not in stream.getvalue()
    assert "hidden" in stream.getvalue()


def test_severities_below_the_level_are_not_written() -> None:
    stream = lines_of(level="warning")
    logging.getLogger("x").info("no")
    logging.getLogger("x").warning("yes")
    assert "no" not in stream.getvalue()
    assert "yes" in stream.getvalue()


def raise_and_log() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("x").exception("failed")


def test_a_trace_stands_indented_below_its_line_or_inside_the_object() -> None:
    stream = lines_of()
    raise_and_log()
    first, *trace = stream.getvalue().splitlines()
    assert first.endswith("x: failed")
    assert trace
    assert all(line.startswith("    ") for line in trace)
    stream = lines_of(form="json")
    raise_and_log()
    assert "ValueError: two" in json.loads(stream.getvalue())["trace"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_each_line_to_the_journal_starts_with_its_severity(form: str, tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        environ = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        logs.set_up(level="debug", form=form, environ=environ, stream=stream)
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
            logging.getLogger("x").log(level, "m")
        raise_and_log()
        stream.seek(0)
        written = stream.read().splitlines()
    assert [line[:3] for line in written[:5]] == ["<7>", "<6>", "<4>", "<3>", "<2>"]
    assert {line[:3] for line in written[5:]} == {"<3>"}


@pytest.mark.parametrize("named", ["", "1:2", "rubbish"])
def test_another_stream_than_the_journals_gets_no_severity(named: str) -> None:
    assert not logs.goes_to_journal(sys.__stderr__ or sys.stderr, {"JOURNAL_STREAM": named})
    assert not logs.goes_to_journal(io.StringIO(), {"JOURNAL_STREAM": "1:2"})
