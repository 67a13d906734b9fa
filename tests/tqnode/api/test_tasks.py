"""Tasks over HTTP."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.tqnode.api.conftest import Serve, Served, problem
from tests.waiting import eventually_async

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
SOME_ID = "0198c0de-0000-7000-8000-000000000000"


async def post(served: Served, body: bytes | str, **headers: str):
    return await served.http.post(
        "/v1/tasks", content=body, headers={"content-type": "application/json", **headers}
    )


async def test_one_task_is_made_and_not_echoed(served: Served) -> None:
    answer = await served.http.post(
        "/v1/tasks", json={"kind": "mail", "payload": {"to": "a"}, "meta": {"m": 1}}
    )
    assert answer.status_code == 201
    made = answer.json()
    assert made["state"] == "ready"
    assert made["queue"] == "default"
    assert (made["priority"], made["attempt"], made["max_attempts"], made["lease_s"]) == (128, 0, 10, 30.0)
    assert STAMP.fullmatch(made["created_at"])
    assert made["run_at"] == made["created_at"]
    assert "payload" not in made
    assert "meta" not in made
    read = (await served.http.get(f"/v1/tasks/{made['id']}")).json()
    assert read["payload"] == {"to": "a"}
    assert read["meta"] == {"m": 1}
    assert {key: read[key] for key in made} == made


async def test_an_uppercase_id_finds_its_task(served: Served) -> None:
    made = await served.enqueue()
    assert (await served.http.get(f"/v1/tasks/{made['id'].upper()}")).json()["id"] == made["id"]


PAYLOADS = [
    b'{"id": 1970670598291982290, "x": 1.10}',
    b'{"z":1,"a":2,"m":[1.000,1e5,-0.0,0.30000000000000004]}',
    b'"text with \\u00e9 and \\ud83d\\ude00 and \\"quotes\\" and \\\\ and \\/"',
    b"[ ]",
    b"{ }",
    b"null",
    b"0",
    b"-9223372036854775808",
    b"9223372036854775807",
    b"12345678901234567890.0",
    b'"1234567890123456789012345678901234567890"',
    '"é😀\u2028"'.encode(),
    b'{"a" : {"b" :\t[ true , false ,null ] } }',
    b'"\\u003a:\\u003A"',
]


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_payload_meta_and_result_come_back_byte_for_byte(served: Served, payload: bytes) -> None:
    meta = b'{ "n": 1.50 }'
    answer = await post(served, b'{"kind":"k","payload":%s ,"meta": %s}' % (payload, meta))
    assert answer.status_code == 201, answer.text
    (claimed,) = (await served.http.post("/v1/claims", json={"worker": "w"})).json()["tasks"]
    claim_again = await served.http.get(f"/v1/tasks/{claimed['id']}")
    assert b'"payload":' + payload + b"," in claim_again.content
    assert b'"meta":' + meta + b"," in claim_again.content
    finish = await served.http.post(
        f"/v1/tasks/{claimed['id']}/complete",
        content=b'{"token":"%s","result":  %s }' % (claimed["token"].encode(), payload),
        headers={"content-type": "application/json"},
    )
    assert finish.status_code == 200, finish.text
    done = await served.http.get(f"/v1/tasks/{claimed['id']}")
    assert b'"result":' + payload in done.content


async def test_every_field_of_a_task_is_kept(served: Served) -> None:
    expires = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    made = await served.enqueue(
        "k",
        queue="q.1",
        priority=7,
        delay_s=3600.5,
        max_attempts=3,
        lease_s=12.5,
        timeout_s=1.25,
        expires_at=expires,
        tags=["b", "a", "b"],
        retry={"type": "list", "delays_s": [1, 2.5]},
        unique={"key": "u", "states": ["scheduled", "blocked", "ready", "running", "succeeded"]},
    )
    read = (await served.http.get(f"/v1/tasks/{made['id']}")).json()
    for task in (made, read):
        assert task["state"] == "scheduled"
        assert (task["queue"], task["priority"], task["max_attempts"]) == ("q.1", 7, 3)
        assert (task["lease_s"], task["timeout_s"]) == (12.5, 1.25)
        assert task["tags"] == ["b", "a"]
        assert task["unique_key"] == "u"
        assert task["retry"]["type"] == "list"
        assert task["retry"]["delays_s"] == [1, 2.5]
    assert made["run_at"] == read["run_at"]
    run_at, created = (datetime.fromisoformat(read[name]) for name in ("run_at", "created_at"))
    assert abs((run_at - created).total_seconds() - 3600.5) < 5
    assert datetime.fromisoformat(read["expires_at"]) - datetime.fromisoformat(expires) < timedelta(seconds=1)


async def test_a_time_with_another_offset_is_the_same_moment(served: Served) -> None:
    at = datetime.now(UTC).replace(microsecond=123_999) + timedelta(hours=5)
    east = at.astimezone(tz=datetime.fromisoformat("2000-01-01T00:00:00+05:30").tzinfo)
    made = await served.enqueue(run_at=east.isoformat())
    assert made["run_at"] == at.strftime("%Y-%m-%dT%H:%M:%S.123Z")


@pytest.mark.parametrize(
    "past", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59+00:00", "2020-01-01T00:00:00Z"]
)
async def test_a_time_in_the_past_means_at_once(served: Served, past: str) -> None:
    made = await served.enqueue(run_at=past)
    assert made["state"] == "ready"
    assert made["run_at"] == made["created_at"]


async def test_an_array_is_answered_in_order(served: Served) -> None:
    tasks = [{"kind": f"k{index}"} for index in range(50)]
    answer = await served.http.post("/v1/tasks", json=tasks)
    assert answer.status_code == 201
    results = answer.json()["results"]
    kinds = [(await served.http.get(f"/v1/tasks/{row['id']}")).json()["kind"] for row in results]
    assert kinds == [task["kind"] for task in tasks]
    assert all(row["state"] == "ready" and "duplicate" not in row for row in results)


async def test_an_array_with_one_mistake_makes_nothing(served: Served) -> None:
    answer = await served.http.post("/v1/tasks", json=[{"kind": "a"}, {"kind": "b", "priority": 256}])
    assert problem(answer) == (422, "invalid_field", "[1].priority")
    assert answer.json()["limit"] == 255
    assert (await served.http.get("/v1/tasks")).json()["tasks"] == []


async def test_partial_keeps_what_can_be_kept(served: Served) -> None:
    await served.enqueue("u", unique={"key": "held"})
    tasks = [
        {"kind": "a"},
        {"kind": "b", "priority": -1},
        {"kind": "c", "nope": 1},
        {"kind": "u", "unique": {"key": "held", "on_conflict": "reject"}},
        {"kind": "u", "unique": {"key": "held"}},
        7,
        {"kind": "z", "lease_s": 1e8},
    ]
    answer = await served.http.post("/v1/tasks?partial=true", json=tasks)
    assert answer.status_code == 201
    rows = answer.json()["results"]
    errors = [(row["error"]["code"], row["error"].get("field")) if "error" in row else None for row in rows]
    assert errors == [
        None,
        ("invalid_field", "[1].priority"),
        ("unknown_field", "[2].nope"),
        ("unique_conflict", None),
        None,
        ("invalid_field", "[5]"),
        ("invalid_field", "[6].lease_s"),
    ]
    assert rows[4]["duplicate"] is True
    assert rows[3]["error"]["task"] == rows[4]["id"]
    assert len((await served.http.get("/v1/tasks")).json()["tasks"]) == 2


async def test_a_duplicate_is_answered_with_the_surviving_task(served: Served) -> None:
    first = await served.enqueue(unique={"key": "one"}, payload={"n": 1})
    again = await served.http.post("/v1/tasks", json={"kind": "k", "unique": {"key": "one"}, "payload": 2})
    assert again.status_code == 200
    body = again.json()
    assert (body["id"], body["duplicate"], body["payload"]) == (first["id"], True, {"n": 1})
    other_kind = await served.http.post("/v1/tasks", json={"kind": "k2", "unique": {"key": "one"}})
    assert other_kind.status_code == 201
    replaced = await served.http.post(
        "/v1/tasks", json={"kind": "k", "unique": {"key": "one", "on_conflict": "replace"}, "payload": 3}
    )
    assert (replaced.status_code, replaced.json()["id"], replaced.json()["payload"]) == (200, first["id"], 3)
    refused = await served.http.post(
        "/v1/tasks", json={"kind": "k", "unique": {"key": "one", "on_conflict": "reject"}}
    )
    assert problem(refused) == (409, "unique_conflict", None)
    assert refused.json()["task"] == first["id"]


async def test_a_repeated_key_with_the_same_body_makes_nothing_new(served: Served) -> None:
    body = json.dumps({"kind": "k", "delay_s": 60})
    first = await post(served, body, **{"idempotency-key": "a-1"})
    again = await post(served, body, **{"idempotency-key": "a-1"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    other = await post(served, '{"kind":"other"}', **{"idempotency-key": "a-1"})
    assert problem(other) == (409, "idempotency_mismatch", None)
    headers = {"content-type": "application/json", "idempotency-key": "b"}
    whole = await served.http.post("/v1/tasks?partial=true", content='[{"kind":"k"}]', headers=headers)
    parts = await served.http.post("/v1/tasks", content='[{"kind":"k"}]', headers=headers)
    assert whole.status_code == 201
    assert problem(parts) == (409, "idempotency_mismatch", None)
    many = json.dumps([{"kind": "k"}] * 3)
    assert (await post(served, many, **{"idempotency-key": "c"})).content == (
        await post(served, many, **{"idempotency-key": "c"})
    ).content
    assert len((await served.http.get("/v1/tasks")).json()["tasks"]) == 5


async def test_a_repeated_key_tells_the_time_it_told_before(served: Served) -> None:
    body = json.dumps({"kind": "k", "delay_s": 60})
    first = await post(served, body, **{"idempotency-key": "a-1"})

    async def later() -> bool:
        again = await post(served, body, **{"idempotency-key": "a-1"})
        assert again.json() == first.json()
        made_ms = datetime.fromisoformat(first.json()["created_at"]).timestamp() * 1000
        return datetime.now(UTC).timestamp() * 1000 > made_ms + 20

    await eventually_async(later)


async def test_partial_takes_an_idempotency_key_too(served: Served) -> None:
    tasks = json.dumps([{"kind": "a"}, {"kind": "b", "priority": 999}, {"kind": "c"}])
    headers = {"content-type": "application/json", "idempotency-key": "p"}
    answers = [
        await served.http.post("/v1/tasks?partial=true", content=tasks, headers=headers) for _ in range(2)
    ]
    assert answers[0].json() == answers[1].json()
    assert len((await served.http.get("/v1/tasks")).json()["tasks"]) == 2


async def test_a_page_goes_on_where_the_last_one_ended(served: Served) -> None:
    await served.http.post("/v1/tasks", json=[{"kind": f"k{index}"} for index in range(25)])
    kinds: list[str] = []
    parameters: dict[str, str] = {"limit": "10"}
    for expected in (10, 10, 5):
        page = (await served.http.get("/v1/tasks", params=parameters)).json()
        assert len(page["tasks"]) == expected
        kinds += [task["kind"] for task in page["tasks"]]
        parameters["cursor"] = page.get("next_cursor", "")
    assert kinds == [f"k{index}" for index in reversed(range(25))]
    assert not parameters["cursor"]


async def test_filters_choose_what_a_page_shows(served: Served) -> None:
    begin = datetime.now(UTC) - timedelta(seconds=1)
    await served.enqueue("a", queue="q1", priority=10, tags=["x"])
    await served.enqueue("b", queue="q2", priority=20)
    await served.enqueue("c", queue="q3", priority=30, delay_s=100)
    (held,) = await served.claim(queues=["q1"])

    async def kinds(query: str) -> str:
        answer = await served.http.get(f"/v1/tasks?{query}")
        assert answer.status_code == 200, answer.text
        return "".join(sorted(task["kind"] for task in answer.json()["tasks"]))

    assert await kinds("") == "abc"
    assert await kinds("queue=q1") == "a"
    assert await kinds("queue=q1&queue=q3") == "ac"
    assert await kinds("state=running") == "a"
    assert await kinds("state=ready&state=scheduled") == "bc"
    assert await kinds("kind=a&kind=b&queue=q2") == "b"
    assert await kinds("tag=x") == "a"
    assert await kinds("worker=w") == "a"
    assert await kinds("min_priority=15&max_priority=25") == "b"
    stamp = begin.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert await kinds(f"created_after={stamp}") == "abc"
    assert await kinds(f"created_before={stamp}") == ""
    assert await kinds(f"created_after={stamp.replace('Z', '+00:00')}") == "abc"
    assert await kinds(f"finished_after={stamp}") == ""
    await served.http.post(f"/v1/tasks/{held['id']}/complete", json={"token": held["token"]})
    assert await kinds(f"finished_after={stamp}") == "a"
    assert await kinds(f"finished_before={stamp}") == ""


async def test_a_page_has_payloads_only_when_asked(served: Served) -> None:
    await served.enqueue(payload=[1.10])
    assert "payload" not in (await served.http.get("/v1/tasks")).json()["tasks"][0]
    assert b'"payload":[1.1]' in (await served.http.get("/v1/tasks?payload=true")).content


async def test_a_page_ends_short_rather_than_grow_without_bound(served: Served) -> None:
    tasks = [{"kind": f"k{index}", "payload": "x" * 1_000_000} for index in range(20)]
    assert (await served.http.post("/v1/tasks", json=tasks)).status_code == 201
    first = (await served.http.get("/v1/tasks?payload=true")).json()
    assert len(first["tasks"]) == 17
    rest = (await served.http.get(f"/v1/tasks?payload=true&cursor={first['next_cursor']}")).json()
    assert [task["kind"] for task in rest["tasks"]] == ["k2", "k1", "k0"]
    assert "next_cursor" not in rest
    assert len((await served.http.get("/v1/tasks")).json()["tasks"]) == 20


async def test_cancel_retry_and_delete_move_a_task(served: Served) -> None:
    made = await served.enqueue()
    cancelled = await served.http.post(f"/v1/tasks/{made['id']}/cancel")
    assert (cancelled.json()["state"], cancelled.json()["reason"]) == ("cancelled", "requested")
    again = await served.http.post(f"/v1/tasks/{made['id']}/cancel")
    assert again.json()["state"] == "cancelled"
    retried = await served.http.post(f"/v1/tasks/{made['id']}/retry")
    assert retried.json()["state"] == "ready"
    (held,) = await served.claim()
    refused = await served.http.delete(f"/v1/tasks/{made['id']}")
    assert problem(refused) == (409, "wrong_state", None)
    await served.http.post(f"/v1/tasks/{made['id']}/complete", json={"token": held["token"]})
    gone = await served.http.delete(f"/v1/tasks/{made['id']}")
    assert (gone.status_code, gone.content) == (204, b"")
    for call in (
        served.http.get(f"/v1/tasks/{made['id']}"),
        served.http.delete(f"/v1/tasks/{made['id']}"),
        served.http.post(f"/v1/tasks/{made['id']}/cancel"),
        served.http.post(f"/v1/tasks/{made['id']}/retry"),
        served.http.post(f"/v1/tasks/{made['id']}/heartbeat", json={"token": held["token"]}),
        served.http.post(f"/v1/tasks/{made['id']}/complete", json={"token": held["token"]}),
        served.http.get(f"/v1/tasks/{SOME_ID}"),
    ):
        assert problem(await call) == (404, "task_not_found", None)


async def test_a_full_queue_refuses_with_a_time_to_come_again(serve_with: Serve) -> None:
    async with serve_with(queue_depth_max=2, queues_max=2) as served:
        await served.enqueue()
        await served.enqueue()
        full = await served.http.post("/v1/tasks", json={"kind": "k"})
        assert problem(full) == (429, "queue_full", "queue_depth_max")
        assert int(full.headers["retry-after"]) >= 1
        assert full.json()["retry_after_s"] >= 1
        await served.enqueue(queue="second")
        many = await served.http.post("/v1/tasks", json={"kind": "k", "queue": "third"})
        assert problem(many) == (429, "queue_full", "queues_max")


async def test_the_batch_limit_is_exact(serve_with: Serve) -> None:
    async with serve_with(batch_max=5) as served:
        assert (await served.http.post("/v1/tasks", json=[{"kind": "k"}] * 5)).status_code == 201
        for query in ("", "?partial=true"):
            refused = await served.http.post(f"/v1/tasks{query}", json=[{"kind": "k"}] * 6)
            assert problem(refused) == (422, "batch_too_large", None)
            assert refused.json()["limit"] == 5
