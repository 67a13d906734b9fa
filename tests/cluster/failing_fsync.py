"""Makes every fsync of a running process fail, as a dying disk does."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.waiting import eventually
from tqnode.child_process import bound_to_this_process

STOP_S = 30.0


@contextlib.contextmanager
def failing_fsync(pid: int, said: Path) -> Iterator[None]:
    """Each fsync of a process and its threads fails with EIO, for the length of the block.

    Args:
        pid: of the process.
        said: file for what strace says.
    """
    strace = shutil.which("strace")
    assert strace is not None
    fails = ["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"]
    with said.open("w") as log:
        tracer = subprocess.Popen(bound_to_this_process([strace, "-f", *fails, "-p", str(pid)]), stderr=log)
    try:
        eventually(lambda: "attached" in said.read_text())
        yield
    finally:
        tracer.terminate()
        tracer.wait(STOP_S)
