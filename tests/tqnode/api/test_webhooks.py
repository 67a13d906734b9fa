"""Webhooks over HTTP: asked for, refused where a person sees it, and tried out."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.tqnode.api.conftest import Served, problem, serve
from tests.tqnode.delivery.servers import NO_CONTENT, server
from tests.waiting import eventually_async
from tqnode.api.webhooks import TRIALS_MAX
from tqnode.queue.webhooks import QUEUE

SECRET = "whsec_" + "k" * 43 + "="
URL = "https://example.com/hook"
FILE = f"""
[default]
secret = "{SECRET}"
[shop]
secret = "{SECRET}"
url = "{URL}"
on = ["dead"]
on_batch = ["finished"]
queues = ["orders"]
"""


@pytest.fixture
async def hooked(tmp_path: Path) -> AsyncIterator[Served]:
    """A node with a secret, a webhook, and this machine open to them."""
    file = tmp_path / "webhooks.toml"
    file.write_text(FILE)
    file.chmod(0o600)
    settings = {"webhooks_file": str(file), "webhook_allow": "127.0.0.0/8", "webhook_url_chars_max": 100}
    async with serve(tmp_path, **settings) as served:
        yield served


async def refused(served: Served, **fields: Any) -> tuple[int, str, str | None]:
    return problem(await served.http.post("/v1/tasks", json={"kind": "k", **fields}))


async def test_a_task_shows_where_its_end_is_told(hooked: Served) -> None:
    whole = {
        "url": URL,
        "secret": "shop",
        "on": ["dead"],
        "max_attempts": 3,
        "retry": {"type": "fixed", "delay_s": 1.0},
    }
    made = await hooked.enqueue(webhook=whole)
    assert made["webhook"] == whole
    assert (await hooked.http.get(f"/v1/tasks/{made['id']}")).json()["webhook"] == whole
    named = await hooked.enqueue(webhook="shop")
    assert named["webhook"] == {"endpoint": "shop", "on": ["dead"], "max_attempts": 10}
    listed = (await hooked.http.get("/v1/tasks")).json()["tasks"]
    assert [task["webhook"] for task in listed] == [named["webhook"], whole]
    assert SECRET not in str(listed)


async def test_a_queue_may_have_a_webhook_for_all_its_tasks(hooked: Served) -> None:
    made = await hooked.enqueue(queue="orders")
    assert made["webhook"]["endpoint"] == "shop"
    own = await hooked.enqueue(queue="orders", webhook={"url": URL})
    assert own["webhook"]["url"] == URL
    assert "webhook" not in await hooked.enqueue(queue="others")


@pytest.mark.parametrize(
    ("webhook", "code", "field"),
    [
        ("nobody", "unknown_webhook", "webhook"),
        ("default", "unknown_webhook", "webhook"),
        ({"url": URL, "secret": "nobody"}, "unknown_webhook", "webhook.secret"),
        ({"url": "ftp://example.com"}, "invalid_field", "webhook.url"),
        ({"url": "http://user:pass@example.com/"}, "invalid_field", "webhook.url"),
        ({"url": "http://10.0.0.1/"}, "invalid_field", "webhook.url"),
        ({"url": "http://[::ffff:127.0.0.1]/"}, "invalid_field", "webhook.url"),
        ({"url": "https://example.com/" + "x" * 100}, "invalid_field", "webhook.url"),
        ({"url": URL, "on": []}, "invalid_field", "webhook.on"),
        ({"url": URL, "on": ["ready"]}, "invalid_field", "webhook.on[0]"),
        ({"url": URL, "max_attempts": 0}, "invalid_field", "webhook.max_attempts"),
        ({"url": URL, "token": "x"}, "unknown_field", "webhook.token"),
        ({}, "missing_field", "webhook.url"),
        (URL, "invalid_field", "webhook"),
        (7, "invalid_field", "webhook"),
    ],
)
async def test_a_webhook_that_could_not_work_is_refused_at_once(
    hooked: Served, webhook: object, code: str, field: str
) -> None:
    assert await refused(hooked, webhook=webhook) == (422, code, field)


async def test_a_node_without_a_file_has_no_webhooks(served: Served) -> None:
    assert await refused(served, webhook={"url": URL}) == (422, "unknown_webhook", "webhook.secret")
    assert await refused(served, webhook="shop") == (422, "unknown_webhook", "webhook")


async def test_nobody_but_the_node_uses_its_queue(hooked: Served) -> None:
    assert await refused(hooked, queue=QUEUE) == (422, "reserved_queue", "queue")
    http = hooked.http
    many = await http.post("/v1/tasks", json=[{"kind": "k"}, {"kind": "k", "queue": QUEUE}])
    assert problem(many) == (422, "reserved_queue", "[1].queue")
    some = await http.post("/v1/tasks?partial=true", json=[{"kind": "k"}, {"kind": "k", "queue": QUEUE}])
    assert some.json()["results"][1]["error"]["code"] == "reserved_queue"
    claim = await http.post("/v1/claims", json={"worker": "w", "queues": ["a", QUEUE]})
    assert problem(claim) == (422, "reserved_queue", "queues[1]")
    put = await http.put("/v1/schedules/s", json={"every_s": 5, "task": {"kind": "k", "queue": QUEUE}})
    assert problem(put) == (422, "reserved_queue", "task.queue")
    task = await hooked.claimed()
    then = {"token": task["token"], "then": [{"kind": "k", "queue": QUEUE}]}
    done = await http.post(f"/v1/tasks/{task['id']}/complete", json=then)
    assert problem(done) == (422, "reserved_queue", "then[0].queue")


async def test_deliveries_are_listed_retried_and_deleted_as_other_tasks(hooked: Served) -> None:
    made = await hooked.enqueue(webhook={"url": URL})
    await hooked.http.post(f"/v1/tasks/{made['id']}/cancel")
    (delivery,) = (await hooked.http.get(f"/v1/tasks?queue={QUEUE}")).json()["tasks"]
    assert delivery["meta"]["webhook"] == {"of": made["id"], "type": "task.cancelled", "url": URL}
    path = f"/v1/tasks/{delivery['id']}"
    body = (await hooked.http.get(path)).json()["payload"]
    assert (body["id"], body["type"], body["data"]["id"]) == (delivery["id"], "task.cancelled", made["id"])
    assert (await hooked.http.post(f"{path}/cancel")).json()["state"] == "cancelled"
    assert (await hooked.http.post(f"{path}/retry")).json()["state"] == "ready"
    counts = (await hooked.http.get(f"/v1/queues/{QUEUE}")).json()["counts"]
    assert counts == {"ready": 1}
    assert (await hooked.http.delete(path)).status_code == 204


async def test_a_schedule_keeps_the_webhook_of_its_tasks(hooked: Served) -> None:
    task = {"kind": "k", "webhook": {"url": URL, "secret": "shop", "on": ["dead"], "max_attempts": 2}}
    put = {"every_s": 60, "task": task}
    made = await hooked.http.put("/v1/schedules/s", json=put)
    assert made.status_code == 201, made.text
    assert made.json()["task"]["webhook"] == task["webhook"]
    again = await hooked.http.put("/v1/schedules/s", json=put)
    assert again.json()["updated_at"] == made.json()["updated_at"], "said again, it stays as it is"


async def tried(served: Served, **asked: Any) -> dict[str, Any]:
    answer = await served.http.post("/v1/webhooks/test", json=asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_webhook_that_is_tried_gets_one_signed_event(hooked: Served) -> None:
    async with server() as there:
        told = await tried(hooked, url=f"http://127.0.0.1:{there.port}/x", secret="shop")
    assert (told["delivered"], told["status"], "error" in told) == (True, 204, False)
    head, _, body = there.requests[0].partition(b"\r\n\r\n")
    assert f"webhook-id: {told['webhook_id']}".encode() in head
    assert b"webhook-signature: v1," in head
    assert msgspec.json.decode(body)["type"] == "webhook.test"
    assert (await hooked.http.get("/v1/tasks")).json()["tasks"] == []


async def test_what_came_of_a_trial_is_told_without_what_the_receiver_said(hooked: Served) -> None:
    async with server(b"HTTP/1.1 500 X\r\ncontent-length: 6\r\n\r\nsecret") as there:
        told = await tried(hooked, url=f"http://127.0.0.1:{there.port}/")
    assert (told["delivered"], told["status"], told["error"]) == (False, 500, "answered 500")
    told = await tried(hooked, url=f"http://127.0.0.1:{there.port}/")
    assert (told["delivered"], "status" in told) == (False, False)
    told = await tried(hooked, url="http://localhost.localdomain.invalid/")
    assert "was not found" in told["error"]


@pytest.mark.parametrize(
    ("asked", "code", "field"),
    [
        ({}, "missing_field", "url"),
        ({"url": URL, "endpoint": "shop"}, "missing_field", "url"),
        ({"endpoint": "nobody"}, "unknown_webhook", "endpoint"),
        ({"url": URL, "secret": "nobody"}, "unknown_webhook", "secret"),
        ({"url": "http://169.254.169.254/"}, "invalid_field", "url"),
        ({"url": "x"}, "invalid_field", "url"),
    ],
)
async def test_a_trial_that_could_not_work_is_refused(
    hooked: Served, asked: dict[str, str], code: str, field: str
) -> None:
    assert problem(await hooked.http.post("/v1/webhooks/test", json=asked)) == (422, code, field)


async def test_only_so_many_trials_go_on_at_a_time(hooked: Served) -> None:
    go_on = asyncio.Event()

    async def when_told(writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        writer.write(NO_CONTENT)

    async with server(when_told) as there:
        url = f"http://127.0.0.1:{there.port}/"
        trials = [asyncio.create_task(tried(hooked, url=url)) for _ in range(TRIALS_MAX)]
        await eventually_async(lambda: there.at_hand == TRIALS_MAX)
        answer = await hooked.http.post("/v1/webhooks/test", json={"url": url})
        assert problem(answer) == (503, "overloaded", None)
        go_on.set()
        told = await asyncio.gather(*trials)
        assert [one["delivered"] for one in told] == [True] * TRIALS_MAX


async def test_a_batch_shows_where_its_events_are_told(hooked: Served) -> None:
    whole = {
        "url": URL,
        "secret": "shop",
        "on": ["success", "failure"],
        "max_attempts": 3,
        "retry": {"type": "fixed", "delay_s": 1.0},
    }
    every = ["failure", "finished", "success"]
    plain = {"url": URL, "on": every, "max_attempts": 10}
    named = {"endpoint": "shop", "on": ["finished"], "max_attempts": 10}
    for asked, shown in ((whole, whole), ({"url": URL}, plain), ("shop", named)):
        made = await hooked.http.post("/v1/batches", json={"open": True, "webhook": asked})
        assert made.status_code == 201, made.text
        batch = await hooked.http.get(f"/v1/batches/{made.json()['id']}")
        assert batch.json()["webhook"] == shown
    listed = (await hooked.http.get("/v1/batches")).json()["batches"]
    assert [batch["webhook"] for batch in listed] == [named, plain, whole]


async def test_the_event_of_a_batch_is_the_batch_as_a_read_of_it(hooked: Served) -> None:
    body = {"name": "n", "webhook": {"url": URL, "on": ["finished"]}, "on_finished": {"kind": "done"}}
    made = (await hooked.http.post("/v1/batches", json=body)).json()
    await hooked.store.write(lambda tx: hooked.queue.batcher.fire_due(tx, 100))
    listed = (await hooked.http.get(f"/v1/tasks?queue={QUEUE}&payload=true")).json()["tasks"]
    (event,) = [task["payload"] for task in listed]
    shown = (await hooked.http.get(f"/v1/batches/{made['id']}")).json()
    del shown["webhook"]
    assert (event["type"], event["data"]) == ("batch.finished", shown)
    assert shown["on_finished"]["task"]
