"""What ``tq`` prints."""

import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from tq.output import Column, age, brief, fitted, json_line, pretty, safe, size, span, write_table


@given(st.text())
def test_nothing_that_drives_a_terminal_survives(text: str) -> None:
    made = safe(text)
    assert not any(
        (ord(char) < 32 and char != "\n")
        or 127 <= ord(char) < 160
        or char in "\u202e\u2066\u2028\u200f\ufeff"
        for char in made
    )
    assert "\n" not in safe(text, one_line=True)


@given(st.text())
def test_escaping_json_for_a_terminal_does_not_change_what_it_says(text: str) -> None:
    line = json.dumps({"text": text}, ensure_ascii=False)
    assert json.loads(safe(line, one_line=True)) == {"text": text}


def test_ordinary_text_of_any_language_is_left_alone() -> None:
    text = "Grüße, こんにちは, שלום, 🎉"
    assert safe(text) == text


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.25, "250ms"),
        (1, "1s"),
        (1.5, "1.5s"),
        (59, "59s"),
        (60, "1m"),
        (90, "1m30s"),
        (600, "10m"),
        (3900, "1h5m"),
        (90_000, "1d1h"),
        (864_000, "10d"),
        (-90, "-1m30s"),
    ],
)
def test_span_has_at_most_two_units(seconds: float, told: str) -> None:
    assert span(seconds) == told


@given(st.floats(min_value=0, max_value=1e10))
def test_span_is_short_whatever_it_is(seconds: float) -> None:
    assert 2 <= len(span(seconds)) <= 8


def test_age_tells_the_past_and_the_future() -> None:
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert age("2026-01-31T11:57:00.000Z", now=now) == "3m"
    assert age("2026-01-31T12:05:00.000Z", now=now) == "in 5m"
    assert age("2026-01-31T12:00:00.200Z", now=now) == "0s"
    assert age(None, now=now) == ""
    assert age((now - timedelta(days=2)).isoformat(), now=now) == "2d"


def test_size_is_told_in_the_unit_that_fits() -> None:
    assert [size(0), size(1023), size(1024), size(5 * 1024**3), size(1024**4)] == [
        *("0 B", "1023 B", "1.0 KiB", "5.0 GiB", "1.0 TiB")
    ]


def test_json_line_keeps_the_digits_and_stays_one_line() -> None:
    line = json_line({"payload": Raw(b'{"id": 1970670598291982290,\n "x": 1.10}'), "text": "a\nb"})
    assert line == b'{"payload":{"id": 1970670598291982290,  "x": 1.10},"text":"a\\nb"}'


def test_layout_of_json_changes_no_digit_and_no_order() -> None:
    raw = b'{"b":1970670598291982290123, "a": [1.10]}'
    assert pretty(raw) == '{\n  "b": 1970670598291982290123,\n  "a": [\n    1.10\n  ]\n}'
    assert brief(raw) == '{"b": 1970670598291982290123, "a": [1.10]}'


COLUMNS = [Column("ID"), Column("NAME", cut=True), Column("AGE", spare=1), Column("HOST", cut=True, spare=2)]


def test_wide_terminal_shows_everything_in_full() -> None:
    assert fitted(COLUMNS, [36, 20, 4, 10], 120) == {0: 36, 1: 20, 2: 4, 3: 10}


def test_narrow_terminal_cuts_names_before_it_drops_columns() -> None:
    assert fitted(COLUMNS, [36, 20, 4, 10], 70) == {0: 36, 1: 14, 2: 4, 3: 10}


def test_narrower_terminal_drops_the_columns_to_spare_in_their_order() -> None:
    assert set(fitted(COLUMNS, [36, 20, 4, 10], 55)) == {0, 1, 2}
    assert set(fitted(COLUMNS, [36, 20, 4, 10], 48)) == {0, 1}


@given(st.lists(st.integers(min_value=1, max_value=60), min_size=4, max_size=4), st.integers(10, 200))
def test_an_id_is_never_cut_and_the_table_fits_when_it_can(natural: list[int], room: int) -> None:
    widths = fitted(COLUMNS, natural, room)
    assert widths[0] == natural[0]
    needed = natural[0] + 2 + min(natural[1], 8)
    if needed <= room:
        assert sum(widths.values()) + 2 * (len(widths) - 1) <= room


def test_table_for_a_pipe_is_in_full_and_ends_lines_without_blanks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    write_table([Column("NAME", cut=True), Column("N", right=True)], [["x" * 300, "1"], ["\x1b[31m[b]", ""]])
    lines = out.getvalue().splitlines()
    assert lines[1] == "x" * 300 + "  1"
    assert lines[2] == "\\u001b[31m[b]"
    assert lines[0].split() == ["NAME", "N"]
