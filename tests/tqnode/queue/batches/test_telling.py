"""Whoever asked for it is told what a batch comes to: once for each event, with the callback's making."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.tqnode.nodes import Core, complete, fail, open_core, spec
from tests.tqnode.queue.batching import CALLBACKS, callback, fired, get
from tqnode import ids
from tqnode.queue.batches import BatchHook, BatchSpec
from tqnode.queue.membership import BatchEvent
from tqnode.queue.webhooks import META_KEY, QUEUE, RETRY
from tqnode.task import Webhook

HOOK = BatchHook(to=Webhook(url="https://example.com/hook", secret="default"))


async def make(core: Core, size: int, hook: BatchHook | None = HOOK, **fields: Any) -> str:
    """A batch of so many tasks that fail once."""
    tasks = [spec(max_attempts=1) for _ in range(size)]
    return (await core.queue.batcher.create(BatchSpec(webhook=hook, **fields), tasks)).id


async def bodies(core: Core) -> list[dict[str, Any]]:
    """The bodies of the deliveries there are once the sweeper had its turn, in the order of their making."""
    await core.sweeper.sweep()
    rows = await core.rows(
        "SELECT b.meta, b.payload, t.id FROM task t JOIN task_body b USING (seq)"
        f" WHERE t.queue = '{QUEUE}' ORDER BY seq"
    )
    found = []
    for meta, payload, packed in rows:
        about, body = msgspec.json.decode(meta)[META_KEY], msgspec.json.decode(payload)
        assert (body["id"], body["data"]["id"], body["type"]) == (
            ids.text(packed),
            about["of"],
            about["type"],
        )
        found.append(body)
    return found


async def told(core: Core) -> list[str]:
    return [body["type"] for body in await bodies(core)]


async def test_each_event_is_told_once_and_finished_before_success(core: Core) -> None:
    batch = await make(core, 2)
    await core.complete(await core.claim_one())
    assert await told(core) == []
    await core.complete(await core.claim_one())
    for _ in range(3):
        assert await told(core) == ["batch.finished", "batch.success"]
    assert {body["data"]["id"] for body in await bodies(core)} == {batch}
    assert await core.drift() == []


async def test_the_first_death_is_told_while_the_others_go_on(core: Core) -> None:
    await make(core, 3)
    for _ in range(2):
        await core.finish(fail(await core.claim_one()))
        assert await told(core) == ["batch.failure"]
    (body,) = await bodies(core)
    assert (body["data"]["state"], body["data"]["pending"], body["data"]["dead"]) == ("running", 2, 1)
    await core.complete(await core.claim_one())
    assert await told(core) == ["batch.failure", "batch.finished"]


@pytest.mark.parametrize("event", BatchEvent)
async def test_only_the_events_that_were_asked_for_are_told(core: Core, event: BatchEvent) -> None:
    hook = msgspec.structs.replace(HOOK, on=(event,))
    await make(core, 1, hook)
    await core.complete(await core.claim_one())
    await make(core, 1, hook)
    await core.finish(fail(await core.claim_one()))
    times = {BatchEvent.FAILURE: 1, BatchEvent.FINISHED: 2, BatchEvent.SUCCESS: 1}
    assert await told(core) == [f"batch.{event}"] * times[event]


async def test_the_body_is_the_batch_with_the_task_its_callback_has_become(core: Core) -> None:
    hook = msgspec.structs.replace(HOOK, on=(BatchEvent.FINISHED,))
    callbacks = {event: callback(event) for event in (BatchEvent.FAILURE, BatchEvent.FINISHED)}
    batch = await make(core, 1, hook, name="import", callbacks=callbacks)
    await core.complete(await core.claim_one())
    (body,) = await bodies(core)
    ((task, kind),) = await core.rows(f"SELECT id, kind FROM task WHERE queue = '{CALLBACKS}'")
    at = body["data"]["created_at"]
    assert body["data"] == {
        "id": batch,
        "name": "import",
        "state": "finished",
        "total": 1,
        "pending": 0,
        "succeeded": 1,
        "dead": 0,
        "cancelled": 0,
        "created_at": at,
        "finished_at": at,
        "succeeded_at": at,
        "on_failure": {"kind": "on_failure", "queue": CALLBACKS},
        "on_finished": {"kind": kind, "queue": CALLBACKS, "task": ids.text(task)},
    }


async def test_a_delivery_is_made_as_its_webhook_says(core: Core) -> None:
    retry = b'{"type":"fixed","delay_s":1}'
    to = Webhook(endpoint="shop", max_attempts=3, retry=retry)
    batch = await make(core, 0, BatchHook(to=to, on=(BatchEvent.FINISHED,)))
    await make(core, 0, msgspec.structs.replace(HOOK, on=(BatchEvent.SUCCESS,)))
    await core.sweeper.sweep()
    rows = await core.rows(
        f"SELECT max_attempts, retry, meta FROM task JOIN task_body USING (seq) WHERE queue = '{QUEUE}'"
        " ORDER BY seq"
    )
    assert [row[:2] for row in rows] == [(3, retry), (10, RETRY)]
    about = {"of": batch, "type": "batch.finished", "endpoint": "shop"}
    assert msgspec.json.decode(rows[0][2])[META_KEY] == about


async def test_a_batch_shows_whom_it_tells(core: Core) -> None:
    hook = BatchHook(to=Webhook(endpoint="shop", max_attempts=3), on=(BatchEvent.SUCCESS,))
    assert (await get(core, await make(core, 0, hook))).webhook == hook
    assert (await get(core, await make(core, 0, None))).webhook is None


async def test_a_batch_that_tells_nobody_leaves_no_trace_of_it(core: Core) -> None:
    await make(core, 1, None)
    await core.complete(await core.claim_one())
    assert await told(core) == []
    assert [info.queue for info in await core.queue.catalogue.all()] == ["default"]
    assert await core.count("batch_event") == 0


async def test_a_member_that_a_person_retries_brings_the_success_and_nothing_twice(core: Core) -> None:
    await make(core, 1)
    task = await core.claim_one()
    await core.finish(fail(task))
    assert await told(core) == ["batch.failure", "batch.finished"]
    await core.queue.retry(task.id)
    await core.complete(await core.claim_one())
    assert await told(core) == ["batch.failure", "batch.finished", "batch.success"]


async def test_what_was_not_told_before_a_restart_is_told_after_it_and_once(tmp_path: Path) -> None:
    path = tmp_path / "tq.db"
    async with open_core(path) as core:
        await make(core, 1)
        await core.finish(complete(await core.claim_one()))
        assert await core.count("batch_event") == 2
        assert await core.rows(f"SELECT 1 FROM task WHERE queue = '{QUEUE}'") == []
    for _ in range(2):
        async with open_core(path) as core:
            assert await told(core) == ["batch.finished", "batch.success"]


async def test_a_callback_without_room_holds_its_event_back_and_not_the_others(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", queue_depth_max=1) as core:
        holder = await core.enqueue(queue=CALLBACKS)
        await make(core, 0, callbacks={BatchEvent.FINISHED: callback(BatchEvent.FINISHED)})
        await core.sweep_after(10)
        assert await told(core) == ["batch.success"]
        await core.queue.cancel(holder)
        await core.sweep_after(10)
        assert await told(core) == ["batch.success", "batch.finished"]
        assert await fired(core) == ["finished"]
