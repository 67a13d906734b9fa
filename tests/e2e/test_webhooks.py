"""Webhooks on real nodes: each end of a task, and event of a batch, is told, whatever is killed, and once."""

import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

import tq
from tests.e2e.command_process import Tq
from tests.e2e.processes import NodeProcess, running_node
from tests.e2e.receiver import ALLOW, Receiver, hooks_file, receiving
from tests.e2e.three_nodes import three_nodes
from tests.waiting import eventually
from tq.wire import Fixed, NewBatchWebhook, Webhook

QUEUE = "tqnode.webhooks"
SOON = Fixed(delay_s=0.2)
WITHIN_S = 60.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


def hook(url: str, attempts: int = 1000) -> Webhook:
    return Webhook(url=url, max_attempts=attempts, retry=SOON)


def delivery_of(client: tq.Client, task_id: str) -> tq.wire.Task:
    """The one delivery of a task's end."""
    found = [task for task in client.list(queue=QUEUE) if tq.value(task.meta)["webhook"]["of"] == task_id]
    (delivery,) = found
    return client.get(delivery.id)


def test_each_end_is_told_and_has_one_delivery(tmp_path: Path, receiver: Receiver) -> None:
    flags = ("--webhooks-file", hooks_file(tmp_path, shop=receiver.url), *ALLOW)
    with running_node(tmp_path, *flags) as node, tq.Client(node.url) as client:
        ids = [client.enqueue("k", webhook=receiver.url).id, client.enqueue("k", webhook="shop").id]
        (one, other) = client.claim("w", max=2)
        client.complete(one.id, one.token, result={"n": 1})
        client.fail(other.id, other.token, error="no", retry=False)
        ids.append(client.enqueue("k", webhook=receiver.url, delay_s=60).id)
        client.cancel(ids[2])
        types = ["task.succeeded", "task.dead", "task.cancelled"]
        wanted = Counter(zip(ids, types, strict=True))
        assert eventually(lambda: receiver.told() == wanted, within_s=WITHIN_S)
        eventually(lambda: client.queue(QUEUE).counts == {"succeeded": 3})
        assert tq.value(delivery_of(client, ids[0]).result)["status"] == 204
        assert client.get(ids[1]).webhook == tq.wire.TaskWebhook(
            endpoint="shop", on=["cancelled", "dead", "succeeded"], max_attempts=10
        )
        assert set(receiver.attempts.values()) == {1}
        with pytest.raises(tq.errors.ReservedQueue):
            client.claim("w", queues=[QUEUE])
        with pytest.raises(tq.errors.ReservedQueue):
            client.enqueue("k", queue=QUEUE)
        with pytest.raises(tq.errors.UnknownWebhook):
            client.enqueue("k", webhook="nobody")
        with pytest.raises(tq.errors.InvalidField, match="public address"):
            client.enqueue("k", webhook="http://169.254.169.254/latest/meta-data")
        assert node.stop() == 0
    assert receiver.wrong == []
    assert receiver.url.partition("?")[2] not in node.log, "URLs may hold what only receivers should know"


def test_a_receiver_that_is_down_is_tried_until_it_is_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    flags = ("--webhooks-file", hooks_file(tmp_path), *ALLOW)
    with running_node(tmp_path, *flags) as node, tq.Client(node.url) as client:
        task = client.enqueue("k", webhook=hook(f"http://127.0.0.1:{port}/"))
        client.cancel(task.id)
        eventually(lambda: len(delivery_of(client, task.id).errors) >= 2, within_s=WITHIN_S)
        assert delivery_of(client, task.id).errors[0].type == "webhook_connection"
        with receiving(port) as receiver:
            receiver.answers = [(500, {}), (302, {"location": f"http://127.0.0.1:{port}/elsewhere"})]
            eventually(lambda: receiver.told() == {(task.id, "task.cancelled"): 1}, within_s=WITHIN_S)
            assert list(receiver.attempts.values()) == [3], "no redirect is followed"
            assert [len(bodies) for bodies in receiver.bodies.values()] == [1], "the same bytes each time"
            assert receiver.wrong == []
        said = [error.message for error in delivery_of(client, task.id).errors]
        assert said[-2:] == ["answered 500", "answered 302"]


