"""The hot path of this checkout beside that of an earlier commit: what plain tasks pay for new features.

    .venv-test/bin/python -m bench.before a518c2e --rounds 30

Two processes, each with a database of its own, do the same rounds one after the other: enqueue, claim and
complete plain tasks through the core, without HTTP. The earlier commit is checked out into a folder below
``.benchmarks`` and runs with this checkout's Python and packages.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from bench.core import Core
from bench.folder import bench_folder
from bench.rounds import Outcome, table

ROOT = Path(__file__).resolve().parents[1]
TASKS = 8_000
SHAPES = (("batches of 100, 8 callers", 8, 100), ("single, 32 callers", 32, 1))
STEPS = ("enqueue", "claim", "complete")
SERVE = "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"


def serve(folder: Path) -> None:
    """Answers each line of standard input, callers and size, with the seconds of each step of a round."""
    core = Core(folder)
    for line in sys.stdin:
        callers, size = map(int, line.split())
        calls = TASKS // callers // size
        marks = [time.perf_counter()]
        core.enqueue(callers=callers, calls=calls, size=size)
        marks.append(time.perf_counter())
        held = core.claim(callers=callers, calls=calls, size=size)
        marks.append(time.perf_counter())
        core.complete(held, callers=callers)
        marks.append(time.perf_counter())
        print(*(end - start for start, end in pairwise(marks)), flush=True)
    core.close()


class Side:
    """One checkout, ready for rounds.

    Args:
        tree: the checkout.
        folder: for its database.
    """

    def __init__(self, tree: Path, folder: Path) -> None:
        folder.mkdir()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", SERVE, __file__, "--serve", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(str(tree / part) for part in ("", "cli", "web"))},
        )

    def round(self, callers: int, size: int) -> list[float]:
        """The seconds of each step.

        Raises:
            RuntimeError: the process has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(callers, size, file=self._process.stdin, flush=True)
        told = self._process.stdout.readline()
        if not told:
            raise RuntimeError(f"the process ended with {self._process.wait()}")
        return [float(part) for part in told.split()]

    def close(self) -> None:
        """Ends it."""
        self._process.communicate(timeout=60)


@contextmanager
def checked_out(commit: str, folder: Path) -> Iterator[Path]:
    """The repository at ``commit``, for the length of a ``with`` block."""
    tree = folder / "tree"
    subprocess.run(["git", "-C", ROOT, "worktree", "add", "--quiet", "--detach", tree, commit], check=True)
    try:
        yield tree
    finally:
        subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", tree], check=True)


def compare(commit: str, rounds: int) -> list[Outcome]:
    """Rounds in turns, the earlier commit first; one more goes before, to warm both up."""
    outcomes = []
    with bench_folder() as folder, checked_out(commit, folder) as tree:
        before, now = Side(tree, folder / "before"), Side(ROOT, folder / "now")
        for shape, callers, size in SHAPES:
            pairs = [(before.round(callers, size), now.round(callers, size)) for _ in range(rounds + 1)][1:]
            for index, step in enumerate(STEPS):
                outcomes.append(
                    Outcome.of(
                        f"{step}, {shape}",
                        ours_s=[ours[index] for _, ours in pairs],
                        baseline_s=[theirs[index] for theirs, _ in pairs],
                        against="",
                        tasks=TASKS,
                    )
                )
        before.close()
        now.close()
    return outcomes


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("commit", help="the earlier state, as git names it")
    parser.add_argument("--rounds", type=int, default=15)
    asked = parser.parse_args()
    print("\n".join(table(compare(asked.commit, asked.rounds))))


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        serve(Path(sys.argv[2]))
    else:
        main()
