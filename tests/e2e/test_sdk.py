"""The SDK against a real node."""

import asyncio
import datetime
import random
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

import tq
from tests.e2e.cutting_proxy import cutting
from tests.e2e.processes import NodeProcess, running_node
from tests.waiting import eventually
from tq import wire


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> str:
    """A queue that no other test uses."""
    return str(request.node.name).replace("[", "-").replace("]", "")


def test_an_enqueue_whose_answer_was_lost_makes_one_task(shared_node: NodeProcess, queue: str) -> None:
    with cutting(shared_node.url, lambda number: number < 2) as proxy, tq.Client(proxy.url) as client:
        task = client.enqueue("k", {"a": 1}, queue=queue)
        assert (proxy.lost, proxy.answers) == (2, 3)
    with tq.Client(shared_node.url) as direct:
        assert [found.id for found in direct.list(queue=queue)] == [task.id]


async def test_an_async_enqueue_whose_answer_was_lost_makes_one_task(
    shared_node: NodeProcess, queue: str
) -> None:
    with cutting(shared_node.url, lambda number: number < 2) as proxy:
        async with tq.AsyncClient(proxy.url) as client:
            task = await client.enqueue("k", queue=queue)
            assert proxy.lost == 2
    async with tq.AsyncClient(shared_node.url) as direct:
        assert [found.id async for found in direct.list(queue=queue)] == [task.id]


@pytest.mark.parametrize("partial", [False, True])
def test_many_tasks_whose_answers_were_lost_are_made_once_each(
    shared_node: NodeProcess, queue: str, partial: bool
) -> None:
    with cutting(shared_node.url, lambda number: number % 2 == 0) as proxy, tq.Client(proxy.url) as client:
        tasks = (tq.new_task("k", number, queue=queue) for number in range(2500))
        made = client.enqueue_many(tasks, partial=partial)
        assert proxy.lost == 3
    with tq.Client(shared_node.url) as direct:
        found = {task.id: tq.value(task.payload) for task in direct.list(queue=queue, payload=True)}
    assert [found[row.id or ""] for row in made] == list(range(2500))
    assert len(found) == 2500


