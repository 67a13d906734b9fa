"""A wrong request is refused by code and field, and the node goes on as if nothing had been."""

from typing import Any

import pytest

from tests.tqnode.api.conftest import Served, problem, still_well

JSON = {"content-type": "application/json"}
SOME_ID = "0198c0de-0000-7000-8000-000000000000"


OTHERS: dict[str, tuple[str, str, dict[str, Any], tuple[int, str, str | None]]] = {
    # name: method, path, what httpx sends, (status, code, field)
    "bad id": ("GET", "/v1/tasks/1234", {}, (422, "invalid_field", "id")),
    "id with braces": ("GET", f"/v1/tasks/{{{SOME_ID}}}", {}, (422, "invalid_field", "id")),
    "id without dashes": ("GET", f"/v1/tasks/{SOME_ID.replace('-', '')}", {}, (422, "invalid_field", "id")),
    "id with a newline": ("GET", f"/v1/tasks/{SOME_ID}%0A", {}, (422, "invalid_field", "id")),
    "id with NUL": ("DELETE", "/v1/tasks/%00", {}, (422, "invalid_field", "id")),
    "id of bad UTF-8": ("GET", "/v1/tasks/%FF%FE", {}, (422, "invalid_field", "id")),
    "bad id to cancel": ("POST", "/v1/tasks/x/cancel", {}, (422, "invalid_field", "id")),
    "bad worker id": ("POST", "/v1/workers/x/quiet", {}, (422, "invalid_field", "id")),
    "unknown worker": ("POST", f"/v1/workers/{SOME_ID}/quiet", {}, (404, "worker_not_found", None)),
    "unknown worker leaves": ("DELETE", f"/v1/workers/{SOME_ID}", {}, (404, "worker_not_found", None)),
    "unknown worker's heartbeat": (
        "POST",
        f"/v1/workers/{SOME_ID}/heartbeat",
        {"json": {}},
        (404, "worker_not_found", None),
    ),
    "unknown queue": ("GET", "/v1/queues/nope", {}, (404, "queue_not_found", None)),
    "unknown queue to pause": ("POST", "/v1/queues/nope/pause", {}, (404, "queue_not_found", None)),
    "unknown queue to purge": ("POST", "/v1/queues/nope/purge", {}, (404, "queue_not_found", None)),
    "queue with a space": ("GET", "/v1/queues/a%20b", {}, (422, "invalid_field", "queue")),
    "queue name too long": ("GET", f"/v1/queues/{'q' * 201}", {}, (422, "invalid_field", "queue")),
    "queue with a slash": ("GET", "/v1/queues/a%2Fb", {}, (404, "route_not_found", None)),
    "purge of the running": (
        "POST",
        "/v1/queues/q/purge",
        {"json": {"states": ["running"]}},
        (422, "invalid_field", "states[0]"),
    ),
    "no such route": ("GET", "/v1/nothing", {}, (404, "route_not_found", None)),
    "no such route at all": ("POST", "/etc/passwd", {}, (404, "route_not_found", None)),
    "a slash too many": ("GET", "/v1/tasks/", {}, (404, "route_not_found", None)),
    "two slashes": ("GET", "//v1/tasks", {}, (404, "route_not_found", None)),
    "dots": ("GET", "/v1/%2e%2e/tasks", {}, (404, "route_not_found", None)),
    "no such page": ("GET", "/docs/nothing", {}, (404, "page_not_found", None)),
    "page outside": ("GET", "/docs/..%2F..%2Fpyproject.toml", {}, (404, "route_not_found", None)),
    "malformed cursor": ("GET", "/v1/tasks?cursor=!!", {}, (400, "invalid_cursor", "cursor")),
    "empty cursor": ("GET", "/v1/tasks?cursor=", {}, (400, "invalid_cursor", "cursor")),
    "long cursor": ("GET", f"/v1/tasks?cursor={'A' * 300}", {}, (400, "invalid_cursor", "cursor")),
    "cursor of another shape": ("GET", "/v1/tasks?cursor=AAAA", {}, (400, "invalid_cursor", "cursor")),
    "cursor beyond ASCII": ("GET", "/v1/tasks?cursor=%C3%A9", {}, (400, "invalid_cursor", "cursor")),
    "limit 0": ("GET", "/v1/tasks?limit=0", {}, (422, "invalid_field", "limit")),
    "limit 1001": ("GET", "/v1/tasks?limit=1001", {}, (422, "invalid_field", "limit")),
    "limit a word": ("GET", "/v1/tasks?limit=ten", {}, (422, "invalid_field", "limit")),
    "limit of many digits": ("GET", f"/v1/tasks?limit={'9' * 5000}", {}, (422, "invalid_field", "limit")),
    "limit twice": ("GET", "/v1/tasks?limit=1&limit=2", {}, (422, "invalid_field", "limit")),
    "limit in other digits": ("GET", "/v1/tasks?limit=%D9%A1", {}, (422, "invalid_field", "limit")),
    "unknown state": ("GET", "/v1/tasks?state=lost", {}, (422, "invalid_field", "state")),
    "unknown parameter": ("GET", "/v1/tasks?colour=red", {}, (422, "unknown_field", "colour")),
    "min_priority 256": ("GET", "/v1/tasks?min_priority=256", {}, (422, "invalid_field", "min_priority")),
    "max_priority -1": ("GET", "/v1/tasks?max_priority=-1", {}, (422, "invalid_field", "max_priority")),
    "naive moment": (
        "GET",
        "/v1/tasks?created_after=2026-01-01T00:00:00",
        {},
        (422, "invalid_field", "created_after"),
    ),
    "moment in the year 10000": (
        "GET",
        "/v1/tasks?finished_before=10000-01-01T00:00:00Z",
        {},
        (422, "invalid_field", "finished_before"),
    ),
    "parameter of a call without any": (
        "POST",
        "/v1/claims?wait_s=9",
        {"json": {"worker": "w"}},
        (422, "unknown_field", "wait_s"),
    ),
    "empty tag": ("GET", "/v1/tasks?tag=", {}, (422, "invalid_field", "tag")),
    "long tag": ("GET", f"/v1/tasks?tag={'t' * 201}", {}, (422, "invalid_field", "tag")),
    "NUL in a tag": ("GET", "/v1/tasks?tag=a%00", {}, (422, "invalid_text", "tag")),
    "bad UTF-8 in a tag": ("GET", "/v1/tasks?tag=%FF", {}, (422, "invalid_field", "query")),
    "payload a word": ("GET", "/v1/tasks?payload=maybe", {}, (422, "invalid_field", "payload")),
    "partial a word": (
        "POST",
        "/v1/tasks?partial=maybe",
        {"json": [{"kind": "k"}]},
        (422, "invalid_field", "partial"),
    ),
    "300 parameters": ("GET", "/v1/tasks?" + "queue=q&" * 300, {}, (422, "invalid_field", "query")),
    "150 queues": ("GET", "/v1/tasks?" + "&".join(["queue=q"] * 150), {}, (422, "invalid_field", "queue")),
    "no content type": (
        "POST",
        "/v1/tasks",
        {"content": b"{}"},
        (415, "unsupported_media_type", "content-type"),
    ),
    "a form": ("POST", "/v1/tasks", {"data": {"kind": "k"}}, (415, "unsupported_media_type", "content-type")),
    "plain text": (
        "POST",
        "/v1/claims",
        {"content": b'{"worker":"w"}', "headers": {"content-type": "text/plain"}},
        (415, "unsupported_media_type", "content-type"),
    ),
    "JSON in Latin-1": (
        "POST",
        "/v1/tasks",
        {"content": b"{}", "headers": {"content-type": "application/json; charset=latin-1"}},
        (415, "unsupported_media_type", "content-type"),
    ),
    "purge with a form": (
        "POST",
        "/v1/queues/q/purge",
        {"data": {"states": "ready"}},
        (415, "unsupported_media_type", "content-type"),
    ),
    "idempotency key empty": (
        "POST",
        "/v1/tasks",
        {"json": {"kind": "k"}, "headers": {"idempotency-key": ""}},
        (422, "invalid_field", "idempotency-key"),
    ),
    "idempotency key too long": (
        "POST",
        "/v1/tasks",
        {"json": {"kind": "k"}, "headers": {"idempotency-key": "k" * 201}},
        (422, "invalid_field", "idempotency-key"),
    ),
    "idempotency key beyond ASCII": (
        "POST",
        "/v1/tasks",
        {"json": {"kind": "k"}, "headers": {"idempotency-key": "ké".encode()}},
        (422, "invalid_field", "idempotency-key"),
    ),
    "claim without worker": ("POST", "/v1/claims", {"json": {}}, (422, "missing_field", "worker")),
    "claim by an empty worker": (
        "POST",
        "/v1/claims",
        {"json": {"worker": ""}},
        (422, "invalid_field", "worker"),
    ),
    "claim by a long name": (
        "POST",
        "/v1/claims",
        {"json": {"worker": "w" * 201}},
        (422, "invalid_field", "worker"),
    ),
    "claim of nothing": (
        "POST",
        "/v1/claims",
        {"json": {"worker": "w", "max": 0}},
        (422, "invalid_field", "max"),
    ),
    "claim of 1,001": (
        "POST",
        "/v1/claims",
        {"json": {"worker": "w", "max": 1001}},
        (422, "invalid_field", "max"),
    ),
    "claim for 61 s": (
        "POST",
        "/v1/claims",
        {"json": {"worker": "w", "wait_s": 61}},
        (422, "invalid_field", "wait_s"),
    ),
    "claim for a negative time": (
        "POST",
        "/v1/claims",
        {"json": {"worker": "w", "wait_s": -1}},
        (422, "invalid_field", "wait_s"),
    ),
    "claim from no queue": (
        "POST",
        "/v1/claims",
        {"json": {"worker": "w", "queues": []}},
        (422, "invalid_field", "queues"),
    ),
    "claim from a bad queue": (
        "POST",
        "/v1/claims",
        {"json": {"worker": "w", "queues": ["a", "b c"]}},
        (422, "invalid_field", "queues[1]"),
    ),
    "claim from a long queue": (
        "POST",
        "/v1/claims",
        {"json": {"worker": "w", "queues": ["a", "b" * 201]}},
        (422, "invalid_field", "queues[1]"),
    ),
    "claim with a lease too long": (
        "POST",
        "/v1/claims",
        {"json": {"worker": "w", "lease_s": 86_401}},
        (422, "invalid_field", "lease_s"),
    ),
    "heartbeat without token": (
        "POST",
        f"/v1/tasks/{SOME_ID}/heartbeat",
        {"json": {}},
        (422, "missing_field", "token"),
    ),
    "complete with an array": (
        "POST",
        f"/v1/tasks/{SOME_ID}/complete",
        {"json": []},
        (422, "invalid_field", None),
    ),
    "complete with bad tasks": (
        "POST",
        f"/v1/tasks/{SOME_ID}/complete",
        {"json": {"token": "t", "then": [{"kind": "k"}, {"kind": ""}]}},
        (422, "invalid_field", "then[1].kind"),
    ),
    "complete with a task of a long kind": (
        "POST",
        f"/v1/tasks/{SOME_ID}/complete",
        {"json": {"token": "t", "then": [{"kind": "k"}, {"kind": "k" * 201}]}},
        (422, "invalid_field", "then[1].kind"),
    ),
    "complete with a large result": (
        "POST",
        f"/v1/tasks/{SOME_ID}/complete",
        {"json": {"token": "t", "result": "x" * 1_048_600}},
        (422, "invalid_field", "result"),
    ),
    "fail for a negative time": (
        "POST",
        f"/v1/tasks/{SOME_ID}/fail",
        {"json": {"token": "t", "delay_s": -1}},
        (422, "invalid_field", "delay_s"),
    ),
    "fail with a wrong error": (
        "POST",
        f"/v1/tasks/{SOME_ID}/fail",
        {"json": {"token": "t", "error": {"type": 1}}},
        (422, "invalid_field", "error.type"),
    ),
    "snooze for ever": (
        "POST",
        f"/v1/tasks/{SOME_ID}/snooze",
        {"json": {"token": "t", "delay_s": 1e9}},
        (422, "invalid_field", "delay_s"),
    ),
    "no outcomes": ("POST", "/v1/outcomes", {"json": {"outcomes": []}}, (422, "invalid_field", "outcomes")),
    "an outcome of no kind": (
        "POST",
        "/v1/outcomes",
        {"json": {"outcomes": [{"id": SOME_ID, "token": "t"}]}},
        (422, "missing_field", "outcomes[0].outcome"),
    ),
    "an outcome of an unknown kind": (
        "POST",
        "/v1/outcomes",
        {"json": {"outcomes": [{"id": SOME_ID, "token": "t", "outcome": "lose"}]}},
        (422, "invalid_field", "outcomes[0].outcome"),
    ),
    "worker without name": ("POST", "/v1/workers", {"json": {}}, (422, "missing_field", "name")),
    "worker with a long host": (
        "POST",
        "/v1/workers",
        {"json": {"name": "w", "host": "h" * 201}},
        (422, "invalid_field", "host"),
    ),
    "worker of no process": (
        "POST",
        "/v1/workers",
        {"json": {"name": "w", "pid": 0}},
        (422, "invalid_field", "pid"),
    ),
    "large progress": (
        "POST",
        f"/v1/workers/{SOME_ID}/heartbeat",
        {
            "json": {
                "leases": [{"id": "x", "token": "t"}, {"id": "x", "token": "t", "progress": "p" * 17_000}]
            }
        },
        (422, "invalid_field", "leases[1].progress"),
    ),
    "events of a bad id": ("GET", "/v1/events?id=7", {}, (422, "invalid_field", "id")),
    "events after nonsense": (
        "GET",
        "/v1/events",
        {"headers": {"last-event-id": "x" * 101}},
        (422, "invalid_field", "last-event-id"),
    ),
}


@pytest.mark.parametrize("case", OTHERS, ids=str)
async def test_a_wrong_request_is_refused_by_code_and_field(served: Served, case: str) -> None:
    method, path, sent, expected = OTHERS[case]
    answer = await served.http.request(method, path, **sent)
    assert problem(answer) == expected, answer.text
    await still_well(served)


async def test_a_wrong_method_is_told_the_right_ones(served: Served) -> None:
    for method, path, allowed in (
        ("PUT", "/v1/tasks", {"GET", "HEAD", "POST"}),
        ("POST", f"/v1/tasks/{SOME_ID}", {"DELETE", "GET", "HEAD"}),
        ("GET", "/v1/claims", {"POST"}),
        ("OPTIONS", "/v1/claims", {"POST"}),
        ("DELETE", "/livez", {"GET", "HEAD"}),
        ("POST", "/docs", {"GET", "HEAD"}),
    ):
        answer = await served.http.request(method, path)
        assert problem(answer) == (405, "method_not_allowed", "method")
        assert set(answer.headers["allow"].split(", ")) == allowed
    await still_well(served)
