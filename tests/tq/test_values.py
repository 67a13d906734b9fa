"""Python values and JSON."""

import dataclasses
import datetime
import decimal
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tq
from tq.values import encode, encode_unless_unset

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
)


@given(plain)
def test_a_value_comes_back_as_it_went(value: Any) -> None:
    raw = encode(value, name="payload")
    assert tq.value(raw) == value
    assert json.loads(bytes(raw)) == value


@dataclasses.dataclass
class Point:
    x: int
    when: datetime.datetime


def test_dates_and_dataclasses_have_json_and_come_back_when_asked_for() -> None:
    point = Point(1, datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
    raw = encode(point, name="payload")
    assert tq.value(raw) == {"x": 1, "when": "2026-01-01T00:00:00Z"}
    assert tq.value(raw, Point) == point
    with pytest.raises(msgspec.ValidationError):
        tq.value(raw, list[int])


def test_json_that_is_json_already_stays_byte_for_byte() -> None:
    raw = msgspec.Raw(b'{"x": 1.10, "x2": 12345678901234567890123}')
    assert encode(raw, name="payload") is raw
    assert tq.value(raw, dict[str, decimal.Decimal])["x"] == decimal.Decimal("1.10")


@pytest.mark.parametrize(
    "value",
    [float("nan"), [1, {"a": float("inf")}], {"a": (None, float("-inf"))}, [None, {1.5, float("nan")}]],
)
def test_a_number_without_json_is_refused_and_not_made_null(value: Any) -> None:
    with pytest.raises(ValueError, match="meta: JSON has no NaN"):
        encode(value, name="meta")


def test_null_and_the_text_null_are_no_mistake() -> None:
    value = {"a": None, "b": "null", "c": [1.5, None]}
    assert tq.value(encode(value, name="payload")) == value


def test_a_value_without_json_names_what_it_was_for() -> None:
    with pytest.raises(TypeError, match="result: "):
        encode(object(), name="result")
    with pytest.raises(ValueError, match="result: "):
        encode("\ud800", name="result")


def test_what_was_never_set_is_none() -> None:
    assert tq.value(tq.UNSET) is None
    assert encode_unless_unset(tq.UNSET, name="payload") is tq.UNSET