def test_tasks_are_made_once_under_random_cuts_from_several_threads(
    shared_node: NodeProcess, queue: str
) -> None:
    chance = random.Random(7)
    with (
        cutting(shared_node.url, lambda _: chance.random() < 0.4) as proxy,
        tq.Client(proxy.url, retries=50) as client,
    ):
        made: list[str] = []

        def enqueue(name: int) -> None:
            made.extend(client.enqueue("k", [name, number], queue=queue).id for number in range(15))

        threads = [threading.Thread(target=enqueue, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert proxy.lost > 5
    with tq.Client(shared_node.url) as direct:
        assert sorted(task.id for task in direct.list(queue=queue)) == sorted(made)
    assert len(made) == 60


def test_finishes_and_deletes_whose_answers_were_lost_are_answered_as_if_done_once(
    shared_node: NodeProcess, queue: str
) -> None:
    with tq.Client(shared_node.url) as direct:
        direct.enqueue_many(tq.new_task("k", queue=queue) for _ in range(4))
        one, two, three, four = direct.claim("w", queues=[queue], max=4)
    with (
        cutting(shared_node.url, lambda number: number % 2 == 0) as proxy,
        tq.Client(proxy.url) as client,
    ):
        assert client.heartbeat(one.id, one.token, progress=50).cancel is False
        done = client.complete(one.id, one.token, result=1, then=[tq.new_task("next", queue=queue)])
        assert (done.state, len(done.then)) == ("succeeded", 1)
        assert client.fail(two.id, two.token, retry=False).state == "dead"
        assert client.snooze(three.id, three.token, delay_s=60).state == "scheduled"
        answers = client.outcomes([wire.CompleteOutcome(id=four.id, token=four.token)])
        assert [answer.state for answer in answers] == ["succeeded"]
        client.delete(two.id)
        assert client.cancel(three.id).state == "cancelled"
        assert proxy.lost == 7
    with tq.Client(shared_node.url) as direct:
        states = sorted((task.kind, task.state) for task in direct.list(queue=queue))
    assert states == [("k", "cancelled"), ("k", "succeeded"), ("k", "succeeded"), ("next", "ready")]


def test_a_claim_whose_answer_was_lost_is_unknown_and_not_made_twice(
    shared_node: NodeProcess, queue: str
) -> None:
    with tq.Client(shared_node.url) as direct:
        direct.enqueue_many(tq.new_task("k", queue=queue) for _ in range(2))
    with cutting(shared_node.url, lambda number: number == 0) as proxy, tq.Client(proxy.url) as client:
        with pytest.raises(tq.errors.OutcomeUnknown):
            client.claim("w", queues=[queue])
        assert proxy.answers == 1
        assert len(client.claim("w", queues=[queue])) == 1


def test_a_call_outlasts_a_restart_of_the_node(own_node: NodeProcess) -> None:
    with tq.Client(own_node.url, retries=200) as client:
        before = client.enqueue("k")
        own_node.kill()
        made: list[wire.Task] = []
        thread = threading.Thread(target=lambda: made.append(client.enqueue("k")))
        thread.start()
        own_node.restart()
        thread.join(30)
        assert sorted(task.id for task in client.list()) == sorted([before.id, made[0].id])


def test_a_payload_comes_back_with_the_same_bytes(shared_node: NodeProcess, queue: str) -> None:
    exact = b'{"id":1970670598291982290, "x": 1.10, "b":[1e2,-0.0], "a":"\\u00e9"}'
    with tq.Client(shared_node.url) as client:
        task = client.enqueue("k", tq.Raw(exact), queue=queue, meta=tq.Raw(b'{"m": 1.0}'))
        (claimed,) = client.claim("w", queues=[queue])
        assert isinstance(claimed.payload, msgspec.Raw)
        client.complete(claimed.id, claimed.token, result=tq.Raw(b'{"r": 2.50}'))
        found = client.get(task.id)
    raws = (claimed.payload, found.payload, found.meta, found.result)
    assert [bytes(raw) for raw in raws if not isinstance(raw, msgspec.UnsetType)] == [
        exact,
        exact,
        b'{"m": 1.0}',
        b'{"r": 2.50}',
    ]


def test_every_option_of_a_task_reaches_the_node(shared_node: NodeProcess, queue: str) -> None:
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    options: Any = {
        "priority": 200,
        "run_at": later,
        "max_attempts": 3,
        "retry": tq.Fixed(delay_s=7.0),
        "lease_s": 12.0,
        "timeout_s": 5.0,
        "expires_at": later + datetime.timedelta(hours=1),
        "tags": ["a", "b"],
        "meta": {"m": 1},
        "unique": tq.Unique(key=queue, on_conflict="reject"),
    }
    with tq.Client(shared_node.url) as client:
        task = client.get(client.enqueue("k", [1], queue=queue, **options).id)
        with pytest.raises(tq.errors.UniqueConflict) as caught:
            client.enqueue("k", queue=queue, **options)
    assert caught.value.task == task.id
    assert (task.priority, task.max_attempts, task.lease_s, task.timeout_s) == (200, 3, 12.0, 5.0)
    assert (task.state, task.retry, task.tags, task.unique_key) == (
        "scheduled",
        tq.Fixed(delay_s=7.0),
        ["a", "b"],
        queue,
    )
    assert (tq.value(task.payload), tq.value(task.meta)) == ([1], {"m": 1})
    assert task.run_at.startswith(later.strftime("%Y-%m-%dT%H:%M"))


def test_a_duplicate_answers_the_task_that_is_there(shared_node: NodeProcess, queue: str) -> None:
    with tq.Client(shared_node.url) as client:
        first = client.enqueue("k", queue=queue, unique=queue)
        again = client.enqueue("k", queue=queue, unique=queue)
    assert (first.duplicate, again.duplicate) == (False, True)
    assert first.id == again.id


def test_queues_workers_and_counts_can_be_managed(shared_node: NodeProcess, queue: str) -> None:
    with tq.Client(shared_node.url) as client:
        client.enqueue_many(tq.new_task("k", queue=queue) for _ in range(3))
        assert client.pause(queue).paused
        assert client.claim("w", queues=[queue]) == []
        assert not client.resume(queue).paused
        assert client.queue(queue).counts == {"ready": 3}
        assert queue in [info.queue for info in client.queues()]
        registered = client.register_worker(wire.NewWorker(name="w", queues=[queue]))
        (claimed,) = client.claim(registered.id, queues=[queue])
        lease = wire.HeldLease(id=claimed.id, token=claimed.token, progress=tq.Raw(b"7"))
        beat = client.worker_heartbeat(registered.id, [lease])
        assert (beat.state, [row.status for row in beat.leases]) == ("run", ["ok"])
        assert client.steer_worker(registered.id, "quiet").state == "quiet"
        assert [worker.state for worker in client.workers() if worker.id == registered.id] == ["quiet"]
        assert client.purge(queue) == 2
        client.remove_worker(registered.id)
        with pytest.raises(tq.errors.WorkerNotFound):
            client.worker_heartbeat(registered.id)
        assert client.stats().totals["running"] >= 1
        client.fail(claimed.id, claimed.token, error=ValueError("so"), retry=False)
        dead = client.get(claimed.id)
        assert (dead.errors[0].type, dead.errors[0].message) == ("ValueError", "so")
        assert client.retry(claimed.id).state == "ready"


def test_events_tell_what_becomes_of_a_task(shared_node: NodeProcess, queue: str) -> None:
    seen: list[str] = []
    opened = threading.Event()

    def follow() -> None:
        with tq.Client(shared_node.url) as client:
            for event in client.events(queue=queue):
                assert event.task is not None
                if event.task.kind == "first":
                    opened.set()
                    continue
                seen.append(event.task.state)
                if event.task.state == "succeeded":
                    return

    thread = threading.Thread(target=follow)
    thread.start()
    with tq.Client(shared_node.url) as client:

        def heard() -> bool:
            client.enqueue("first", queue=queue)
            return opened.wait(0.1)

        eventually(heard)
        client.enqueue("second", queue=queue)
        (claimed,) = client.claim("w", queues=[queue], kinds=["second"])
        client.complete(claimed.id, claimed.token)
    thread.join(20)
    assert seen == ["ready", "running", "succeeded"]


async def test_waiting_sees_the_end_of_tasks_that_others_finish(shared_node: NodeProcess, queue: str) -> None:
    async with tq.AsyncClient(shared_node.url) as client:
        made = await client.enqueue_many(tq.new_task("k", queue=queue) for _ in range(3))
        ids = [row.id or "" for row in made]
        waiting = asyncio.create_task(client.wait(reversed(ids), timeout_s=20))
        for claimed in await client.claim("w", queues=[queue], max=3):
            await client.complete(claimed.id, claimed.token, result="done")
        tasks = await waiting
        assert [task.id for task in tasks] == ids[::-1]
        assert {tq.value(task.result) for task in tasks} == {"done"}
        other = await client.enqueue("k", queue=queue)
        with pytest.raises(tq.errors.WaitTimeout) as caught:
            await client.wait([ids[0], other.id], timeout_s=0.1)
        assert caught.value.unfinished == [other.id]


async def test_a_claim_waits_for_a_task_and_cancelling_it_claims_nothing(
    shared_node: NodeProcess, queue: str
) -> None:
    async with tq.AsyncClient(shared_node.url) as client:
        waiting = asyncio.create_task(client.claim("w", queues=[queue], wait_s=20))
        await client.enqueue("k", queue=queue)
        (claimed,) = await waiting
        await client.complete(claimed.id, claimed.token)
        waiting = asyncio.create_task(client.claim("w", queues=[queue], wait_s=20))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(waiting, 0.3)
        task = await client.enqueue("k", queue=queue)
        (again,) = await client.claim("other", queues=[queue], wait_s=5)
        assert again.id == task.id


def test_a_node_with_small_limits_is_served_in_small_requests(tmp_path: Path) -> None:
    flags = ["--batch-max", "50", "--page-max", "20", "--body-bytes-max", "2048"]
    flags += ["--payload-bytes-max", "1024", "--result-bytes-max", "1024"]
    with running_node(tmp_path, *flags) as node, tq.Client(node.url) as client:
        made = client.enqueue_many(tq.new_task("k", number) for number in range(300))
        found = {task.id: tq.value(task.payload) for task in client.list(payload=True)}
        assert [found[row.id or ""] for row in made] == list(range(300))
        with pytest.raises(tq.errors.InvalidField) as caught:
            client.enqueue_many([*(tq.new_task("k") for _ in range(60)), tq.new_task("k", priority=999)])
    assert caught.value.field == "[60].priority"
    assert len(caught.value.enqueued) == 50


def test_a_function_travels_as_a_task_and_comes_back_with_its_types(
    shared_node: NodeProcess, queue: str
) -> None:
    app = tq.App(tq.Client(shared_node.url))

    @app.task(queue=queue)
    def due(day: datetime.date, *, factor: float = 1.0) -> str:
        return f"{day.isoformat()} * {factor}"

    today = datetime.date(2026, 1, 31)
    due.enqueue(today, factor=2)
    due.options(priority=255).enqueue_many([(today,), {"day": today, "factor": 3.0}])
    claims = app.client.claim("w", queues=[queue], max=3)
    results = []
    for claimed in claims:
        args, kwargs = app.tasks[claimed.kind].arguments(claimed.payload)
        results.append(due(*args, **kwargs))
    assert results == ["2026-01-31 * 1.0", "2026-01-31 * 3.0", "2026-01-31 * 2.0"]
    app.client.close()
