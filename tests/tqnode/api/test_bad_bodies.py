"""A wrong body to enqueue is refused by code and field, and the node goes on as if nothing had been."""

import json
from typing import Any

import httpx
import pytest

from tests.tqnode.api.conftest import Serve, Served, problem, still_well

JSON = {"content-type": "application/json"}
SOME_ID = "0198c0de-0000-7000-8000-000000000000"


def task(**fields: Any) -> bytes:
    return json.dumps({"kind": "k", **fields}).encode()


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


BODIES: dict[str, tuple[bytes, int, str, str | None]] = {
    # The JSON itself.
    "empty": (b"", 400, "invalid_json", None),
    "only white space": (b" \n\t ", 400, "invalid_json", None),
    "no json": (b"kind=k", 400, "invalid_json", None),
    "cut off": (b'{"kind":"k"', 400, "invalid_json", "kind"),
    "cut off in a string": (b'{"kind":"k', 400, "invalid_json", "kind"),
    "cut off in an escape": (b'{"kind":"\\u00', 400, "invalid_json", "kind"),
    "two values": (b'{"kind":"k"}{"kind":"k"}', 400, "invalid_json", None),
    "trailing comma": (b'{"kind":"k",}', 400, "invalid_json", None),
    "trailing comma in array": (b'{"kind":"k","tags":["a",]}', 400, "invalid_json", "tags[1]"),
    "single quotes": (b"{'kind':'k'}", 400, "invalid_json", None),
    "comment": (b'{"kind":"k" /* c */}', 400, "invalid_json", "kind"),
    "leading zero": (b'{"kind":"k","priority":01}', 400, "invalid_json", "priority"),
    "bare fraction": (b'{"kind":"k","delay_s":.5}', 400, "invalid_json", "delay_s"),
    "raw control character": (b'{"kind":"a\x01b"}', 400, "invalid_json", "kind"),
    "raw NUL": (b'{"kind":"a\x00b"}', 400, "invalid_json", "kind"),
    "NaN": (b'{"kind":"k","payload":NaN}', 400, "invalid_json", "payload"),
    "Infinity": (b'{"kind":"k","payload":{"x":[-Infinity]}}', 400, "invalid_json", "payload.x[0]"),
    "byte order mark": (b"\xef\xbb\xbf" + task(), 400, "invalid_json", None),
    "bad UTF-8": (b'{"kind":"k","payload":"\xff"}', 400, "invalid_json", None),
    "overlong UTF-8": (b'{"kind":"k","payload":"\xc0\x80"}', 400, "invalid_json", None),
    "surrogate in UTF-8": (b'{"kind":"k","payload":"\xed\xa0\x80"}', 400, "invalid_json", None),
    "UTF-16": ('{"kind":"k"}'.encode("utf-16"), 400, "invalid_json", None),
    # What an ordinary reader would change or choke on.
    "1e999": (b'{"kind":"k","payload":{"x":1e999}}', 422, "number_out_of_range", "payload.x"),
    "-1e999 in a field": (b'{"kind":"k","delay_s":-1e999}', 422, "number_out_of_range", "delay_s"),
    "5,000 digits": (
        b'{"kind":"k","payload":[0,' + b"9" * 5000 + b"]}",
        422,
        "number_out_of_range",
        "payload[1]",
    ),
    "2^63": (b'{"kind":"k","payload":9223372036854775808}', 422, "number_out_of_range", "payload"),
    "-2^63-1": (b'{"kind":"k","meta":{"n":-9223372036854775809}}', 422, "number_out_of_range", "meta.n"),
    "2^63 as a priority": (
        b'{"kind":"k","priority":9223372036854775808}',
        422,
        "number_out_of_range",
        "priority",
    ),
    "duplicate key": (b'{"kind":"k","kind":"k"}', 422, "duplicate_key", "kind"),
    "duplicate key in the payload": (
        b'{"kind":"k","payload":{"a":[{"b":1,"c":2,"b":1}]}}',
        422,
        "duplicate_key",
        "payload.a[0].b",
    ),
    "duplicate key in disguise": (
        b'{"kind":"k","payload":{"a":1,"\\u0061":1}}',
        422,
        "duplicate_key",
        "payload.a",
    ),
    "duplicate key beside an escaped colon": (
        b'{"kind":"k","payload":{"a":"\\u003a","a":"\\u003a:"}}',
        422,
        "duplicate_key",
        "payload.a",
    ),
    "duplicate odd key": (
        b'{"kind":"k","payload":{"a b":1,"a b":1}}',
        422,
        "duplicate_key",
        'payload["a b"]',
    ),
    "high surrogate": (b'{"kind":"k","payload":"\\ud800"}', 422, "invalid_text", "payload"),
    "low surrogate": (b'{"kind":"k","payload":"a\\udc00b"}', 422, "invalid_text", "payload"),
    "surrogates reversed": (b'{"kind":"k","payload":"\\udc00\\ud800"}', 422, "invalid_text", "payload"),
    "surrogate in a key": (b'{"kind":"k","payload":{"\\ud800":1}}', 422, "invalid_text", None),
    "U+0000": (b'{"kind":"k","payload":{"t":"a\\u0000b"}}', 422, "invalid_text", "payload.t"),
    "U+0000 in a tag": (b'{"kind":"k","tags":["\\u0000"]}', 422, "invalid_text", "tags[0]"),
    "101 deep": (b'{"kind":"k","payload":' + nested(100) + b"}", 422, "too_deep", None),
    "100,000 deep": (b'{"kind":"k","payload":' + nested(100_000) + b"}", 422, "too_deep", None),
    "100,000 deep and open": (b"[" * 100_000, 422, "too_deep", None),
    "100,000 deep objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 422, "too_deep", None),
    "too many values": (
        b'{"kind":"k","payload":[' + b"0," * 1_000_001 + b"0]}",
        422,
        "too_many_values",
        None,
    ),
    # The wrong shape.
    "a number": (b"3", 422, "invalid_field", None),
    "a string": (b'"k"', 422, "invalid_field", None),
    "null": (b"null", 422, "invalid_field", None),
    "an empty array": (b"[]", 422, "invalid_field", None),
    "an array of no tasks": (b"[1]", 422, "invalid_field", "[0]"),
    "an array in an array": (b'[[{"kind":"k"}]]', 422, "invalid_field", "[0]"),
    "an empty object": (b"{}", 422, "missing_field", "kind"),
    "an unknown field": (task(nope=1), 422, "unknown_field", "nope"),
    "an unknown field in an array": (b'[{"kind":"k"},{"kind":"k","x":1}]', 422, "unknown_field", "[1].x"),
    "a missing field in an array": (b'[{"kind":"k"},{"queue":"q"}]', 422, "missing_field", "[1].kind"),
    # Fields.
    "kind null": (task(kind=None), 422, "invalid_field", "kind"),
    "kind a number": (task(kind=1), 422, "invalid_field", "kind"),
    "kind empty": (task(kind=""), 422, "invalid_field", "kind"),
    "kind with a space": (task(kind="a b"), 422, "invalid_field", "kind"),
    "kind with a newline": (task(kind="a\n"), 422, "invalid_field", "kind"),
    "kind with a slash": (task(kind="a/b"), 422, "invalid_field", "kind"),
    "kind of letters beyond ASCII": (task(kind="é"), 422, "invalid_field", "kind"),
    "kind too long": (task(kind="k" * 201), 422, "invalid_field", "kind"),
    "queue empty": (task(queue=""), 422, "invalid_field", "queue"),
    "queue too long": (task(queue="q" * 201), 422, "invalid_field", "queue"),
    "priority 256": (task(priority=256), 422, "invalid_field", "priority"),
    "priority -1": (task(priority=-1), 422, "invalid_field", "priority"),
    "priority 1.5": (task(priority=1.5), 422, "invalid_field", "priority"),
    "priority text": (task(priority="1"), 422, "invalid_field", "priority"),
    "priority true": (task(priority=True), 422, "invalid_field", "priority"),
    "delay negative": (task(delay_s=-0.001), 422, "invalid_field", "delay_s"),
    "delay absurd": (task(delay_s=1e300), 422, "invalid_field", "delay_s"),
    "delay text": (task(delay_s="5"), 422, "invalid_field", "delay_s"),
    "delay and run_at": (task(delay_s=1, run_at="2030-01-01T00:00:00Z"), 422, "invalid_field", "run_at"),
    "run_at without offset": (task(run_at="2030-01-01T00:00:00"), 422, "invalid_field", "run_at"),
    "run_at a number": (task(run_at=1e9), 422, "invalid_field", "run_at"),
    "run_at a word": (task(run_at="tomorrow"), 422, "invalid_field", "run_at"),
    "run_at 31 February": (task(run_at="2030-02-31T00:00:00Z"), 422, "invalid_field", "run_at"),
    "run_at in the year 9999": (task(run_at="9999-12-31T23:59:59.999Z"), 422, "invalid_field", "run_at"),
    "run_at beyond the year 9999": (
        task(run_at="9999-12-31T23:59:59.999-23:59"),
        422,
        "invalid_field",
        "run_at",
    ),
    "run_at in the year 10000": (task(run_at="10000-01-01T00:00:00Z"), 422, "invalid_field", "run_at"),
    "run_at with seconds of 60": (task(run_at="2016-12-31T23:59:60Z"), 422, "invalid_field", "run_at"),
    "expires in the past": (task(expires_at="2020-01-01T00:00:00Z"), 422, "invalid_field", "expires_at"),
    "expires before the year 1": (
        task(expires_at="0001-01-01T00:00:00+23:59"),
        422,
        "invalid_field",
        "expires_at",
    ),
    "expires beyond the year 9999": (
        task(expires_at="9999-12-31T23:59:59.999-23:59"),
        422,
        "invalid_field",
        "expires_at",
    ),
    "expires before it runs": (
        task(expires_at="2030-01-01T00:00:00Z", run_at="2030-01-02T00:00:00Z"),
        422,
        "invalid_field",
        "expires_at",
    ),
    "no attempts": (task(max_attempts=0), 422, "invalid_field", "max_attempts"),
    "1,001 attempts": (task(max_attempts=1001), 422, "invalid_field", "max_attempts"),
    "lease 0": (task(lease_s=0), 422, "invalid_field", "lease_s"),
    "lease beyond a day": (task(lease_s=86_401), 422, "invalid_field", "lease_s"),
    "time-out negative": (task(timeout_s=-1), 422, "invalid_field", "timeout_s"),
    "time-out absurd": (task(timeout_s=1e12), 422, "invalid_field", "timeout_s"),
    "tags no array": (task(tags="a"), 422, "invalid_field", "tags"),
    "tag empty": (task(tags=["a", ""]), 422, "invalid_field", "tags[1]"),
    "tag too long": (task(tags=["a", "t" * 201]), 422, "invalid_field", "tags[1]"),
    "21 tags": (task(tags=[f"t{index}" for index in range(21)]), 422, "invalid_field", "tags"),
    "51 tags": (task(tags=[f"t{index}" for index in range(51)]), 422, "invalid_field", "tags"),
    "meta an array": (task(meta=[1]), 422, "invalid_field", "meta"),
    "meta null": (task(meta=None), 422, "invalid_field", "meta"),
    "meta too large": (task(meta={"m": "x" * 16_400}), 422, "invalid_field", "meta"),
    "payload too large": (task(payload="x" * 1_048_600), 422, "invalid_field", "payload"),
    "retry of no type": (task(retry={}), 422, "missing_field", "retry.type"),
    "retry of an unknown type": (task(retry={"type": "never"}), 422, "invalid_field", "retry.type"),
    "retry with a negative delay": (
        task(retry={"type": "list", "delays_s": [1, -1]}),
        422,
        "invalid_field",
        "retry.delays_s[1]",
    ),
    "retry with no delays": (
        task(retry={"type": "list", "delays_s": []}),
        422,
        "invalid_field",
        "retry.delays_s",
    ),
    "retry with too much jitter": (
        task(retry={"type": "fixed", "delay_s": 1, "jitter": 2}),
        422,
        "invalid_field",
        "retry.jitter",
    ),
    "retry with an unknown field": (
        task(retry={"type": "fixed", "delay_s": 1, "x": 2}),
        422,
        "unknown_field",
        "retry.x",
    ),
    "unique without key": (task(unique={}), 422, "missing_field", "unique.key"),
    "unique with an empty key": (task(unique={"key": ""}), 422, "invalid_field", "unique.key"),
    "unique with a long key": (task(unique={"key": "k" * 201}), 422, "invalid_field", "unique.key"),
    "unique with an unknown way": (
        task(unique={"key": "k", "on_conflict": "ignore"}),
        422,
        "invalid_field",
        "unique.on_conflict",
    ),
    "unique in an unknown state": (
        task(unique={"key": "k", "states": ["ready", "lost"]}),
        422,
        "invalid_field",
        "unique.states[1]",
    ),
    "unique in too few states": (
        task(unique={"key": "k", "states": ["ready"]}),
        422,
        "invalid_field",
        "unique.states",
    ),
}


