"""What JSON is taken: the quick check and the exact one must tell the same."""

import json
import re
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tqnode.api.json_body import VALUES_MAX, check, surely_fine
from tqnode.api.json_scan import scan
from tqnode.errors import BadRequest, InvalidField, InvalidJson

DEPTH_MAX = 12

texts = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
numbers = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
# Pieces that, put together, are often nearly JSON: the border is where two checks could part.
pieces = st.sampled_from(
    [
        *'{}[]:,"\\ \t\n-+.eE0123456789',
        *('"a"', '"b"', '"a":', '"\\u0061":', "null", "true", "false", "1e999", "1E-999", "-0", "00", "1.5"),
        *("9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809"),
        *("9" * 25, "0." + "1" * 30, "1" * 19, "1" * 400, "1" * 400 + ".0", '"' + "1" * 40 + '"'),
        *(
            '"\\ud83d\\ude00"',
            '"\\ud83d"',
            '"\\ude00"',
            '"\\ud83d\\ud83d"',
            '"\\u0000"',
            '"\\u003a"',
            '"\\\\u0000"',
        ),
        *(
            '"\\\\"',
            '"\\""',
            '"{"',
            '"]"',
            '":"',
            '"\\u005c"',
            '"\\u0022"',
            "\u2028",
            "é",
            "\x7f",
            "\x00",
            "\x1f",
            "\ufeff",
        ),
        *("{}", "[]", "[[[[[[", "]]]]]]", '{"a":{"b":', "}}", "NaN", "Infinity", "/**/"),
    ]
)


def verdict(judge: Any, body: bytes) -> tuple[str, str | None] | None:
    """None if taken, else the code and the field."""
    try:
        judge(body, depth_max=DEPTH_MAX)
    except BadRequest as error:
        return error.code, error.field
    return None


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