def test_what_the_receiver_says_of_the_next_attempt_is_obeyed(tmp_path: Path, receiver: Receiver) -> None:
    flags = ("--webhooks-file", hooks_file(tmp_path), *ALLOW)
    with running_node(tmp_path, *flags) as node, tq.Client(node.url) as client:
        gone = client.enqueue("k", webhook=hook(receiver.url))
        receiver.answers = [(410, {})]
        client.cancel(gone.id)
        eventually(lambda: delivery_of(client, gone.id).state == "dead")
        assert delivery_of(client, gone.id).reason == "failed_for_good"
        later = client.enqueue("k", webhook=hook(receiver.url))
        receiver.answers = [(503, {"retry-after": "3600"})]
        client.cancel(later.id)
        put_off = eventually(lambda: scheduled(delivery_of(client, later.id)))
        assert 3500 < seconds_between(put_off.started_at, put_off.run_at) < 3700
        # A person need not wait for it.
        client.retry(put_off.id)
        eventually(lambda: receiver.told() == {(later.id, "task.cancelled"): 1})
        spent = client.enqueue("k", webhook=hook(receiver.url, attempts=2))
        receiver.answers = [(400, {}), (404, {})]
        client.cancel(spent.id)
        dead = eventually(lambda: ended(delivery_of(client, spent.id)))
        assert (dead.state, dead.reason, dead.attempt) == ("dead", "attempts_exhausted", 2)


def scheduled(task: tq.wire.Task) -> tq.wire.Task | None:
    return task if task.state == "scheduled" else None


def ended(task: tq.wire.Task) -> tq.wire.Task | None:
    return task if task.finished_at is not None else None


def seconds_between(one: str | None, other: str | None) -> float:
    assert one is not None
    assert other is not None
    return (datetime.fromisoformat(other) - datetime.fromisoformat(one)).total_seconds()


KILLS = 8
TASKS = 400


@pytest.mark.timeout(600)  # a start for each kill, on a loaded machine
def test_kills_in_the_middle_lose_no_event_and_double_no_delivery(tmp_path: Path, receiver: Receiver) -> None:
    chance = random.Random(7)
    flags = ("--webhooks-file", hooks_file(tmp_path), *ALLOW, "--crashes-max", "1000")
    with running_node(tmp_path, *flags) as node:
        stop = threading.Event()
        worker = threading.Thread(target=work, args=(node, stop))
        with tq.Client(node.url, timeout_s=WITHIN_S) as client:
            tasks = [
                tq.new_task("k", queue="q", max_attempts=1000, webhook=hook(receiver.url))
                for _ in range(TASKS)
            ]
            ids = [str(row.id) for row in client.enqueue_many(tasks)]
            worker.start()
            for _ in range(KILLS):
                stop.wait(chance.choice([0.05, 0.2, 0.5, 1.0]))
                node.kill()
                node.restart()
            wanted = Counter((task_id, "task.succeeded") for task_id in ids)
            eventually(lambda: receiver.told() == wanted, within_s=240)
            stop.set()
            worker.join(30)
            eventually(lambda: client.queue(QUEUE).counts == {"succeeded": TASKS}, within_s=WITHIN_S)
            of = Counter(tq.value(task.meta)["webhook"]["of"] for task in client.list(queue=QUEUE))
            assert of == Counter(ids)
            # What was under way when the node was killed went back without an attempt spent.
            assert {task.attempt for task in client.list(queue=QUEUE)} == {1}
        assert node.stop() == 0
    assert receiver.wrong == []
    assert {len(bodies) for bodies in receiver.bodies.values()} == {1}


BATCHES = 30
MEMBERS = 12


@pytest.mark.timeout(600)  # a start for each kill, on a loaded machine
def test_kills_in_the_middle_leave_each_event_of_a_batch_told_once(
    tmp_path: Path, receiver: Receiver
) -> None:
    chance = random.Random(11)
    flags = ("--webhooks-file", hooks_file(tmp_path), *ALLOW, "--crashes-max", "1000")
    told = NewBatchWebhook(url=receiver.url, max_attempts=1000, retry=SOON)
    good, bad = (tq.new_task(kind, queue="q", max_attempts=1000) for kind in ("good", "bad"))
    with running_node(tmp_path, *flags) as node:
        stop = threading.Event()
        worker = threading.Thread(target=work, args=(node, stop))
        with tq.Client(node.url, timeout_s=WITHIN_S, retries=1000) as client:
            wanted: Counter[tuple[str, str]] = Counter()
            for number in range(BATCHES):
                members = [good] * MEMBERS + [bad] * (number % 2)
                batch = client.enqueue_batch(members, webhook=told, on_finished=tq.new_task("after")).id
                events = ("failure", "finished") if number % 2 else ("finished", "success")
                wanted.update((batch, f"batch.{event}") for event in events)
            client.enqueue_batch([good] * MEMBERS)
            worker.start()
            for _ in range(KILLS):
                stop.wait(chance.choice([0.05, 0.2, 0.5, 1.0]))
                node.kill()
                node.restart()
            for batch in {batch for batch, _ in wanted}:
                assert client.wait_batch(batch, timeout_s=240).total >= MEMBERS
            eventually(lambda: receiver.told() == wanted, within_s=240)
            stop.set()
            worker.join(30)
            node.kill()
            node.restart()
            counts = {"succeeded": wanted.total()}
            eventually(lambda: client.queue(QUEUE).counts == counts, within_s=WITHIN_S)
            found = [tq.value(task.meta)["webhook"] for task in client.list(queue=QUEUE)]
            assert Counter((about["of"], about["type"]) for about in found) == wanted
            assert client.count(kind="after").count == BATCHES
        assert node.stop() == 0
    assert receiver.wrong == []
    assert {len(bodies) for bodies in receiver.bodies.values()} == {1}
    finished = [event["data"] for event in receiver.events if event["type"] == "batch.finished"]
    assert all(data["state"] == "finished" and data["on_finished"]["task"] for data in finished)