@pytest.mark.parametrize("case", BODIES, ids=str)
async def test_a_wrong_body_is_refused_by_code_and_field(served: Served, case: str) -> None:
    body, status, code, field = BODIES[case]
    answer = await served.http.post("/v1/tasks", content=body, headers=JSON)
    found = problem(answer)
    assert found[:2] == (status, code), answer.text
    if code == "too_deep" and field is None:
        assert found[2] is not None
        assert len(found[2]) < 300
    elif case != "surrogate in a key":
        assert found[2] == field
    assert len(answer.content) < 2000
    assert (await served.http.get("/v1/tasks")).json()["tasks"] == []
    await still_well(served)


async def test_ten_thousand_and_one_tasks_are_too_many(served: Served) -> None:
    body = b"[" + b",".join([b'{"kind":"k"}'] * 10_001) + b"]"
    answer = await served.http.post("/v1/tasks", content=body, headers=JSON)
    assert problem(answer) == (422, "batch_too_large", None)
    assert answer.json()["limit"] == 10_000
    outcome = {"id": SOME_ID, "token": "t", "outcome": "complete"}
    answer = await served.http.post("/v1/outcomes", json={"outcomes": [outcome] * 10_001})
    assert problem(answer) == (422, "batch_too_large", "outcomes")
    follow = [{**outcome, "then": [{"kind": "k"}] * 1000}] * 11
    answer = await served.http.post("/v1/outcomes", json={"outcomes": follow})
    assert problem(answer) == (422, "batch_too_large", "outcomes")
    await still_well(served)


