"""The folder a benchmark's databases go to, for as long as it runs."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def bench_folder() -> Iterator[Path]:
    """A folder for the length of the ``with`` block, below ``.benchmarks`` or what TQNODE_BENCH_DIR names.

    It is on the disk of the working folder, since ``/tmp`` is memory on many machines.
    """
    # Taken out of what the nodes inherit: they refuse variables that are no key of theirs.
    chosen = Path(os.environ.pop("TQNODE_BENCH_DIR", ".benchmarks")).absolute()
    chosen.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=chosen, ignore_cleanup_errors=True) as made:
        yield Path(made)
