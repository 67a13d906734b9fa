"""Applies a log file and is killed at its first line, at its second, ... until it ends before that.

Run as ``python crashing_apply.py FOLDER FILE``. FOLDER has the database and what lies beside it; each attempt
starts from a copy of that. Prints one JSON object per attempt: what it left, and what the next made of it.
"""

import itertools
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any

from tqnode.replication import pages
from tqnode.replication.ltx import LtxFile


def apply(folder: Path, file: Path) -> None:
    with file.open("rb") as source:
        pages.apply(folder / "tq.db", [LtxFile(source)])


def killed_at(line: int) -> Any:
    """A trace function: SIGKILL at the ``line``-th line of the module that applies."""
    lines = itertools.count(1)

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename != pages.__file__:
            return None
        if event == "line" and next(lines) == line:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


def attempt(folder: Path, file: Path, line: int) -> bool:
    """Whether it was killed."""
    child = os.fork()
    if child == 0:
        sys.settrace(killed_at(line))
        apply(folder, file)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
        return False
    assert os.WIFSIGNALED(status)
    return True


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_bytes().hex() for path in folder.iterdir()}


def main() -> None:
    original, file = map(Path, sys.argv[1:])
    for line in itertools.count(1):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(shutil.copytree(original, Path(scratch) / "data"))
            killed = attempt(folder, file, line)
            left = contents(folder)
            apply(folder, file)
            print(json.dumps({"left": left, "again": contents(folder)}))
        if not killed:
            return


if __name__ == "__main__":
    main()