async def test_limits_are_told_with_the_error(served: Served) -> None:
    for fields, limit in (
        ({"priority": 256}, 255),
        ({"kind": "k" * 201}, 200),
        ({"lease_s": 86_401}, 86_400),
        ({"tags": [str(index) for index in range(21)]}, 20),
        ({"max_attempts": 1001}, 1000),
    ):
        answer = await served.http.post("/v1/tasks", json={"kind": "k", **fields})
        assert answer.json()["limit"] == limit, answer.text


async def chunks(part: bytes, count: int) -> Any:
    for _ in range(count):
        yield part


async def test_a_body_over_the_limit_is_refused_however_it_comes(serve_with: Serve) -> None:
    async with serve_with(body_bytes_max=100_000, payload_bytes_max=90_000) as served:
        declared = await served.http.post("/v1/tasks", content=b" " * 100_001, headers=JSON)
        assert problem(declared) == (413, "body_too_large", None)
        assert declared.json()["limit"] == 100_000
        counted = await served.http.post("/v1/tasks", content=chunks(b" " * 1000, 101), headers=JSON)
        assert problem(counted) == (413, "body_too_large", None)
        huge = await served.http.post("/v1/tasks", content=chunks(b" " * 65_536, 200), headers=JSON)
        assert problem(huge) == (413, "body_too_large", None)
        fits = task(payload="x" * 80_000)
        whole = await served.http.post("/v1/tasks", content=fits + b" " * (100_000 - len(fits)), headers=JSON)
        assert whole.status_code == 201
        await still_well(served)


async def test_charset_utf_8_is_accepted(served: Served) -> None:
    for content_type in (
        "application/json; charset=utf-8",
        'Application/JSON;charset="UTF-8"',
        "application/json;",
    ):
        answer = await served.http.post("/v1/tasks", content=task(), headers={"content-type": content_type})
        assert answer.status_code == 201, content_type


async def test_calls_without_a_body_need_no_content_type(served: Served) -> None:
    made = await served.enqueue()
    for path in ("cancel", "retry"):
        answer: httpx.Response = await served.http.post(f"/v1/tasks/{made['id']}/{path}")
        assert answer.status_code == 200
    for path in ("pause", "resume", "purge"):
        answer = await served.http.post(f"/v1/queues/default/{path}")
        assert answer.status_code == 200
