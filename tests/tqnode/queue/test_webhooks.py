"""Whoever asked for it is told of a task's end: once for each end, in the transaction of the end."""

import asyncio
import contextlib
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tqnode.nodes import Core, complete, fail, ids_of, open_core, snooze, spec
from tests.tqnode.queue.families import child
from tqnode import ids
from tqnode.errors import NotFound, Overloaded, WrongState
from tqnode.queue.deliveries import take_back
from tqnode.queue.webhooks import KIND, META_KEY, QUEUE, RESULT_BYTES_MAX, Event, notify
from tqnode.store import Effects
from tqnode.task import Ask, Complete, TaskState, Webhook

HOOK = Webhook(url="https://example.com/hook", secret="default")


async def deliveries(core: Core) -> list[tuple[str, str]]:
    """(task, event's type) of each delivery there is, in the order of their making."""
    rows = await core.rows(
        "SELECT b.meta, b.payload, t.kind, t.id FROM task t JOIN task_body b USING (seq)"
        f" WHERE t.queue = '{QUEUE}' ORDER BY seq"
    )
    found = []
    for meta, payload, kind, packed in rows:
        about, body = msgspec.json.decode(meta)[META_KEY], msgspec.json.decode(payload)
        assert kind == KIND
        assert body["id"] == ids.text(packed)
        assert (body["data"]["id"], body["type"]) == (about["of"], about["type"])
        assert about["secret"] == "default"
        found.append((about["of"], about["type"]))
    return found


async def completed(core: Core) -> str:
    task = await core.running(webhook=HOOK)
    await core.complete(task)
    return task.id


async def completed_with_others(core: Core) -> str:
    await core.queue.enqueue([spec(), spec(webhook=HOOK), spec()])
    tasks = await core.claim(max=3)
    await core.queue.finish([complete(task) for task in tasks])
    return tasks[1].id


async def failed_for_good(core: Core) -> str:
    task = await core.running(webhook=HOOK)
    await core.finish(fail(task, retry=False))
    return task.id


async def out_of_attempts(core: Core) -> str:
    task = await core.running(webhook=HOOK, max_attempts=1)
    await core.finish(fail(task))
    return task.id


async def cancelled_while_it_waited(core: Core) -> str:
    task_id = await core.enqueue(webhook=HOOK)
    await core.queue.cancel(task_id)
    return task_id


async def cancelled_while_it_failed(core: Core) -> str:
    task = await core.running(webhook=HOOK)
    await core.queue.cancel(task.id)
    await core.finish(fail(task))
    return task.id


async def cancelled_while_it_was_given_back(core: Core) -> str:
    task = await core.running(webhook=HOOK)
    await core.queue.cancel(task.id)
    await core.finish(snooze(task))
    return task.id


async def expired(core: Core) -> str:
    task_id = await core.enqueue(webhook=HOOK, expires_at_ms=core.clock.now_ms() + 1_000)
    await core.sweep_after(2)
    return task_id


async def cancelled_with_its_parent(core: Core) -> str:
    parent = await core.enqueue()
    (made,) = await core.queue.enqueue([child(parent, webhook=HOOK)])
    await core.queue.cancel(parent)
    return made.id


async def cancelled_at_once(core: Core) -> str:
    parent = await core.enqueue()
    await core.queue.cancel(parent)
    (made,) = await core.queue.enqueue([child(parent, webhook=HOOK)])
    return made.id


async def crashed(core: Core) -> str:
    task_id = await core.enqueue(webhook=HOOK, lease_ms=1_000)
    for _ in range(core.config.crashes_max):
        await core.claim_one()
        await core.sweep_after(2)
    return task_id


