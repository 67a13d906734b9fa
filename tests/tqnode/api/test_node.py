"""Health, statistics, metrics, the API's description and the pages."""

import asyncio
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate
from prometheus_client.parser import text_string_to_metric_families

import tqweb
from tests.tqnode.api.conftest import Serve, Served, problem
from tqnode import errors
from tqnode.api import gauges, node
from tqnode.api.codes import CODES
from tqnode.api.openapi import document
from tqnode.api.routes import ROUTES


async def samples(served: Served) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """All of /metrics by name and labels."""
    answer = await served.http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_a_healthy_node_says_so(served: Served) -> None:
    assert (await served.http.get("/livez")).json() == {"ok": True}
    assert (await served.http.get("/leader")).status_code == 200
    ready = await served.http.get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {"ok": True, "checks": {"database": "ok", "disk": "ok", "serving": "ok"}}


async def test_a_draining_node_lives_but_is_not_ready(served: Served) -> None:
    served.draining.set()
    assert (await served.http.get("/livez")).status_code == 200
    ready = await served.http.get("/readyz")
    assert ready.status_code == 503
    assert ready.json() == {"ok": False, "checks": {"database": "ok", "disk": "ok", "serving": "draining"}}


async def test_a_node_without_room_on_its_disk_is_not_ready(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "DISK_FREE_BYTES_MIN", 1 << 60)
    ready = await served.http.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["checks"]["disk"].startswith("full: ")


async def test_stats_count_what_is_there_and_what_was_done(served: Served) -> None:
    await served.http.post(
        "/v1/tasks", json=[{"kind": "k"}] * 3 + [{"kind": "k", "queue": "b", "delay_s": 9}]
    )
    await served.claim()
    await served.http.post("/v1/workers", json={"name": "w"})
    stats = (await served.http.get("/v1/stats")).json()
    assert stats["totals"] == {"ready": 2, "running": 1, "scheduled": 1}
    assert [row["queue"] for row in stats["queues"]] == ["b", "default"]
    assert stats["workers"] == 1
    assert stats["since_start"]["enqueued"] == 4
    assert stats["since_start"]["claimed"] == 1
    assert stats["database"]["file"] > 0
    assert stats["uptime_s"] >= 0
    assert stats["version"]


async def test_metrics_have_the_names_that_were_promised(served: Served) -> None:
    await served.enqueue()
    await served.enqueue(queue="b", delay_s=5)
    task = await served.claimed(queue="default")
    stale = {"token": "1-0000000000000000"}
    await served.http.post(f"/v1/tasks/{task['id']}/complete", json=stale)
    await served.http.get("/v1/nothing")
    await served.http.request("PROPFIND", "/v1/tasks")
    found = await samples(served)
    assert found["tq_tasks", (("queue", "b"), ("state", "scheduled"))] == 1
    assert found["tq_tasks", (("queue", "default"), ("state", "ready"))] == 1
    assert found["tq_queue_oldest_age_seconds", (("queue", "default"),)] >= 0
    assert found["tq_queue_paused", (("queue", "default"),)] == 0
    assert found["tq_waiting_claims", ()] == 0
    assert found["tq_event_followers", ()] == 0
    assert found["tq_fenced_requests_total", ()] == 1
    assert found["tq_fsync_duration_seconds_count", ()] >= 4
    assert found["tq_database_bytes", (("part", "file"),)] > 0
    assert (
        found["tq_http_requests_total", (("method", "POST"), ("route", "/v1/tasks"), ("status", "201"))] == 3
    )
    late = ("route", "/v1/tasks/{id}/complete")
    assert found["tq_http_requests_total", (("method", "POST"), late, ("status", "409"))] == 1
    assert found["tq_http_requests_total", (("method", "GET"), ("route", "other"), ("status", "404"))] == 1
    assert found["tq_http_requests_total", (("method", "other"), ("route", "other"), ("status", "405"))] == 1
    assert found["tq_http_request_duration_seconds_count", (("route", "/v1/tasks"),)] == 3
    assert found["tq_http_request_duration_seconds_bucket", (("le", "+Inf"), ("route", "/v1/tasks"))] == 3