def work(node: NodeProcess, stop: threading.Event) -> None:
    """Completes what there is, or fails what is bad, whatever becomes of the node meanwhile."""
    with tq.Client(node.url, timeout_s=5, retries=0) as client:
        while not stop.is_set():
            try:
                tasks = client.claim("w", queues=["q"], max=5, wait_s=0.2, lease_s=2.0)
                client.outcomes(
                    [
                        tq.wire.FailOutcome(id=task.id, token=task.token, retry=False)
                        if task.kind == "bad"
                        else tq.wire.CompleteOutcome(id=task.id, token=task.token)
                        for task in tasks
                    ]
                )
            except tq.TqError:
                stop.wait(0.02)


def test_a_stop_gives_back_what_is_under_way_in_time(tmp_path: Path) -> None:
    flags = ("--webhooks-file", hooks_file(tmp_path), *ALLOW, "--drain-s", "0.2")
    # It takes connections and never answers.
    with socket.create_server(("127.0.0.1", 0)) as silent, running_node(tmp_path, *flags) as node:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with tq.Client(node.url) as client:
            task = client.enqueue("k", webhook=hook(url))
            client.cancel(task.id)
            eventually(lambda: delivery_of(client, task.id).state == "running")
            assert node.stop() == 0
            node.restart()
            again = eventually(lambda: running(delivery_of(client, task.id)))
            assert (again.attempt, again.errors, again.crashes) == (1, [], 0)


def running(task: tq.wire.Task) -> tq.wire.Task | None:
    return task if task.state == "running" else None


@pytest.mark.timeout(300)
def test_a_killed_leader_and_a_handover_lose_no_event(tmp_path: Path, receiver: Receiver) -> None:
    flags = ["--webhooks-file", hooks_file(tmp_path), *ALLOW]
    with (
        three_nodes(tmp_path, lambda _name: flags) as nodes,
        tq.Client(nodes.urls, timeout_s=WITHIN_S) as client,
    ):
        ids: list[str] = []

        def cancel_some() -> None:
            tasks = [tq.new_task("k", webhook=hook(receiver.url), delay_s=600) for _ in range(20)]
            for row in client.enqueue_many(tasks):
                ids.append(str(row.id))
                client.cancel(str(row.id))

        cancel_some()
        nodes.kill_leader()
        cancel_some()
        nodes.make_whole()
        client.handover()
        cancel_some()
        wanted = Counter((task_id, "task.cancelled") for task_id in ids)
        eventually(lambda: receiver.told() == wanted, within_s=WITHIN_S)
        eventually(lambda: client.queue(QUEUE).counts == {"succeeded": len(ids)}, within_s=WITHIN_S)
    assert receiver.wrong == []


def test_the_command_enqueues_with_webhooks_and_tries_them_out(tmp_path: Path, receiver: Receiver) -> None:
    flags = ("--webhooks-file", hooks_file(tmp_path, shop=receiver.url), *ALLOW)
    with running_node(tmp_path, *flags) as node:
        command = Tq(node.url)
        assert "delivered: answered 204" in command("webhook", "test", "shop").out
        assert '"status":204' in command("webhook", "test", receiver.url, "--json").out
        receiver.answers = [(500, {})]
        assert "did not take it: answered 500" in command("webhook", "test", "shop", code=1).err
        assert "gives no url for nobody" in command("webhook", "test", "nobody", code=1).err
        task_id = command("enqueue", "k", "--webhook", receiver.url, "--webhook-on", "dead").out.strip()
        assert f"webhook     {receiver.url} (dead)" in command("get", task_id).out
        exported = command("export").out
        assert f'"webhook":{{"url":"{receiver.url}","on":["dead"],"max_attempts":10}}' in exported
        command("enqueue", "k", "--webhook", "shop", "--webhook-on", "dead", code=2)
        scheduled = command("schedule", "put", "s", "k", "--every", "1h", "--webhook", "shop", "--json").out
        assert '"webhook":{"endpoint":"shop"' in scheduled
