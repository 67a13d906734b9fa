"""Schedules on real nodes: whatever is killed, handed over or restarted, each tick makes its task once."""

import random
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

import tq
from tests.e2e.command_process import Tq
from tests.e2e.processes import running_node
from tests.e2e.three_nodes import three_nodes
from tests.waiting import eventually

KILLS = 12
WITHIN_S = 60.0
IN_TIME_S = 1.0


def ticks(client: tq.Client, name: str) -> list[float]:
    """The times at which a schedule's tasks were due, in the order in which the tasks were made."""
    found: list[float] = []
    for task in client.list(queue=name):
        about = tq.value(task.meta)["schedule"]
        assert about["name"] == name
        found.append(datetime.fromisoformat(about["at"]).timestamp())
    return found[::-1]


def assert_each_once(found: list[float], every_s: float) -> None:
    """No tick is missing between the first and the last, and none is there twice."""
    assert len(found) > 3
    assert {round(other - one, 3) for one, other in pairwise(found)} == {every_s}


@pytest.mark.timeout(600)
def test_kills_around_ticks_neither_lose_nor_double_one(tmp_path: Path) -> None:
    chance = random.Random(20)
    with running_node(tmp_path) as node, tq.Client(node.url, timeout_s=WITHIN_S) as client:
        kept = client.put_schedule("often", tq.new_task("k", queue="often"), every_s=1, missed="all")
        client.put_schedule("cron", tq.new_task("k", queue="cron"), cron="* * * * * *", missed="all")
        for _ in range(KILLS):
            before = len(ticks(client, "often"))
            due = datetime.fromisoformat(client.schedule("often").next_runs[0]).timestamp()
            # From a little before a tick to a little after it: its transaction may be anywhere.
            after_ms = chance.uniform(-60, 120)
            eventually(partial(is_past, due + after_ms / 1000), every_s=0.001)
            node.kill()
            node.restart()
            # The same definition at each start, as programs do it.
            again = client.put_schedule("often", tq.new_task("k", queue="often"), every_s=1, missed="all")
            assert again.created_at == kept.created_at
            eventually(partial(has_more, client, before), within_s=WITHIN_S)
        for name in ("often", "cron"):
            client.pause_schedule(name)
            found = ticks(client, name)
            assert_each_once(found, 1.0)
            schedule = client.schedule(name)
            assert (schedule.fires, schedule.skips) == (len(found), 0)
        assert node.stop() == 0


def now() -> float:
    return datetime.now(UTC).timestamp()


def is_past(moment: float) -> bool:
    return now() >= moment


def has_more(client: tq.Client, before: int) -> bool:
    return len(ticks(client, "often")) > before


def test_a_worker_that_waits_gets_the_task_of_a_tick_in_time(tmp_path: Path) -> None:
    with running_node(tmp_path) as node, tq.Client(node.url) as client:
        client.put_schedule("often", tq.new_task("k", queue="often"), cron="* * * * * *")
        late_s: list[float] = []
        for _ in range(4):
            (task,) = client.claim("w", queues=["often"], wait_s=10)
            late_s.append(now() - datetime.fromisoformat(tq.value(task.meta)["schedule"]["at"]).timestamp())
            client.complete(task.id, task.token)
        # On a loaded machine some may come late; that all do would mean the node only looks now and then.
        assert min(late_s) < IN_TIME_S, late_s


@pytest.mark.timeout(300)
def test_a_killed_leader_and_a_handover_neither_lose_nor_double_a_tick(tmp_path: Path) -> None:
    with three_nodes(tmp_path) as nodes, tq.Client(nodes.urls, timeout_s=WITHIN_S) as client:
        client.put_schedule("often", tq.new_task("k", queue="often"), every_s=1, missed="all")
        eventually(partial(has_more, client, 2), within_s=WITHIN_S)
        nodes.kill_leader()
        seen = len(ticks(client, "often"))
        eventually(partial(has_more, client, seen + 2), within_s=WITHIN_S)
        nodes.make_whole()
        client.handover()
        seen = len(ticks(client, "often"))
        eventually(partial(has_more, client, seen + 2), within_s=WITHIN_S)
        client.pause_schedule("often")
        assert_each_once(ticks(client, "often"), 1.0)
        assert client.schedule("often").skips == 0


def test_the_command_puts_shows_and_deletes_a_schedule(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        command = Tq(node.url)
        put = ["schedule", "put", "nightly", "report", '{"a": 1.10}', "--cron", "30 2 * * *"]
        shown = command(*put, "-z", "Europe/Berlin", "--overlap", "skip").out
        assert "30 2 * * * Europe/Berlin" in shown
        assert "nightly" in command("schedule", "list").out
        assert len(command("schedule", "next", "nightly", "-n", "3").out.splitlines()) == 3
        assert command("schedule", "pause", "nightly").out == "nightly  paused\n"
        assert '"payload":{"a": 1.10}' in command("schedule", "get", "nightly", "--json").out
        assert command("schedule", "resume", "nightly").out.startswith("nightly  next in ")
        wrong = command("schedule", "put", "x", "k", "--cron", "61 * * * *", code=1)
        assert "cron: is no cron expression" in wrong.err
        assert command("schedule", "delete", "nightly").out == "nightly  deleted\n"
        assert "nightly" in command("schedule", "get", "nightly", code=6).err