async def test_metrics_come_in_the_format_that_was_asked_for(served: Served) -> None:
    answer = await served.http.get("/metrics", headers={"accept": "application/openmetrics-text"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


async def test_queues_beyond_the_bound_share_one_label(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gauges, "QUEUES_LABELLED_MAX", 2)
    tasks = [{"kind": "k", "queue": f"q{index}"} for index in range(5) for _ in range(index + 1)]
    await served.http.post("/v1/tasks", json=tasks)
    found = await samples(served)
    counts = {labels[0][1]: value for (name, labels), value in found.items() if name == "tq_tasks"}
    assert counts == {"q4": 5, "q3": 4, "other": 6}


def test_the_description_is_valid_openapi() -> None:
    validate(json.loads(document(ROUTES)))


async def test_every_route_is_described_and_served(served: Served) -> None:
    description = (await served.http.get("/openapi.json")).json()
    described = {(method.upper(), path) for path, item in description["paths"].items() for method in item}
    assert described == {(route.method, route.path) for route in ROUTES}
    assert len({route.name for route in ROUTES}) == len(ROUTES)
    some_id = "0198c0de-0000-7000-8000-000000000000"
    for method, path in described - {("GET", "/v1/events")}:
        answer = await served.http.request(method, path.replace("{id}", some_id).replace("{queue}", "q"))
        code = answer.json().get("code") if "json" in answer.headers.get("content-type", "") else None
        assert code not in ("route_not_found", "method_not_allowed", "internal")
        responses = description["paths"][path][method.lower()]["responses"]
        assert str(answer.status_code) in responses, (method, path, answer.text)


async def test_head_answers_as_get_without_the_body(served: Served) -> None:
    made = await served.enqueue()
    for path in (f"/v1/tasks/{made['id']}", "/v1/workers", "/openapi.json", "/docs", "/docs/api"):
        whole, head = await served.http.get(path), await served.http.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(whole.content))
        assert head.headers["content-type"] == whole.headers["content-type"]
    assert (
        problem(await served.http.get("/v1/tasks/x"))[0]
        == (await served.http.head("/v1/tasks/x")).status_code
    )


async def test_pages_are_text_with_headers_that_forbid_everything(served: Served) -> None:
    index = await served.http.get("/docs")
    assert index.headers["content-type"] == "text/markdown; charset=utf-8"
    assert "[api](/docs/api)" in index.text
    for path in ("/docs", "/docs/api", "/docs/api.md"):
        page = await served.http.get(path)
        assert page.status_code == 200
        assert page.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert page.headers["x-content-type-options"] == "nosniff"
    home = await served.http.get("/")
    assert (home.status_code, home.headers["location"]) == (307, "/docs")


async def test_no_answer_invites_other_origins(served: Served) -> None:
    answer = await served.http.get("/v1/queues", headers={"origin": "https://elsewhere.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_a_fault_of_ours_is_logged_once_and_tells_nothing(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_args: Any, **_named: Any) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(served.queue.registry, "all", broken)
    with caplog.at_level(logging.ERROR):
        answer = await served.http.get("/v1/workers")
    assert problem(answer) == (500, "internal", None)
    assert "secret" not in answer.text
    (record,) = caplog.records
    assert answer.json()["request_id"] in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


async def test_an_overloaded_node_says_when_to_come_again(serve_with: Serve) -> None:
    async with serve_with(writer_backlog_max=1) as served:
        answers = await asyncio.gather(
            *(served.http.post("/v1/tasks", json={"kind": "k"}) for _ in range(60))
        )
        refused = [answer for answer in answers if answer.status_code != 201]
        for answer in refused:
            assert problem(answer) == (503, "overloaded", None)
            assert int(answer.headers["retry-after"]) >= 1
        made = len((await served.http.get("/v1/tasks?limit=1000")).json()["tasks"])
        assert made == 60 - len(refused)


def test_every_code_in_the_code_is_explained() -> None:
    folder = Path(errors.__file__).parent
    used = set()
    for path in folder.rglob("*.py"):
        used |= set(
            re.findall(r'(?:\bcode(?:: ClassVar\[str\])? ?= ?|_refuse\(\s*)"([a-z_]+)"', path.read_text())
        )
        used |= {f"{what}_not_found" for what in re.findall(r'NotFound\("(\w+)"', path.read_text())}
    bases = {"bad_request", "conflict", "busy", "not_found"}
    assert used - bases - set(CODES) == set()
    assert set(CODES) - used == {"headers_too_large", "invalid_http"}
    page = (Path(tqweb.__file__).parent / "docs" / "api.md").read_text()
    assert [code for code in CODES if f"### {code}\n" not in page] == []