def python_takes(body: bytes) -> bool:
    """A third opinion, by the standard library."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in items}) < len(items):
            raise ValueError("duplicate key")
        return dict(items)

    def integer(digits: str) -> int:
        if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
            raise ValueError("out of range")
        return int(digits)

    def number(digits: str) -> float:
        if abs(float(digits)) == float("inf"):
            raise ValueError("out of range")
        return float(digits)

    def constant(_word: str) -> None:
        raise ValueError("no JSON")

    def strings(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [*value, *(text for inner in value.values() for text in strings(inner))]
        if isinstance(value, list):
            return [text for inner in value for text in strings(inner)]
        return [value] if isinstance(value, str) else []

    try:
        value = json.loads(
            body.decode(),
            object_pairs_hook=pairs,
            parse_int=integer,
            parse_float=number,
            parse_constant=constant,
        )
    except (ValueError, RecursionError):
        return False
    return depth(value) <= DEPTH_MAX and not any(
        re.search("[\0\ud800-\udfff]", text) for text in strings(value)
    )


@given(values, st.booleans(), st.sampled_from([None, 1]))
def test_whatever_can_be_written_is_taken_by_both_checks(
    value: Any, escaped: bool, indent: int | None
) -> None:
    body = json.dumps(value, ensure_ascii=escaped, indent=indent).encode()
    expected = None if python_takes(body) else "refused"
    assert (verdict(scan, body) is None) == (expected is None)
    assert verdict(check, body) == verdict(scan, body)
    if expected is None:
        assert msgspec.json.decode(body) == json.loads(body)


@given(st.lists(pieces, max_size=14).map("".join))
@example('{"a":"\\u003a","a":1}')
@example('{"a":1,"\\u0061":":"}')
@example('{"\\u003a":1,"a":2,"a":3}')
@example("[" * DEPTH_MAX + "]" * DEPTH_MAX)
@example("[" * (DEPTH_MAX + 1) + "]" * (DEPTH_MAX + 1))
@example('["' + "[" * 30 + '"]')
@example('["\\"' + "[" * 30 + '\\\\"]')
@example("\ufeff1")
def test_the_checks_never_part(text: str) -> None:
    body = text.encode()
    exact = verdict(scan, body)
    assert verdict(check, body) == exact
    assert (exact is None) == python_takes(body)


@given(st.binary(max_size=40))
def test_the_checks_never_part_on_bytes_that_are_no_text(body: bytes) -> None:
    exact = verdict(scan, body)
    assert verdict(check, body) == exact
    assert (exact is None) == python_takes(body)


@given(values, st.data())
def test_a_body_with_a_key_repeated_is_refused_wherever_it_is(value: Any, data: Any) -> None:
    key = json.dumps(data.draw(texts))
    body = b'{"p":[{%s:%s,"other":[],%s:0}]}' % (key.encode(), json.dumps(value).encode(), key.encode())
    found = verdict(check, body)
    if not python_takes(json.dumps([[value]]).encode()):
        return
    assert found is not None
    assert found[0] == "duplicate_key"


def test_most_bodies_never_reach_the_slow_check() -> None:
    for body in (
        b'{"kind":"send_mail","payload":{"to":"a@example.org","id":1970670598291982290,"x":1.10}}',
        b'{"text":"line\\nline \\"quoted\\" caf\\u00e9 \\ud83d\\ude00 C:\\\\dir"}',
        json.dumps([{"kind": "k", "payload": {"a": {"b": [1, 2, {"c": None}]}}}] * 500).encode(),
        json.dumps([{"kind": "k", "payload": {"a": '\n{["', "b": "é"}}] * 500).encode(),
    ):
        assert surely_fine(body, depth_max=100)


def test_depth_counts_containers_and_not_brackets_in_texts() -> None:
    body = json.dumps(["[" * 200, {"k{{{": '\\"]]]]'}] * 100).encode()
    check(body, depth_max=2)
    with pytest.raises(InvalidField) as caught:
        check(body, depth_max=1)
    assert (caught.value.code, caught.value.field, caught.value.limit) == ("too_deep", "[1]", 1)


bracketed = st.recursive(
    st.text(alphabet='[]{}"\\a', max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('[]{}"a', max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(bracketed, st.integers(3, 5))
def test_brackets_in_texts_never_hide_how_deep_a_body_is(value: Any, depth_max: int) -> None:
    # The brackets around it make the count of all of them say nothing.
    whole = [value, [{}] * depth_max]
    body = json.dumps(whole).encode()
    if depth(whole) <= depth_max:
        assert surely_fine(body, depth_max=depth_max)
    else:
        with pytest.raises(InvalidField, match="deep"):
            check(body, depth_max=depth_max)


def test_too_many_values_are_refused_before_they_are_read() -> None:
    with pytest.raises(InvalidField) as caught:
        check(b"[" + b"[]," * VALUES_MAX + b"[]]", depth_max=100)
    assert (caught.value.code, caught.value.limit) == ("too_many_values", VALUES_MAX)
    check(b'["' + b"," * (VALUES_MAX + 5) + b'"]', depth_max=100)


def test_counting_values_takes_little_more_memory_than_the_body() -> None:
    body = b'["' + b'","' * (VALUES_MAX + 5) + b'"]'
    tracemalloc.start()
    try:
        with pytest.raises(InvalidField, match="values"):
            check(body, depth_max=100)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(body)


@pytest.mark.parametrize("shift", range(12))
def test_brackets_are_told_from_texts_wherever_the_body_is_cut_for_it(shift: int) -> None:
    odd = ['\\"[[[[', "\\", '"', "]]]", ["", ["\\\\"]]]
    body = json.dumps(["x" * (65_536 - 14 + shift), odd, [[]] * 200]).encode()
    check(body, depth_max=4)
    with pytest.raises(InvalidField) as caught:
        check(body, depth_max=3)
    assert (caught.value.code, caught.value.field) == ("too_deep", "[1][4][1]")
    assert surely_fine(body, depth_max=4)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"a":tru}', "character 5"),
        (b"[1,2", "the end"),
        (b'{"a" 1}', "character 5"),
        (b"\xff", "byte 0"),
    ],
)
def test_a_syntax_error_is_said_with_its_place(body: bytes, place: str) -> None:
    with pytest.raises(InvalidJson, match=place):
        check(body, depth_max=100)


def test_a_field_path_is_bounded() -> None:
    body = b'{"%s":{"%s":NaN}}' % (b"k" * 500, b"k" * 500)
    with pytest.raises(InvalidJson) as caught:
        check(body, depth_max=100)
    assert caught.value.field is not None
    assert len(caught.value.field) < 300
