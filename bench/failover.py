"""How long three nodes take no writes: after kill -9 of the leader, and when leadership is handed over.

    sudo .venv-test/bin/python -m bench.failover --times 50 --tasks 100000 --report failover.json

Needs root, as tests/cluster does: the nodes are in network namespaces. Their data goes below ``.benchmarks``,
or the folder that TQNODE_BENCH_DIR names.
"""

import argparse
import asyncio
import json
import secrets
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

from bench.folder import bench_folder
from tests.cluster.asking import Asker
from tests.cluster.cluster import Cluster, cluster
from tests.cluster.member import Member, Shape
from tests.cluster.report import percentiles
from tests.e2e.raw_http import NoAnswer, NotSent, RawClient

BATCH = 1000
GIVE_UP_S = 180.0
ANSWER_S = 1.0
PAUSE_S = 0.005
AGAIN_S = 0.02
CLIENTS = 4
AROUND_S = 1.0
"""How long clients write before and after a hand-over."""
TASK = {"kind": "failover", "queue": "probe", "payload": {}}


def fill(leader: Member, tasks: int, payload_bytes: int) -> None:
    """Enqueues tasks in batches, into a queue that nobody empties."""
    # Such text hardly gets smaller: a database of a gigabyte is one on its way to the peers, too.
    payload = secrets.token_urlsafe(payload_bytes)[:payload_bytes]
    with httpx.Client(base_url=leader.url, timeout=120) as client:
        for start in range(0, tasks, BATCH):
            count = min(BATCH, tasks - start)
            turned = (payload[at % payload_bytes :] + payload[: at % payload_bytes] for at in range(count))
            batch = [{"kind": "failover", "queue": "filled", "payload": text} for text in turned]
            client.post("/v1/tasks", json=batch).raise_for_status()


async def first_write_s(urls: list[str]) -> float:
    """Seconds until one of these nodes acknowledges a write; each is asked again and again."""
    began = time.monotonic()

    async def ask(url: str) -> float:
        client = RawClient(url)
        try:
            while True:
                try:
                    answer = await asyncio.wait_for(client.post("/v1/tasks", TASK), ANSWER_S)
                    if answer.status == 201:
                        return time.monotonic() - began
                except (NotSent, NoAnswer, TimeoutError):
                    client.close()
                await asyncio.sleep(PAUSE_S)
        finally:
            client.close()

    asking = [asyncio.create_task(ask(url)) for url in urls]
    done, rest = await asyncio.wait(asking, timeout=GIVE_UP_S, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    return min(task.result() for task in done)


def fail_over(nodes: Cluster) -> float:
    """Kills the leader and its Litestream; seconds to the first acknowledged write elsewhere."""
    leader = nodes.wait_for_leader()
    others = [nodes.members[name].url for name in nodes.others([leader.name])]
    leader.kill_both()
    took = asyncio.run(first_write_s(others))
    leader.start()
    nodes.wait_until_whole(nodes.names)
    return took


async def gap_of_writes(nodes: Cluster, leader: Member) -> tuple[float, int]:
    """Hands over while clients write; the longest time without an acknowledgement, and how many refusals."""
    acks: list[float] = []
    refused = 0
    ending = asyncio.Event()

    async def write() -> None:
        nonlocal refused
        asker = Asker(nodes.urls)
        while not ending.is_set():
            reply = await asker.post("/v1/tasks", TASK)
            if reply.outcome == "ok":
                acks.append(reply.returned)
            else:
                refused += 1
                await asyncio.sleep(AGAIN_S)
        asker.close()

    writing = [asyncio.create_task(write()) for _ in range(CLIENTS)]
    await asyncio.sleep(AROUND_S)
    client = RawClient(leader.url)
    answer = await asyncio.wait_for(client.post("/v1/cluster/handover", {"to": None}), GIVE_UP_S)
    client.close()
    # A node may give up waiting for its successor before that one serves: the gap is what counts.
    assert answer.status in (200, 503), answer.body
    answered = time.monotonic()
    while not acks or acks[-1] < answered:
        assert time.monotonic() < answered + GIVE_UP_S, "nobody serves"
        await asyncio.sleep(PAUSE_S)
    await asyncio.sleep(AROUND_S)
    ending.set()
    await asyncio.gather(*writing)
    acks.sort()
    return max(later - earlier for earlier, later in pairwise(acks)), refused


def hand_over(nodes: Cluster) -> tuple[float, int]:
    """One hand-over; see :func:`gap_of_writes`."""
    leader = nodes.wait_for_leader()
    gap = asyncio.run(gap_of_writes(nodes, leader))
    nodes.wait_until_whole(nodes.names)
    assert nodes.wait_for_leader() is not leader
    return gap


def measure(folder: Path, *, times: int, tasks: int, payload_bytes: int) -> dict[str, Any]:
    """Both, so many times each.

    Args:
        folder: for the nodes' data.
        times: how often.
        tasks: how many are there.
        payload_bytes: of each.
    """
    with cluster(folder, Shape(names=("a", "b", "c"), disk_mib=0, fake_time=False)) as nodes:
        nodes.start()
        fill(nodes.wait_for_leader(), tasks, payload_bytes)
        nodes.wait_until_whole(nodes.names)
        failovers = []
        for number in range(times):
            failovers.append(fail_over(nodes))
            print(f"kill -9 {number + 1}: {failovers[-1]:.2f} s", flush=True)
        hand_overs = []
        for number in range(times):
            hand_overs.append(hand_over(nodes))
            print(f"hand-over {number + 1}: {hand_overs[-1][0]:.3f} s", flush=True)
        size = (nodes.wait_for_leader().data_dir / "tq.db").stat().st_size
    return {
        "tasks": tasks,
        "database_mib": round(size / (1 << 20)),
        "kill -9 to first write elsewhere, s": percentiles(failovers),
        "hand-over, longest gap between writes, s": percentiles(gap for gap, _ in hand_overs),
        "hand-over, writes refused": sum(refused for _, refused in hand_overs),
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.failover", description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--payload-bytes", type=int, default=100)
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    with bench_folder() as folder:
        figures = measure(
            folder, times=options.times, tasks=options.tasks, payload_bytes=options.payload_bytes
        )
    print(json.dumps(figures, indent=1))
    if options.report:
        options.report.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
