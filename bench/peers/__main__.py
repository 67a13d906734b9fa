"""The same work on tqnode and on the queues that people would use instead, one after the other.

    python -m bench.peers
    python -m bench.peers --tasks 1000 --only huey RQ
    python -m bench.peers --json peers.json --chart peers.svg --markdown

Data goes below ``.benchmarks``, or the folder that TQNODE_BENCH_DIR names, on the disk to be measured.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final, NoReturn

from bench.peers import chart, servers, table
from bench.peers.measure import Failed, measure
from bench.peers.peer import CALLERS, Figures, Peer
from bench.peers.roster import FSYNC, OURS, PEERS

TASKS_MIN: Final = 100


def chosen(names: Sequence[str]) -> list[Peer]:
    """Ours, then those whose names begin with one of ``names`` (all without one), then ours again."""
    wanted = tuple(name.casefold() for name in names) or ("",)
    peers = [peer for peer in PEERS if peer.name.casefold().startswith(wanted)]
    return [OURS, *peers, OURS]


def missing(peers: Sequence[Peer]) -> list[str]:
    """The Debian packages of the programs that this machine lacks."""
    return sorted({package for peer in peers for name, package in peer.programs if not servers.program(name)})


def run(peers: Sequence[Peer], tasks: int, folder: Path) -> list[Figures]:
    """Measures one after the other; one that fails does not keep the rest from their turn."""
    measured = []
    for number, peer in enumerate(peers, start=1):
        print(f"[{number}/{len(peers)}] {peer.name}: ", end="", flush=True)
        try:
            figures = measure(peer, tasks, folder)
        except (Failed, AssertionError, subprocess.TimeoutExpired) as failed:  # its server's failures, too
            print(f"failed\n{failed}", flush=True)
            figures = Figures(peer.name, peer.durability, error=str(failed))
        else:
            bulk = f", in bulk {figures.bulk:,.0f}/s" if figures.bulk else ""
            each = f"enqueue {figures.one:,.0f}/s, from {CALLERS} callers {figures.crowd:,.0f}/s"
            print(f"{each}{bulk}, consume {figures.consume:,.0f}/s", flush=True)
        measured.append(figures)
    return measured


def _end(number: int, _frame: object) -> NoReturn:
    # Not at once: what was started is ended on the way out.
    raise SystemExit(128 + number)


def main() -> int:
    """Measures, prints, and says by its exit code whether every queue did the work."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers",
        description=(__doc__ or "").partition("\n")[0],
        epilog="queues: " + "; ".join(peer.name for peer in PEERS),
    )
    parser.add_argument("--tasks", type=int, default=10_000, help="for each step (default: 10000)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="queues that begin so")
    parser.add_argument("--markdown", action="store_true", help="print the table for a document")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures")
    parser.add_argument("--chart", type=Path, metavar="FILE.svg", help="draw the figures")
    options = parser.parse_args()
    if options.tasks < TASKS_MIN:
        parser.error(f"--tasks: at least {TASKS_MIN}, or there is nothing to time")
    peers = chosen(options.only)
    if packages := missing(peers):
        print(f"peers: error: missing; as root on Debian or Ubuntu: apt-get install {' '.join(packages)}")
        return 1
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    # A node takes it for a mistake in its configuration.
    folder = Path(os.environ.pop("TQNODE_BENCH_DIR", ".benchmarks")).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    measured = run(peers, options.tasks, folder)
    print("\n" + (table.markdown if options.markdown else table.plain)(measured, OURS.name))
    if options.json:
        facts = {"tasks": options.tasks, "processors": os.cpu_count(), "python": platform.python_version()}
        figures = [asdict(one) for one in measured]
        options.json.write_text(json.dumps({**facts, "queues": figures}, indent=1) + "\n")
    if options.chart:
        options.chart.write_text(chart.svg(measured, OURS.name, durable=FSYNC))
    return 1 if any(one.error for one in measured) else 0


if __name__ == "__main__":
    sys.exit(main())
