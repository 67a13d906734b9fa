"""What people type at ``tq``."""

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tq.commands.values import (
    SECONDS_MAX,
    checked_json,
    ids,
    parse_duration,
    parse_meta,
    parse_moment,
    parse_retry,
    read_json,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90.0),
        ("5m", 300.0),
        ("1.5", 1.5),
        ("0", 0.0),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        ("250ms", 0.25),
        ("2d", 172_800.0),
        ("1w", 604_800.0),
        ("1.5h", 5400.0),
    ],
)
def test_duration_is_read_in_each_of_its_forms(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", " ", "m", "5x", "-5m", "5m-", "1e3", "nan", "inf", "5m3", "11y", "99999999999s", "\u0663s"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a duration|longer than"):
        parse_duration(text)


@given(st.floats(min_value=0, max_value=SECONDS_MAX))
def test_any_number_of_seconds_is_a_duration(seconds: float) -> None:
    assert parse_duration(f"{seconds:f}") == pytest.approx(seconds, abs=1e-6)


@given(st.text(max_size=20))
def test_duration_of_any_text_is_a_finite_number_or_a_refusal(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert 0 <= seconds <= SECONDS_MAX


def test_moment_with_an_offset_is_that_moment() -> None:
    assert parse_moment("2026-01-31T12:00:00+02:00") == datetime(2026, 1, 31, 10, tzinfo=UTC)
    assert parse_moment("2026-01-31T12:00:00Z") == datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_moment_without_an_offset_is_local_time() -> None:
    local = datetime(2026, 1, 31, 12).astimezone()
    assert parse_moment("2026-01-31 12:00") == local
    assert parse_moment("2026-01-31 12:00").utcoffset() == timedelta(0)


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-13-01", "12:00"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        parse_moment(text)


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("exponential", {"type": "exponential"}),
        ("exponential:5,2,3600", {"type": "exponential", "base_s": 5.0, "factor": 2.0, "max_s": 3600.0}),
        (
            "exponential:5s,2,1h,0.1",
            {"type": "exponential", "base_s": 5.0, "factor": 2.0, "max_s": 3600.0, "jitter": 0.1},
        ),
        ("linear:10,1h", {"type": "linear", "base_s": 10.0, "max_s": 3600.0}),
        ("fixed:30", {"type": "fixed", "delay_s": 30.0}),
        ("list:5,30,5m", {"type": "list", "delays_s": [5.0, 30.0, 300.0]}),
        ('{"type": "fixed", "delay_s": 1}', {"type": "fixed", "delay_s": 1}),
    ],
)
def test_retry_policy_is_read_in_each_of_its_forms(text: str, policy: dict[str, object]) -> None:
    assert parse_retry(text) == policy


@pytest.mark.parametrize(
    "text", ["", "never", "fixed", "list", "exponential:1,2,3,4,5", "fixed:x", "{nonsense", "linear:,"]
)
def test_what_is_no_retry_policy_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="retry policy"):
        parse_retry(text)


def test_meta_is_made_of_pairs_or_is_one_object() -> None:
    assert parse_meta(()) is None
    assert json.loads(parse_meta(("a=1", "b=x=y", "ü=ß")) or b"") == {"a": "1", "b": "x=y", "ü": "ß"}
    assert parse_meta(('{"a": 1.10}',)) == b'{"a": 1.10}'


@pytest.mark.parametrize("parts", [("a",), ("=1",), ("a=1", "a=2"), ("a=1", '{"b": 2}'), ("{",)])
def test_meta_that_is_neither_is_refused(parts: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"not key=value|comes twice|not JSON"):
        parse_meta(parts)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"id": 1970670598291982290123456789, "x": 1.10, "x2": 1e400}',
        b'{"b": 1, "a": 2}',
        b'"\\u00e4 \xc3\xa4"',
        b"null",
        b"[1,  2]",
    ],
)
def test_json_keeps_every_byte(raw: bytes) -> None:
    assert checked_json(raw, what="it") == raw
    assert checked_json(b" \n" + raw + b"\r\n", what="it") == raw


@pytest.mark.parametrize(
    "raw", [b"", b"hello", b"{", b"NaN", b"01", b"1 2", b"\xef\xbb\xbf1", b'"\xff"', b"[" * 100_000]
)
def test_what_is_not_json_is_refused_in_one_sentence(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"^it is n") as caught:
        checked_json(raw, what="it")
    assert "\n" not in str(caught.value)


def test_bare_text_is_told_how_to_be_quoted() -> None:
    with pytest.raises(ValueError, match="quote text twice"):
        checked_json(b"hello", what="it")


def test_payload_comes_from_the_argument_a_file_or_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "payload.json"
    file.write_bytes(b'{"x": 1.10}\n')
    stdin = io.TextIOWrapper(io.BytesIO(b"[1]\n"))
    monkeypatch.setattr("sys.stdin", stdin)
    assert read_json(None) is None
    assert read_json('{"n": 2}') == b'{"n": 2}'
    assert read_json(f"@{file}") == b'{"x": 1.10}'
    assert read_json("-") == b"[1]"


def test_ids_are_taken_from_arguments_tables_and_json_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = 'one\n\ntwo  ready  default\n{"id": "three", "state": "ready"}\n'
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    assert list(ids(("zero", "-", "four"))) == ["zero", "one", "two", "three", "four"]


@pytest.mark.parametrize("line", ["{}", "{broken", '{"id"}'])
def test_line_without_an_id_is_refused_by_its_number(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"one\n{line}\n"))
    with pytest.raises(ValueError, match="line 2 of standard input"):
        list(ids(("-",)))
