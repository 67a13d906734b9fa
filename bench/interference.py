"""What the node's own work adds to claims: deleting old tasks, taking leases back, purging a queue.

    python -m bench.interference                    300,000 old tasks, 100,000 leases, 1,000,000 purged
    python -m bench.interference --scale 0.1        a tenth of each: a quick look
    python -m bench.interference --rate 1500        requests a second: enqueue, claim, complete in turns

Requests come at random moments, and a claim's time counts from when it was due, whatever the node does then.
It is taken twice on the same node with the same tasks: at rest, and while the work lasts. The data goes below
``.benchmarks``, or the folder that TQNODE_BENCH_DIR names.
"""

import argparse
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.filling import Filling
from bench.folder import bench_folder
from bench.load.client import Connection, address_of, request
from bench.load.pace import run
from bench.load.work import Mixed
from bench.processes import NodeProcess

CONNECTIONS: Final = 32
WATCH_EVERY_S: Final = 0.1
"""How often it is asked whether the work still lasts."""
WARM_S: Final = 1.0
AT_REST_S: Final = 10.0
LASTS_S: Final = 300.0
"""Work that takes longer is watched no further."""
OLD, LEASED, PURGED = "old", "leased", "purged"
CLAIMED_PER_S: Final = 5_000
"""Tasks are claimed at least this fast."""
FOR_EVER: Final = "-1"


@dataclass(frozen=True)
class Load:
    """The claims that are timed, and what goes with them.

    Args:
        url: of the node.
        rate: requests a second; a third of them are claims of one task.
    """

    url: str
    rate: float

    def at_rest(self) -> list[float]:
        """How long claims take while nothing else goes on, in ms."""
        self._claims_ms(WARM_S)
        return self._claims_ms(AT_REST_S)

    def while_it_lasts(self, lasts: Callable[[], bool]) -> list[float]:
        """How long they take while it does, in ms.

        Raises:
            RuntimeError: it ends too late.
        """
        ended = threading.Event()
        done = threading.Event()

        def watch() -> None:
            while not done.wait(WATCH_EVERY_S):
                if not lasts():
                    ended.set()
                    return

        watching = threading.Thread(target=watch)
        watching.start()
        try:
            took = self._claims_ms(LASTS_S, ended.is_set)
        finally:
            done.set()
            watching.join()
        if not ended.is_set():
            raise RuntimeError(f"it goes on after {LASTS_S:g} s")
        return took

    def _claims_ms(self, seconds: float, ended: Callable[[], bool] = lambda: False) -> list[float]:
        connections = [Connection(address_of(self.url)) for _ in range(CONNECTIONS)]
        work = Mixed(payload_bytes=100, claim_max=1)
        took = run(connections, work, seconds=seconds, rate=self.rate, chance=random.Random(0), ended=ended)
        for connection in connections:
            connection.close()
        return [1000 * one for one in took["claim"]]


@dataclass(frozen=True)
class Finding:
    """Claims beside one kind of work.

    Args:
        name: of the work.
        tasks: it is about.
        lasted_s: how long it took.
        rest_ms: how long claims took before it.
        work_ms: and during it.
    """

    name: str
    tasks: int
    lasted_s: float
    rest_ms: list[float]
    work_ms: list[float]

    def line(self) -> str:
        """For the table."""
        rest, work = (sorted(one) for one in (self.rest_ms, self.work_ms))
        columns = [(share_of(rest, share), share_of(work, share)) for share in (0.5, 0.99, 1.0)]
        shown = "".join(f" {before:8.2f} {during:8.2f}" for before, during in columns)
        added = columns[1][1] - columns[1][0]
        return f"{self.name:28} {self.tasks / self.lasted_s:9,.0f}{shown} {added:+8.2f}"


HEAD: Final = (
    f"{'ms, at rest and meanwhile':28} {'tasks/s':>9}"
    f" {'p50':>8} {'':>8} {'p99':>8} {'':>8} {'max':>8} {'':>8} {'p99 +':>8}"
)


def share_of(ordered: list[float], share: float) -> float:
    """The value that this share does not exceed."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def retention(folder: Path, *, tasks: int, rate: float) -> Finding:
    """So many finished tasks have become too old, and are deleted."""
    node = NodeProcess(folder, ["--keep-succeeded-s", FOR_EVER])
    try:
        filling = Filling(node.url)
        filling.finish(tasks, queue=OLD)
        filling.close()
        rest_ms = Load(node.url, rate).at_rest()
        node.stop()
        # From now on none is kept: all of them are due.
        node = NodeProcess(folder, ["--keep-succeeded-s", "0"])
        began = time.monotonic()
        filling = Filling(node.url)
        work_ms = Load(node.url, rate).while_it_lasts(lambda: "succeeded" in filling.counts(OLD))
        lasted_s = time.monotonic() - began
        filling.close()
    finally:
        node.end()
    return Finding(f"retention of {tasks:,}", tasks, lasted_s, rest_ms, work_ms)


def leases(folder: Path, *, tasks: int, rate: float) -> Finding:
    """The leases of so many tasks end at the same moment."""
    node = NodeProcess(folder)
    try:
        filling = Filling(node.url)
        filling.enqueue(tasks, queues=[LEASED])
        until = time.monotonic() + tasks / CLAIMED_PER_S + WARM_S + AT_REST_S + WARM_S
        filling.claim_until(tasks, queue=LEASED, until=until)
        load = Load(node.url, rate)
        rest_ms = load.at_rest()
        assert filling.counts(LEASED) == {"running": tasks}, "leases ended too early"
        time.sleep(max(0.0, until - time.monotonic()))
        began = time.monotonic()
        work_ms = load.while_it_lasts(lambda: "running" in filling.counts(LEASED))
        lasted_s = time.monotonic() - began
        assert filling.counts(LEASED) == {"ready": tasks}
        filling.close()
    finally:
        node.end()
    return Finding(f"{tasks:,} leases at once", tasks, lasted_s, rest_ms, work_ms)


def purge(folder: Path, *, tasks: int, rate: float) -> Finding:
    """A queue of so many tasks is purged."""
    node = NodeProcess(folder)
    try:
        filling = Filling(node.url)
        filling.enqueue(tasks, queues=[PURGED])
        load = Load(node.url, rate)
        rest_ms = load.at_rest()
        connection = Connection(address_of(node.url))
        answers: list[bytes] = []
        purging = threading.Thread(
            target=lambda: answers.append(connection.ask(request(f"/v1/queues/{PURGED}/purge", b"{}")))
        )
        began = time.monotonic()
        purging.start()
        work_ms = load.while_it_lasts(purging.is_alive)
        lasted_s = time.monotonic() - began
        purging.join()
        assert answers == [b'{"deleted":%d}' % tasks], answers
        connection.close()
        filling.close()
    finally:
        node.end()
    return Finding(f"purge of {tasks:,}", tasks, lasted_s, rest_ms, work_ms)


KINDS: Final = {"retention": (retention, 300_000), "leases": (leases, 100_000), "purge": (purge, 1_000_000)}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.interference",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of tasks")
    parser.add_argument("--rate", type=float, default=900.0, help="requests a second; a third are claims")
    parser.add_argument("--only", choices=KINDS, nargs="+", default=list(KINDS))
    options = parser.parse_args()
    findings = []
    with bench_folder() as folder:
        for name in options.only:
            own = folder / name
            own.mkdir()
            measure, tasks = KINDS[name]
            findings.append(measure(own, tasks=round(tasks * options.scale), rate=options.rate))
    print(HEAD)
    for finding in findings:
        print(finding.line())


if __name__ == "__main__":
    main()