WAYS: dict[Callable[[Core], Awaitable[str]], str] = {
    completed: "succeeded",
    completed_with_others: "succeeded",
    failed_for_good: "dead",
    out_of_attempts: "dead",
    crashed: "dead",
    cancelled_while_it_waited: "cancelled",
    cancelled_while_it_failed: "cancelled",
    cancelled_while_it_was_given_back: "cancelled",
    expired: "cancelled",
    cancelled_with_its_parent: "cancelled",
    cancelled_at_once: "cancelled",
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_every_way_a_task_ends_is_told_once(core: Core, way: Callable[[Core], Awaitable[str]]) -> None:
    task_id = await way(core)
    state = WAYS[way]
    assert await core.state(task_id) == state
    assert await deliveries(core) == [(task_id, f"task.{state}")]
    assert await core.drift() == []


async def test_only_the_ends_that_were_asked_for_are_told(core: Core) -> None:
    hook = msgspec.structs.replace(HOOK, on=(TaskState.DEAD,))
    await core.complete(await core.running(webhook=hook))
    task = await core.running(webhook=hook)
    await core.finish(fail(task, retry=False))
    assert await deliveries(core) == [(task.id, "task.dead")]


async def test_a_queue_without_webhooks_has_no_trace_of_them(core: Core) -> None:
    await core.complete(await core.running())
    assert await core.count("webhook") == 0
    assert [info.queue for info in await core.queue.catalogue.all()] == ["default"]
    assert await core.rows("SELECT DISTINCT notify FROM task") == [(None,)]


async def test_an_end_that_is_repeated_with_its_token_is_told_once(core: Core) -> None:
    task = await core.running(webhook=HOOK)
    assert await core.complete(task) == await core.complete(task)
    assert len(await deliveries(core)) == 1


async def test_a_task_that_a_person_retries_tells_of_its_next_end_too(core: Core) -> None:
    task_id = await failed_for_good(core)
    await core.queue.retry(task_id)
    await core.complete(await core.claim_one())
    assert await deliveries(core) == [(task_id, "task.dead"), (task_id, "task.succeeded")]


async def test_a_deleted_task_tells_nothing_and_leaves_nothing(core: Core) -> None:
    await core.queue.delete(await core.enqueue(webhook=HOOK))
    assert await core.count("webhook") == 0
    assert await deliveries(core) == []


async def test_who_replaces_a_waiting_task_says_whom_to_tell(core: Core) -> None:
    unique = {"unique_key": "k", "unique_mode": "replace", "unique_states": "blocked scheduled ready"}
    other = msgspec.structs.replace(HOOK, url="https://example.com/other")
    await core.enqueue(webhook=HOOK, **unique)
    task_id = await core.enqueue(webhook=other, **unique)
    assert (await core.task(task_id)).webhook == other
    await core.enqueue(**unique)
    await core.complete(await core.claim_one())
    assert await core.count("webhook") == 0
    assert await deliveries(core) == []


async def test_the_event_says_what_became_of_the_task(core: Core) -> None:
    task = await core.running(
        webhook=HOOK,
        meta=b'{"order": 1.10}',
        tags=("a",),
        unique_key="u",
        unique_states="blocked scheduled ready",
    )
    core.clock.advance(2)
    await core.finish(complete(task, result=b'{"n":12345678901234567890}'))
    (row,) = await core.rows(f"SELECT payload FROM task JOIN task_body USING (seq) WHERE queue = '{QUEUE}'")
    assert b'"meta":{"order": 1.10}' in row[0]
    assert b'"result":{"n":12345678901234567890}' in row[0]
    body = msgspec.json.decode(row[0])
    assert body["data"] | {"created_at": "", "meta": None, "result": None} == {
        "id": task.id,
        "queue": "default",
        "kind": "mail",
        "state": "succeeded",
        "priority": 128,
        "created_at": "",
        "started_at": "2030-03-17T17:46:40.000Z",
        "finished_at": "2030-03-17T17:46:42.000Z",
        "attempt": 1,
        "max_attempts": 10,
        "worker": "w1",
        "unique_key": "u",
        "tags": ["a"],
        "meta": None,
        "result": None,
    }


async def test_the_event_of_a_failure_has_the_last_error_without_its_trace(core: Core) -> None:
    task = await core.running(webhook=HOOK)
    await core.finish(fail(task, type="Oops", message="no", trace="secret places", retry=False))
    (row,) = await core.rows(f"SELECT payload FROM task JOIN task_body USING (seq) WHERE queue = '{QUEUE}'")
    assert b"secret places" not in row[0]
    data = msgspec.json.decode(row[0])["data"]
    assert data["reason"] == "failed_for_good"
    assert (data["error"]["type"], data["error"]["message"], data["error"]["attempt"]) == ("Oops", "no", 1)


@pytest.mark.parametrize("size", [RESULT_BYTES_MAX, RESULT_BYTES_MAX + 1])
async def test_a_result_comes_with_the_event_up_to_a_bound(core: Core, size: int) -> None:
    task = await core.running(webhook=HOOK)
    await core.finish(complete(task, result=b'"' + b"x" * (size - 2) + b'"'))
    (row,) = await core.rows(f"SELECT payload FROM task JOIN task_body USING (seq) WHERE queue = '{QUEUE}'")
    data = msgspec.json.decode(row[0])["data"]
    assert ("result" in data, data.get("result_left_out", False)) == (
        size <= RESULT_BYTES_MAX,
        size > RESULT_BYTES_MAX,
    )


async def test_no_limit_on_queues_keeps_a_task_from_ending(tmp_path: Path) -> None:
    async with open_core(tmp_path / "tq.db", queues_max=1, queue_depth_max=1) as core:
        for _ in range(3):
            await core.complete(await core.running(webhook=HOOK))
        assert len(await deliveries(core)) == 3
        assert await core.drift() == []


async def test_what_a_completion_enqueues_tells_of_its_end_too(core: Core) -> None:
    task = await core.running()
    answer = await core.finish(Complete(id=task.id, token=task.token, then=(spec(webhook=HOOK),)))
    await core.complete(await core.claim_one())
    assert await deliveries(core) == [(answer.then[0], "task.succeeded")]


async def test_a_delivery_is_made_as_its_webhook_says(core: Core) -> None:
    hook = msgspec.structs.replace(HOOK, max_attempts=3, retry=b'{"type":"fixed","delay_s":7.0}')
    await core.complete(await core.running(webhook=hook))
    delivery = await core.claim_one(QUEUE)
    assert delivery.max_attempts == 3
    put_off = await core.finish(fail(delivery))
    assert put_off.run_at_ms == core.clock.now_ms() + 7_000


async def test_something_else_that_ended_can_be_told_in_its_own_transaction(core: Core) -> None:
    source = ids.pack(at_ms=1, seq=2, nonce=3)
    event = Event(type="batch.done", data=b'{"n":1}', source=source)
    await core.store.write(lambda tx: notify(tx, HOOK, event))
    delivery = await core.claim_one(QUEUE)
    body = msgspec.json.decode(delivery.payload)
    assert (body["type"], body["data"], body["id"]) == ("batch.done", {"n": 1}, delivery.id)


async def test_deliveries_whose_deliverer_is_gone_are_taken_back_without_an_attempt_spent(core: Core) -> None:
    for _ in range(3):
        await core.complete(await core.running(webhook=HOOK))
    held = await core.claim(QUEUE, max=3)
    kept = frozenset([held[0].id])
    movement = core.queue.movement
    assert await core.store.write(lambda tx: take_back(tx, kept, movement=movement)) == 2
    assert await core.state(held[0].id) == TaskState.RUNNING
    again = await core.claim(QUEUE, max=3)
    assert ids_of(again) == ids_of(held[1:])
    assert [(task.attempt, task.crashes) for task in again] == [(1, 0), (1, 0)]
    assert await core.drift() == []


ACTIONS = [
    "claim",
    "complete",
    "complete_many",
    "fail",
    "dead",
    "snooze",
    "cancel",
    "retry",
    "delete",
    "sweep",
]
HOOKS = st.none() | st.builds(
    lambda on: Webhook(url="https://example.com", secret="default", on=tuple(on)),
    st.lists(st.sampled_from(sorted(WAYS.values())).map(TaskState), min_size=1, max_size=3, unique=True),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    tasks=st.lists(st.tuples(HOOKS, st.booleans()), min_size=1, max_size=6),
    actions=st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 5)), max_size=25),
)
def test_whatever_is_done_there_is_one_delivery_for_each_end(
    tasks: list[tuple[Webhook | None, bool]], actions: list[tuple[str, int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_each_end_is_told(Path(folder), tasks, actions))


async def _each_end_is_told(
    folder: Path, tasks: list[tuple[Webhook | None, bool]], actions: list[tuple[str, int]]
) -> None:
    async with open_core(folder / "tq.db") as core:
        ends: Counter[tuple[str, str]] = Counter()
        hooks: dict[str, Webhook | None] = {}

        def note(effects: Effects) -> None:
            for event in effects.events:
                task_id = ids.text(event.id)
                hook = hooks.get(task_id)
                if hook is not None and event.state in hook.on:
                    ends[task_id, f"task.{event.state}"] += 1

        core.store.listen(note)
        known: list[str] = []
        for hook, follows in tasks:
            parents = known[-1:] if follows else []
            made = (
                spec(webhook=hook, lease_ms=1_000)
                if not parents
                else child(*parents, webhook=hook, queue="default", lease_ms=1_000)
            )
            (row,) = await core.queue.enqueue([made])
            hooks[row.id] = hook
            known.append(row.id)
        held: list[Any] = []
        for action, number in actions:
            held = await _act(core, action, known[number % len(known)], held)
        told = Counter(await deliveries(core))
        assert told == ends
        assert await core.drift() == []


async def _act(core: Core, action: str, task_id: str, held: list[Any]) -> list[Any]:
    """Does one thing, as far as it can be done; who is held then."""
    if action == "claim":
        return held + await core.queue.claim(Ask(queues=("default",), worker="w", max=2), wait_s=0)
    if action == "sweep":
        await core.sweep_after(2)
    elif action in ("cancel", "retry", "delete"):
        with contextlib.suppress(NotFound, WrongState, Overloaded):
            await getattr(core.queue, action)(task_id)
    elif held:
        one = held[0]
        finishes = {
            "complete": [complete(one)],
            "complete_many": [complete(task) for task in held],
            "fail": [fail(one, delay_ms=0)],
            "dead": [fail(one, retry=False)],
            "snooze": [snooze(one)],
        }[action]
        await core.queue.finish(finishes)
        return held[len(finishes) :]
    return held
