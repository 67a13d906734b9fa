"""Runs the simulation over many seeds, or looks for the seeds that notice planted bugs."""

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from functools import partial
from typing import NamedTuple

from tests.tqnode.replication.simulation.planted import BUGS, NOTICED, RARE, planted
from tests.tqnode.replication.simulation.run import run

CHUNK = 20
SAY_EVERY_S = 10.0


class Result(NamedTuple):
    """What became of a seed; ``wrong`` is empty if all was well."""

    seed: int
    steps: int
    answered: int
    shared_leases: int
    faults: Counter[str]
    wrong: str


def judged(seed: int, nodes: int | None) -> Result:
    """Runs a seed."""
    try:
        outcome = run(seed, nodes=nodes)
    except Exception as violation:
        # A core that fails in any way is as much of a find as a broken promise.
        return Result(seed, 0, 0, 0, Counter(), f"{type(violation).__name__}: {violation}")
    return Result(seed, outcome.steps, outcome.answered, outcome.shared_leases, outcome.faults, "")


def run_many(first: int, count: int, *, nodes: int | None, workers: int) -> int:
    """Runs seeds, telling how far it is; the exit code."""
    began = said = time.monotonic()
    done = steps = answered = shared = 0
    faults: Counter[str] = Counter()
    wrong: list[int] = []
    with multiprocessing.Pool(workers) as pool:
        seeds = range(first, first + count)
        for result in pool.imap_unordered(partial(judged, nodes=nodes), seeds, chunksize=CHUNK):
            done += 1
            steps += result.steps
            answered += result.answered
            shared += result.shared_leases
            faults += result.faults
            if result.wrong:
                wrong.append(result.seed)
                print(
                    f"seed {result.seed}: {result.wrong}\n  see it: --seed {result.seed} --trace", flush=True
                )
            if time.monotonic() - said > SAY_EVERY_S:
                said = time.monotonic()
                rate = done / (said - began)
                print(f"{done} of {count} seeds, {rate:.1f}/s, {len(wrong)} violations", flush=True)
    took_s = time.monotonic() - began
    print(
        f"{done} seeds from {first} on in {took_s:.0f} s ({done / took_s:.1f}/s): {steps} steps, "
        f"{answered} answered operations, {shared} times two leases where a clock had stood still, "
        f"{len(wrong)} violations {sorted(wrong)[:20]}"
    )
    print("faults: " + ", ".join(f"{count} {kind}" for kind, count in told(faults)))
    return 1 if wrong else 0


def told(faults: Counter[str]) -> list[tuple[str, int]]:
    """The kinds of faults, the most frequent first; and how many came at a chosen moment."""
    by_kind: Counter[str] = Counter()
    for kind, count in faults.items():
        name, at, _ = kind.partition(" at ")
        by_kind[name] += count
        by_kind["at a chosen moment"] += count if at else 0
    return by_kind.most_common()


def notice(name: str, first: int, seeds: int) -> tuple[str, int | None, str]:
    """The first seed that notices a planted bug, and how; None if none does."""
    with planted((BUGS | RARE)[name]) as flaws:
        for seed in range(first, first + seeds):
            try:
                run(seed, flaws=flaws)
            except NOTICED as violation:
                return name, seed, str(violation)
    return name, None, "not noticed"


def notice_all(names: list[str], *, first: int, seeds: int, workers: int) -> int:
    """Tells the first seed for each bug; the exit code."""
    missed = 0
    with multiprocessing.Pool(workers) as pool:
        for name, seed, how in pool.imap(partial(notice, first=first, seeds=seeds), names):
            missed += seed is None
            print(f"{name:55} {'-' if seed is None else seed:>6}  {how[:120]}", flush=True)
    return 1 if missed else 0


def main() -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.tqnode.replication.simulation", description=__doc__
    )
    parser.add_argument("--seeds", type=int, default=1000, metavar="N", help="how many (default: 1000)")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first one (default: 0)")
    parser.add_argument("--workers", type=int, default=multiprocessing.cpu_count(), help="processes")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--nodes", choices=("3", "5", "mix"), default="mix", help="in a cluster")
    parser.add_argument("--trace", action="store_true", help="with --seed: print what happens")
    parser.add_argument(
        "--planted", nargs="*", metavar="WORDS", help="plant each bug whose name has these words, and look"
    )
    asked = parser.parse_args()
    nodes = None if asked.nodes == "mix" else int(asked.nodes)
    if asked.planted is not None:
        names = [name for name in BUGS | RARE if all(word in name for word in asked.planted)]
        return notice_all(names, first=asked.first, seeds=asked.seeds, workers=asked.workers)
    if asked.seed is not None:
        print(run(asked.seed, nodes=nodes, trace=print if asked.trace else None))
        return 0
    return run_many(asked.first, asked.seeds, nodes=nodes, workers=asked.workers)


if __name__ == "__main__":
    sys.exit(main())
