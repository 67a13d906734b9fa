"""Times, durations and messages: the small conversions everything else relies on."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tq import wire
from tqnode.api.codes import CODES
from tqnode.api.convert import ms_of
from tqnode.api.decode import Decoder, explain, within
from tqnode.api.errors import STATUS, problem_of, status_of
from tqnode.api.json_scan import field_path
from tqnode.api.stamps import MOMENT_MAX_MS, moment_ms, stamp
from tqnode.errors import (
    BadRequest,
    Elsewhere,
    InvalidField,
    LeaseLost,
    NotFound,
    Overloaded,
    QueueFull,
    TqnodeError,
)

EARLIEST_MS = -62_135_596_800_000  # 0001-01-01T00:00:00Z


@given(st.integers(EARLIEST_MS, MOMENT_MAX_MS))
def test_a_stamp_reads_back_as_the_same_millisecond(at_ms: int) -> None:
    text = stamp(at_ms)
    assert len(text) == 24
    assert moment_ms(msgspec.convert(text, wire.Moment)) == at_ms


@given(st.datetimes(), st.integers(-1439, 1439))
def test_a_moment_is_the_same_in_every_offset(naive: datetime, minutes: int) -> None:
    utc = naive.replace(tzinfo=UTC)
    east = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert moment_ms(utc) - moment_ms(east) == minutes * 60_000


@given(st.integers(0, 315_360_000_000))
def test_milliseconds_written_as_seconds_come_back_exactly(ms: int) -> None:
    assert ms_of(ms / 1000) == ms
    assert ms_of(float(repr(ms / 1000))) == ms


@given(st.floats(0, 315_360_000))
def test_a_duration_is_the_nearest_millisecond(seconds: float) -> None:
    assert abs(ms_of(seconds) - Fraction(seconds) * 1000) <= Fraction(501, 1000)


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    n: int = 0


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    inner: list[Inner]
    names: dict[str, int] = {}


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b'{"inner":[],"x - at `$.y":1}', "unknown_field", "x - at `$.y"),
        (b'{"inner":[{"a":1}]}', "unknown_field", "inner[0].a"),
        (b"{}", "missing_field", "inner"),
        (b'{"inner":[{"n":"1"}]}', "invalid_field", "inner[0].n"),
        (b'{"inner":[],"names":{"a":"b"}}', "invalid_field", "names[...]"),
        (b"[]", "invalid_field", None),
    ],
)
def test_a_mistake_is_named_by_its_path(body: bytes, code: str, field: str | None) -> None:
    with pytest.raises(InvalidField) as caught:
        Decoder(Outer)(body)
    assert (caught.value.code, caught.value.field) == (code, field)


def test_a_message_nobody_foresaw_is_passed_on() -> None:
    error = explain("Something `new` is wrong - at `$.a[3].b`")
    assert (error.code, error.field, error.detail) == ("invalid_field", "a[3].b", "something new is wrong")


def test_a_long_message_is_cut() -> None:
    error = explain(f"Object contains unknown field `{'x' * 10_000}`")
    assert error.field is not None
    assert len(error.field) == 300


@pytest.mark.parametrize(
    ("field", "place", "whole"),
    [("a", "[3]", "[3].a"), ("[1].a", "then", "then[1].a"), (None, "[3]", "[3]"), ("[0]", "[1]", "[1][0]")],
)
def test_an_error_moves_into_its_place(field: str | None, place: str, whole: str) -> None:
    moved = within(InvalidField("d", field=field, limit=7, code="too_deep"), place)
    assert (type(moved), moved.field, moved.limit, moved.code) == (InvalidField, whole, 7, "too_deep")


def test_a_path_tells_odd_keys_from_plain_ones() -> None:
    steps: list[Any] = ["a", 0, "b c", 'd"e', "", "f-g_9"]
    assert field_path(steps) == 'a[0]["b c"]["d\\"e"][""].f-g_9'
    assert field_path([]) is None
    assert field_path([3]) == "[3]"


def every_error() -> list[type[TqnodeError]]:
    found, waiting = [], [TqnodeError]
    while waiting:
        cls = waiting.pop()
        found.append(cls)
        waiting += cls.__subclasses__()
    return found


MADE: dict[type[TqnodeError], Callable[[], TqnodeError]] = {
    NotFound: lambda: NotFound("task", "x"),
    Elsewhere: lambda: Elsewhere("d", url="http://b"),
}


def test_every_error_has_the_status_its_code_promises() -> None:
    for cls in every_error():
        error = MADE[cls]() if cls in MADE else cls("d")
        if error.code in CODES:
            assert status_of(error) == CODES[error.code].status, cls
        assert any(base in STATUS for base in cls.__mro__)


def test_a_problem_tells_all_the_facts_its_error_has() -> None:
    problem = problem_of(InvalidField("d", field="a.b", limit=5))
    assert (problem.field, problem.limit, problem.status, problem.title) == ("a.b", 5, 422, "Invalid field")
    assert problem_of(LeaseLost("d", task="t")).task == "t"
    assert problem_of(Overloaded("d", retry_after_s=2.5)).retry_after_s == 2.5
    assert problem_of(QueueFull("d")).status == 429
    refined = problem_of(BadRequest("d", code="too_deep"), request_id="r")
    assert (refined.code, refined.type, refined.request_id) == ("too_deep", "/docs/api#too_deep", "r")
