"""Runs the simulation over many seeds, or looks for the seeds that notice planted bugs."""

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from tests.tqnode.replication.simulation.planted import BUGS, planted
from tests.tqnode.replication.simulation.run import run

CHUNK = 20
SAY_EVERY_S = 10.0


class Result(NamedTuple):
    """What became of a seed; ``wrong`` is empty if all was well."""

    seed: int
    steps: int
    answered: int
    faults: Counter[str]
    wrong: str


def judged(seed: int) -> Result:
    """Runs a seed."""
    try:
        outcome = run(seed)
    except AssertionError as violation:
        return Result(seed, 0, 0, Counter(), str(violation))
    return Result(seed, outcome.steps, outcome.answered, outcome.faults, "")


def run_many(first: int, count: int, workers: int) -> int:
    """Runs seeds, telling how far it is; the exit code."""
    began = said = time.monotonic()
    done = steps = answered = 0
    faults: Counter[str] = Counter()
    wrong: list[int] = []
    with multiprocessing.Pool(workers) as pool:
        for result in pool.imap_unordered(judged, range(first, first + count), chunksize=CHUNK):
            done += 1
            steps += result.steps
            answered += result.answered
            faults += result.faults
            if result.wrong:
                wrong.append(result.seed)
                print(
                    f"seed {result.seed}: {result.wrong}\n  see it: --seed {result.seed} --trace", flush=True
                )
            if time.monotonic() - said > SAY_EVERY_S:
                said = time.monotonic()
                rate = done / (said - began)
                print(f"{done} of {count} seeds, {rate:.1f}/s, {len(wrong)} violations", file=sys.stderr)
    took_s = time.monotonic() - began
    print(
        f"{done} seeds from {first} on in {took_s:.0f} s ({done / took_s:.1f}/s): {steps} steps, "
        f"{answered} answered operations, {len(wrong)} violations {sorted(wrong)[:20]}"
    )
    print("faults: " + ", ".join(f"{count} {kind}" for kind, count in faults.most_common()))
    return 1 if wrong else 0


def notice(names: list[str], most: int) -> Iterator[tuple[str, int | None, str]]:
    """For each planted bug the first seed that notices it, and how; None if none of ``most`` does."""
    for name in names:
        with planted(BUGS[name]) as flaws:
            for seed in range(most):
                try:
                    run(seed, flaws=flaws)
                except (AssertionError, ValueError) as violation:
                    yield name, seed, str(violation)
                    break
            else:
                yield name, None, "not noticed"


def main() -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.tqnode.replication.simulation", description=__doc__
    )
    parser.add_argument("--seeds", type=int, default=1000, metavar="N", help="how many (default: 1000)")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first one (default: 0)")
    parser.add_argument("--workers", type=int, default=multiprocessing.cpu_count(), help="processes")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--trace", action="store_true", help="with --seed: print what happens")
    parser.add_argument(
        "--planted", nargs="*", metavar="WORDS", help="plant bugs whose names have these words"
    )
    asked = parser.parse_args()
    if asked.planted is not None:
        names = [name for name in BUGS if all(word in name for word in asked.planted)]
        missed = 0
        for name, seed, how in notice(names, asked.seeds):
            missed += seed is None
            print(f"{name:55} {'-' if seed is None else seed:>6}  {how[:120]}", flush=True)
        return 1 if missed else 0
    if asked.seed is not None:
        print(run(asked.seed, trace=print if asked.trace else None))
        return 0
    return run_many(asked.first, asked.seeds, asked.workers)


if __name__ == "__main__":
    sys.exit(main())
