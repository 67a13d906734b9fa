"""What finished tasks take on the disk, and whether a steady queue that deletes them keeps its size.

    python -m bench.growth                          300,000 tasks through, kept for two seconds each
    python -m bench.growth --tasks 10000000         ten million: it says how long that takes
    python -m bench.growth --size 1000              tasks in a request

Tasks are enqueued, claimed and completed over two connections as fast as they go, which is when deleting has
it hardest. The data goes below ``.benchmarks``, or the folder that TQNODE_BENCH_DIR names.
"""

import argparse
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from bench.filling import PRIORITY, QUEUE, Filling, batch_of, claim_of, task_of
from bench.folder import bench_folder
from bench.load.client import Connection, address_of
from bench.load.orders import Script, Scripted, complete_of, run
from bench.processes import NodeProcess, memory_and_cpu
from tests.waiting import eventually

CONNECTIONS: Final = 2
SAMPLES: Final = 20
KEPT_FOR_SIZE: Final = 100_000
"""Finished tasks whose bytes are counted."""
SETTLED_S: Final = 60.0
"""Within this the last finished tasks are gone."""


@dataclass(frozen=True)
class Sample:
    """The node after so many tasks.

    Args:
        tasks: that went through so far.
        file_mb: the database's file.
        wal_mb: its write-ahead log.
        kept: finished tasks that are there.
        memory_mb: resident.
        per_s: tasks a second since the sample before.
    """

    tasks: int
    file_mb: float
    wal_mb: float
    kept: int
    memory_mb: float
    per_s: float

    def line(self) -> str:
        """For the table."""
        return (
            f"{self.tasks:12,} {self.file_mb:9.1f} {self.wal_mb:8.1f} {self.kept:10,} {self.memory_mb:6.0f} "
            f"{self.per_s:9,.0f}"
        )


HEAD: Final = f"{'tasks':>12} {'file MB':>9} {'WAL MB':>8} {'kept':>10} {'RSS MB':>6} {'tasks/s':>9}"


def lifecycles(requests: int, size: int, _: Connection) -> Script:
    """Enqueues, claims and completes ``size`` tasks each time."""
    enqueue, claim = batch_of([task_of(QUEUE, PRIORITY)] * size), claim_of((QUEUE,), size)
    for _number in range(requests):
        yield enqueue
        claimed = yield claim
        yield complete_of(claimed)


def work(url: str, requests: int, size: int) -> float:
    """Has each connection do so many lifecycles; seconds that took."""
    connections = [Scripted(address_of(url), partial(lifecycles, requests, size)) for _ in range(CONNECTIONS)]
    began = time.perf_counter()
    run(connections)
    took = time.perf_counter() - began
    for connection in connections:
        connection.close()
    return took


def file_bytes(node: NodeProcess) -> int:
    """Of the database's file."""
    return (node.data_dir / "tq.db").stat().st_size


def bytes_each(folder: Path, tasks: int) -> float:
    """What one finished task takes in the file."""
    node = NodeProcess(folder)
    try:
        node.stop()  # the write-ahead log goes into the file
        empty = file_bytes(node)
        node.restart()
        filling = Filling(node.url)
        filling.finish(tasks, queue=QUEUE)
        filling.close()
        node.stop()
        return (file_bytes(node) - empty) / tasks
    finally:
        node.end()


def sample(node: NodeProcess, filling: Filling, *, tasks: int, per_s: float) -> Sample:
    """Looks at the node."""
    return Sample(
        tasks=tasks,
        file_mb=file_bytes(node) / 1e6,
        wal_mb=(node.data_dir / "tq.db-wal").stat().st_size / 1e6,
        kept=filling.counts(QUEUE).get("succeeded", 0),
        memory_mb=memory_and_cpu(node.pid)[0] / 1e6,
        per_s=per_s,
    )


def steady(folder: Path, *, tasks: int, size: int, keep_s: int) -> list[Sample]:
    """Has so many tasks go through a node that keeps finished ones for ``keep_s`` seconds."""
    node = NodeProcess(folder, ["--keep-succeeded-s", str(keep_s)])
    try:
        filling = Filling(node.url)
        requests = max(1, tasks // (SAMPLES * CONNECTIONS * size))
        each = requests * CONNECTIONS * size
        print(HEAD, flush=True)
        samples = []
        for number in range(1, SAMPLES + 1):
            took_s = work(node.url, requests, size)
            samples.append(sample(node, filling, tasks=number * each, per_s=each / took_s))
            print(samples[-1].line(), flush=True)
        began = time.monotonic()
        eventually(lambda: not filling.counts(QUEUE), within_s=keep_s + SETTLED_S)
        print(f"all gone {time.monotonic() - began:.1f} s after the last", flush=True)
        filling.close()
        return samples
    finally:
        node.end()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tasks", type=int, default=300_000)
    parser.add_argument("--size", type=int, default=100, help="tasks in a request")
    parser.add_argument("--keep-s", type=int, default=2, help="how long finished tasks are kept")
    options = parser.parse_args()
    with bench_folder() as folder:
        for name in ("each", "steady"):
            (folder / name).mkdir()
        took = bytes_each(folder / "each", min(KEPT_FOR_SIZE, options.tasks))
        print(f"a finished task of 100 bytes payload: {took:.0f} bytes in the file")
        samples = steady(folder / "steady", tasks=options.tasks, size=options.size, keep_s=options.keep_s)
    first, last = samples[: SAMPLES // 2], samples[SAMPLES // 2 :]
    largest = [max(one.file_mb for one in half) for half in (first, last)]
    per_s = len(samples) / sum(1 / one.per_s for one in samples)
    print(
        f"largest file in the first half {largest[0]:.1f} MB, in the second {largest[1]:.1f} MB: "
        f"{largest[1] / largest[0]:.2f}"
    )
    print(f"{per_s:,.0f} tasks/s: ten million take {10e6 / per_s / 60:.0f} minutes")


if __name__ == "__main__":
    main()
