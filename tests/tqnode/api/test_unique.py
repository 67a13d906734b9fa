"""Unique keys as they are asked for: made from payloads, for a time, with each way to settle a conflict."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tqnode.api.conftest import Serve, Served, problem
from tqnode.api.unique import key_of

NESTED = b'{"user_id": 7, "order": {"id": 1.10, "lines": [{"sku": "a"}, {"sku": "\\u0062"}]}, "note": null}'


def key(payload: str | bytes, *fields: str, chars_max: int = 200) -> str:
    whole = payload.encode() if isinstance(payload, str) else payload
    return key_of(whole, list(fields), chars_max=chars_max)


@pytest.mark.parametrize(
    ("fields", "made"),
    [
        (["user_id"], '{"user_id":7}'),
        (["user_id", "order.id"], '{"order.id":1.10,"user_id":7}'),
        (["order.id", "user_id", "user_id"], '{"order.id":1.10,"user_id":7}'),
        (["order.lines.1.sku"], '{"order.lines.1.sku":"b"}'),
        (["/order/lines/0/sku"], '{"/order/lines/0/sku":"a"}'),
        (["order.lines"], '{"order.lines":[{"sku":"a"},{"sku":"b"}]}'),
        (["note"], '{"note":null}'),
        (["absent", "order.absent", "user_id.deeper", "order.lines.2", "order.lines.x"], "{}"),
        (["order.lines." + "9" * 30, "order.lines.-1"], "{}"),
        (["."], '{".":' + '{"note":null,"order":{"id":1.10,"lines":[{"sku":"a"},{"sku":"b"}]},"user_id":7}}'),
    ],
)
def test_a_key_is_what_the_payload_has_at_the_fields(fields: list[str], made: str) -> None:
    assert key(NESTED, *fields) == made


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a": 1}', '{"a": 1.0}'),
        ('{"a": 1}', '{"a": "1"}'),
        ('{"a": 12345678901234567890.0}', '{"a": 12345678901234567891.0}'),
        ('{"a": 0.1}', '{"a": 0.10}'),
        ('{"a": null}', "{}"),
        ('{"a": {}}', '{"a": []}'),
        ('{"a": true}', '{"a": "true"}'),
        ('{"a": ""}', '{"a": null}'),
        ('{"a": [1, 2]}', '{"a": [2, 1]}'),
    ],
)
def test_other_values_are_other_keys(one: str, other: str) -> None:
    assert key(one, "a") != key(other, "a")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a": {"x": 1, "y": 2}}', '{"a":{"y":2,"x":1}}'),
        ('{"a": "\\u00e9\\/"}', '{"a": "é/"}'),
        ('{"a": "x", "b": 1}', ' {"b": 2,\n"a" : "x" } '),
        ('{"\\u0061": 1}', '{"a": 1}'),
    ],
)
def test_equal_values_are_equal_keys_however_they_are_written(one: str, other: str) -> None:
    assert key(one, "a") == key(other, "a")


def test_a_name_with_a_dot_or_a_slash_is_found_by_a_pointer() -> None:
    assert key('{"a.b": {"c/d": {"~": 1}}}', "/a.b/c~1d/~0") == '{"/a.b/c~1d/~0":1}'


def test_a_key_that_would_be_too_long_is_a_digest() -> None:
    long = key(json.dumps({"a": "x" * 500}), "a")
    assert (long[:7], len(long)) == ("sha256:", 71)
    assert long != key(json.dumps({"a": "x" * 501}), "a")
    assert key(json.dumps({"a": "x" * 192}), "a") == '{"a":"' + "x" * 192 + '"}'


def test_a_payload_as_deep_as_may_be_makes_a_key() -> None:
    deep = "[" * 499 + "]" * 499
    assert key(f'{{"a":{deep}}}', "a", chars_max=2_000) == f'{{"a":{deep}}}'


texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=5)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: shuffled(part) for name, part in reversed(value.items())}
    return [shuffled(part) for part in value] if isinstance(value, list) else value


@given(st.dictionaries(texts, values, max_size=4), st.booleans(), st.booleans())
def test_a_key_depends_on_nothing_but_the_value(value: Any, ascii_only: bool, indented: bool) -> None:
    plain = json.dumps(value, allow_nan=False)
    other = json.dumps(shuffled(value), ensure_ascii=ascii_only, indent=3 if indented else None)
    made = key(plain, ".", chars_max=100_000)
    assert made == key(other, ".", chars_max=100_000)
    # It is JSON of that value: equal keys have equal values, so other values have other keys.
    assert json.loads(made) == {".": value}


# -- over HTTP -------------------------------------------------------------------------------------


async def post(served: Served, unique: dict[str, Any], payload: Any = None, **fields: Any) -> Any:
    return await served.http.post(
        "/v1/tasks", json={"kind": "k", "payload": payload, "unique": unique, **fields}
    )


async def test_tasks_of_the_same_fields_are_one(served: Served) -> None:
    unique = {"fields": ["user_id"]}
    first = await post(served, unique, {"user_id": 7, "n": 1})
    again = await post(served, unique, {"n": 2, "user_id": 7})
    other = await post(served, unique, {"user_id": 8})
    assert [answer.status_code for answer in (first, again, other)] == [201, 200, 201]
    assert first.json()["unique_key"] == '{"user_id":7}'
    assert (again.json()["id"], again.json()["duplicate"]) == (first.json()["id"], True)
    assert again.json()["payload"] == {"user_id": 7, "n": 1}


async def test_digits_are_told_apart_as_they_were_sent(served: Served) -> None:
    bodies = [
        b'{"kind":"k","payload":{"id":%s},"unique":{"fields":["id"]}}' % digits
        for digits in (b"1970670598291982290", b"1970670598291982291", b"1", b"1.0", b"1.00")
    ]
    headers = {"content-type": "application/json"}
    made = [await served.http.post("/v1/tasks", content=body, headers=headers) for body in bodies]
    assert [answer.status_code for answer in made] == [201] * 5


@pytest.mark.parametrize("mode", ["replace", "debounce", "keep_earliest"])
async def test_a_waiting_task_with_new_content_is_answered_as_it_is_now(served: Served, mode: str) -> None:
    unique = {"key": "k", "on_conflict": mode}
    first = (await post(served, unique, 1, delay_s=100)).json()
    again = await post(served, unique, 2, delay_s=50)
    assert again.status_code == 200
    task = again.json()
    assert (task["id"], task["payload"], task["duplicate"]) == (first["id"], 2, True)
    assert (task["run_at"] == first["run_at"]) is (mode == "debounce")
    rows = await served.http.post(
        "/v1/tasks", json=[{"kind": "k", "unique": {"key": "k"}}, {"kind": "k", "unique": {"key": "l"}}]
    )
    assert [row.get("duplicate", False) for row in rows.json()["results"]] == [True, False]


async def test_a_period_holds_the_key_beyond_success(served: Served) -> None:
    unique = {"fields": ["u"], "period_s": 3600}
    first = (await post(served, unique, {"u": 1})).json()
    (task,) = await served.claim()
    await served.http.post(f"/v1/tasks/{task['id']}/complete", json={"token": task["token"]})
    again = await post(served, unique, {"u": 1})
    assert (again.status_code, again.json()["id"], again.json()["state"]) == (200, first["id"], "succeeded")


@pytest.mark.parametrize(
    ("unique", "field", "code"),
    [
        ({}, "unique.key", "missing_field"),
        ({"key": "k", "fields": ["a"]}, "unique.fields", "invalid_field"),
        ({"fields": []}, "unique.fields", "invalid_field"),
        ({"fields": [""]}, "unique.fields[0]", "invalid_field"),
        ({"fields": ["a", "b" * 201]}, "unique.fields[1]", "invalid_field"),
        ({"fields": ["a"] * 21}, "unique.fields", "invalid_field"),
        ({"key": "k", "period_s": 0}, "unique.period_s", "invalid_field"),
        ({"key": "k", "period_s": 90_000}, "unique.period_s", "invalid_field"),
        ({"key": "k", "max_wait_s": 5}, "unique.max_wait_s", "invalid_field"),
        ({"key": "k", "on_conflict": "debounce", "max_wait_s": -1}, "unique.max_wait_s", "invalid_field"),
    ],
)
async def test_what_makes_no_sense_is_refused_with_its_field(
    served: Served, unique: dict[str, Any], field: str, code: str
) -> None:
    answer = await post(served, unique)
    assert problem(answer) == (422, code, field)


async def test_a_period_is_no_longer_than_tasks_are_kept(serve_with: Serve) -> None:
    async with serve_with(keep_succeeded_s=60) as served:
        answer = await post(served, {"key": "k", "period_s": 61})
        assert problem(answer) == (422, "invalid_field", "unique.period_s")
        assert answer.json()["limit"] == 60
        assert "keep_succeeded_s" in answer.json()["detail"]
        assert (await post(served, {"key": "k", "period_s": 60})).status_code == 201
        waiting = {"key": "l", "period_s": 90_000, "states": ["blocked", "scheduled", "ready"]}
        assert (await post(served, waiting)).status_code == 201


async def test_a_task_that_may_change_another_waits_for_none(served: Served) -> None:
    parent = (await served.enqueue())["id"]
    for mode in ("replace", "debounce", "keep_earliest"):
        answer = await post(served, {"key": "k", "on_conflict": mode}, after=[parent])
        assert problem(answer) == (422, "invalid_field", "after")


async def test_a_retry_that_would_meet_the_holder_is_a_conflict_that_names_it(served: Served) -> None:
    first = await served.claimed(unique={"key": "k"})
    await served.http.post(f"/v1/tasks/{first['id']}/complete", json={"token": first["token"]})
    holder = (await post(served, {"key": "k"})).json()["id"]
    answer = await served.http.post(f"/v1/tasks/{first['id']}/retry")
    assert problem(answer) == (409, "unique_conflict", None)
    assert answer.json()["task"] == holder


async def test_a_schedule_shows_how_its_tasks_are_unique(served: Served) -> None:
    unique = {"fields": ["u"], "period_s": 60.0, "on_conflict": "debounce", "max_wait_s": 5.0}
    body = {"every_s": 60, "task": {"kind": "k", "payload": {"u": 1}, "unique": unique}}
    for status in (201, 200):
        answer = await served.http.put("/v1/schedules/s", json=body)
        assert answer.status_code == status
        shown = answer.json()["task"]["unique"]
        states = ["blocked", "scheduled", "ready", "running", "succeeded"]
        assert shown == unique | {"states": states}
