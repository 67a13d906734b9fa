"""Puts a load on a node and says how long its answers take.

    python -m bench.load                    a node of its own, 1 to 512 connections, closed loops
    python -m bench.load --rate 2000        2,000 requests a second, whatever the answers take
    python -m bench.load --work mixed --payload-bytes 10240 --connections 32 http://127.0.0.1:7333

The node's data goes below ``.benchmarks``, or the folder that TQNODE_BENCH_DIR names.
"""

import argparse
import contextlib
import random
from collections.abc import Iterator

from bench.folder import bench_folder
from bench.load.client import Connection, address_of
from bench.load.pace import run
from bench.load.work import Enqueues, Mixed, Work
from tests.e2e.processes import NodeProcess

CONNECTIONS = (1, 8, 32, 128, 512)
SHARES = (0.5, 0.9, 0.99, 0.999)


def main() -> None:
    """Runs one load after the other, and prints a line for each kind of request."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", nargs="?", help="of a node; by default one is started for it")
    parser.add_argument("--connections", type=int, nargs="+", default=CONNECTIONS)
    parser.add_argument("--rate", type=float, help="requests a second; without it, closed loops")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load")
    parser.add_argument("--work", choices=("enqueue", "batch", "mixed"), default="enqueue")
    parser.add_argument("--payload-bytes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of an open loop")
    options = parser.parse_args()
    print(f"{'':20} {'requests/s':>10} {'p50 ms':>8} {'p90':>8} {'p99':>8} {'p99.9':>8} {'max':>8}")
    with node_at(options.url) as url:
        for count in options.connections:
            connections = [Connection(address_of(url)) for _ in range(count)]
            took = run(
                connections,
                work_of(options.work, options.payload_bytes),
                seconds=options.seconds,
                rate=options.rate,
                chance=random.Random(options.seed),
            )
            for connection in connections:
                connection.close()
            for kind, times in sorted(took.items()):
                print(line(f"{count:>4} conn. {kind}", times, options.seconds), flush=True)


def work_of(name: str, payload_bytes: int) -> Work:
    """The work by its name."""
    if name == "mixed":
        return Mixed(payload_bytes=payload_bytes)
    return Enqueues(payload_bytes=payload_bytes, size=100 if name == "batch" else 1)


def line(name: str, times: list[float], seconds: float) -> str:
    """A line of the table.

    Args:
        name: what was asked.
        times: of all requests, in seconds.
        seconds: for how long they were sent.
    """
    times.sort()
    shares = [times[min(len(times) - 1, int(share * len(times)))] for share in SHARES]
    columns = "".join(f" {1000 * one:8.2f}" for one in (*shares, times[-1]))
    return f"{name:20} {len(times) / seconds:10,.0f}{columns}"


@contextlib.contextmanager
def node_at(url: str | None) -> Iterator[str]:
    """A node's URL: the one given, or that of a node for the length of the ``with`` block."""
    if url is not None:
        yield url
        return
    with bench_folder() as folder:
        node = NodeProcess(folder)
        try:
            yield node.url
        finally:
            node.end()


if __name__ == "__main__":
    main()
