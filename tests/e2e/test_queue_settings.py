"""Pauses, drains and settings on real nodes, through kills, restarts and a change of the leader."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

import tq
from tests.e2e.command_process import Tq
from tests.e2e.processes import running_node
from tests.e2e.three_nodes import three_nodes
from tests.waiting import eventually
from tq import wire

WITHIN_S = 60.0
IN_TIME_S = 2.0


class Waiter:
    """A worker that waits for one task of the queue ``q``, in a thread, whatever becomes of the node."""

    def __init__(self, urls: str | list[str]) -> None:
        self.tasks: list[wire.ClaimedTask] = []
        self.got_at = 0.0
        self._urls = urls
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with tq.Client(self._urls, timeout_s=WITHIN_S) as client:
            while not self.tasks:
                try:
                    self.tasks = client.claim("w", queues=["q"], wait_s=20)
                except tq.TqError:
                    continue
        self.got_at = now()

    def join(self) -> None:
        self._thread.join(WITHIN_S)
        assert not self._thread.is_alive()


def now() -> float:
    return datetime.now(UTC).timestamp()


def end_of(pause: wire.Pause | None) -> float:
    assert pause is not None
    assert pause.until is not None
    return datetime.fromisoformat(pause.until).timestamp()


@pytest.mark.parametrize("whole", [False, True], ids=["queue", "node"])
def test_a_pause_ends_in_time_though_the_node_is_killed_while_it_lasts(whole: bool, tmp_path: Path) -> None:
    with running_node(tmp_path) as node, tq.Client(node.url, timeout_s=WITHIN_S) as client:
        client.enqueue("k", queue="q")
        pause = client.pause_all(for_s=4).pause if whole else client.pause("q", for_s=4).pause
        waiter = Waiter(node.url)
        node.kill()
        node.restart()
        assert client.claim("other", queues=["q"]) == []
        after = client.node_pause().pause if whole else client.queue("q").pause
        assert after == pause
        waiter.join()
        assert 0 <= waiter.got_at - end_of(pause) < IN_TIME_S
        assert not client.queue("q").paused
        assert node.stop() == 0


@pytest.mark.timeout(300)
def test_pauses_drains_and_settings_hold_on_the_next_leader(tmp_path: Path) -> None:
    with three_nodes(tmp_path) as nodes, tq.Client(nodes.urls, timeout_s=WITHIN_S) as client:
        client.set_queue("q", lease_s=77, depth_max=1)
        client.enqueue("k", queue="q")
        pause = client.pause("q", for_s=12).pause
        client.set_queue("drained", priority=1)
        client.drain("drained")
        waiter = Waiter(nodes.urls)
        nodes.kill_leader()
        assert client.claim("other", queues=["q"]) == []
        with pytest.raises(tq.errors.QueueDraining):
            client.enqueue("k", queue="drained")
        waiter.join()
        assert waiter.got_at >= end_of(pause)
        (task,) = waiter.tasks
        assert task.lease_s == 77.0
        assert client.enqueue("k", queue="q").lease_s == 77.0
        with tq.Client(nodes.urls, timeout_s=1) as hasty, pytest.raises(tq.errors.QueueFull):
            hasty.enqueue("k", queue="q")


def test_an_enqueue_is_answered_alike_alone_and_among_many_while_defaults_change(tmp_path: Path) -> None:
    """What the client tells of a task that went with others is what the node has stored."""
    made: list[wire.Task] = []
    with running_node(tmp_path) as node, tq.Client(node.url) as client:
        client.set_queue("q", lease_s=5, priority=3)

        def enqueue() -> None:
            for _ in range(60):
                made.append(client.enqueue("k", queue="q"))
                made.append(client.enqueue("k", queue="plain"))

        threads = [threading.Thread(target=enqueue) for _ in range(12)]
        for thread in threads:
            thread.start()
        for lease_s in (6, None, 7, None, 8):
            client.set_queue("q", lease_s=lease_s, retry=tq.Fixed(delay_s=lease_s) if lease_s else None)
        for thread in threads:
            thread.join()
        stored = {task.id: task for task in client.list()}
        assert len(stored) == len(made) == 12 * 120
        for task in made:
            kept = stored[task.id]
            for name in ("priority", "lease_s", "max_attempts", "retry", "timeout_s"):
                assert getattr(task, name) == getattr(kept, name), name
        assert {task.lease_s for task in made if task.queue == "plain"} == {30.0}


def test_the_command_pauses_drains_and_sets_up_a_queue(tmp_path: Path) -> None:
    with running_node(tmp_path) as node, tq.Client(node.url) as client:
        command = Tq(node.url)
        assert "lease       1m" in command("queue", "set", "q", "--lease", "60s", "--depth-max", "1").out
        client.enqueue("k", queue="q")
        full = command("enqueue", "k", "--queue", "q", code=5).err
        assert "depth_max: queue q holds 1 waiting tasks; its limit is 1" in full
        assert "paused for 10m" in command("queue", "pause", "q", "--for", "10m").out.replace("9m59s", "10m")
        assert "draining" in command("queue", "drain", "q").out
        assert "draining" in command("queue", "show", "q").out
        assert "paused" not in command("queue", "resume", "q").out
        assert command("pause", "--reason", "move").out == "all queues  paused: move\n"
        assert "the whole node is paused: move" in command("queues").err
        assert client.claim("w", queues=["q"]) == []
        assert command("resume").out == "all queues  not paused\n"
        assert len(client.claim("w", queues=["q"])) == 1
        eventually(lambda: client.queue("q").counts == {"running": 1})
