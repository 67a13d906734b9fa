"""A fan-out and a fan-in while the node is killed again and again: nothing hangs, nothing runs too early."""

import random
import secrets
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import tq
from tests.e2e.processes import NodeProcess, running_node
from tests.waiting import eventually
from tq.wire import ClaimedTask

MIDS = 1_000
"""As many as one task may wait for."""
LEAVES = 1_500
KILLS = 12
SEED = secrets.randbelow(1_000_000)
LEASE_S = 2.0


@dataclass
class Worker:
    """Claims and completes until told to stop, whatever becomes of the node meanwhile.

    Args:
        url: the node's.
        name: its own.
    """

    url: str
    name: str
    stop: threading.Event
    claimed: list[ClaimedTask] = field(default_factory=list)
    tried: set[str] = field(default_factory=set)
    """Tasks whose completion was sent at least once; whether it arrived nobody may know."""
    early: list[str] = field(default_factory=list)

    def run(self) -> None:
        with tq.Client(self.url, timeout_s=5, retries=0) as client:
            while not self.stop.is_set():
                try:
                    self._work(client)
                except tq.TqError:
                    self.stop.wait(0.02)

    def _work(self, client: tq.Client) -> None:
        tasks = client.claim(self.name, queues=["q"], max=40, wait_s=0.2, lease_s=LEASE_S)
        self.claimed += tasks
        for task in tasks:
            self.early += [one.id for one in task.inputs if one.state != "succeeded"]
        self.tried.update(task.id for task in tasks)
        outcomes = [
            tq.wire.CompleteOutcome(
                id=task.id, token=task.token, result=tq.Raw(b'{"by": "%s"}' % task.kind.encode())
            )
            for task in tasks
        ]
        if outcomes:
            client.outcomes(outcomes)


def family() -> list[tq.NewTask]:
    """One root, many after it, one after a thousand of these; and a branch that is to be cancelled."""
    options = {"queue": "q", "max_attempts": 1_000}
    root = tq.new_task("root", ref="root", **options)
    mids = [tq.new_task("mid", ref=f"mid{n}", after=root, **options) for n in range(MIDS)]
    leaves = [tq.new_task("leaf", after=root, **options) for _ in range(LEAVES)]
    join = tq.new_task("join", ref="join", after=mids, **options)
    last = tq.new_task("last", after=join, **options)
    # The join and the last come first: a name may stand before its task.
    return [last, join, *leaves, *mids, root]


@pytest.mark.timeout(600)  # a dozen starts on a loaded machine
def test_kills_in_the_middle_of_a_fan_out_and_a_fan_in_lose_and_hurry_nothing(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    with running_node(tmp_path, "--crashes-max", "1000", "--log-level", "warning") as node:
        stop = threading.Event()
        workers = [Worker(node.url, f"w{n}", stop) for n in range(2)]
        threads = [threading.Thread(target=worker.run) for worker in workers]
        with tq.Client(node.url, timeout_s=60) as client:
            rows = client.enqueue_together(family())
            ids = [str(row.id) for row in rows]
            doomed = client.enqueue_together(
                [tq.new_task("bad", queue="bad", ref="n0")]
                + [tq.new_task("bad", queue="bad", ref=f"n{n}", after=f"#n{n - 1}") for n in range(1, 3_000)]
            )
            for thread in threads:
                thread.start()
            # The root of a long line is cancelled: the rest of it is put off, and then comes the first kill.
            assert client.cancel(str(doomed[0].id)).state == "cancelled"
            for _ in range(KILLS):
                stop.wait(chance.choice([0.0, 0.01, 0.05, 0.3]))
                kill_and_restart(node)
            eventually(lambda: ended(client, "q") == len(ids), within_s=240, ignoring=(tq.TqError,))
            eventually(lambda: ended(client, "bad") == len(doomed), within_s=60, ignoring=(tq.TqError,))
            stop.set()
            for thread in threads:
                thread.join(30)
            assert client.queue("q").counts == {"succeeded": len(ids)}
            assert client.queue("bad").counts == {"cancelled": len(doomed)}
            assert client.get(str(doomed[-1].id)).reason == "dependency"
            join = client.get(ids[1])
            assert (join.pending, len(join.after)) == (0, MIDS)
        assert node.stop() == 0
    nothing_ran_early(workers, ids)


def kill_and_restart(node: NodeProcess) -> None:
    node.kill()
    node.restart()


def ended(client: tq.Client, queue: str) -> int:
    counts = client.queue(queue).counts
    assert set(counts) <= {"blocked", "ready", "running", "succeeded", "cancelled"}
    done = counts.get("succeeded", 0) + counts.get("cancelled", 0)
    assert done == sum(counts.values()), "not all yet"
    return done


def nothing_ran_early(workers: list[Worker], ids: list[str]) -> None:
    assert [worker.early for worker in workers] == [[], []]
    tried = set[str]().union(*(worker.tried for worker in workers))
    assert tried == set(ids), "all ran"
    by_kind: dict[str, list[ClaimedTask]] = {}
    for worker in workers:
        for task in worker.claimed:
            by_kind.setdefault(task.kind, []).append(task)
    assert all(len(task.inputs) == MIDS for task in by_kind["join"])
    assert all([one.kind for one in task.inputs] == ["root"] for task in by_kind["mid"] + by_kind["leaf"])
    assert all(tq.value(one.result) == {"by": "mid"} for task in by_kind["join"] for one in task.inputs)
