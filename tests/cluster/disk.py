"""A node's disk that can lose its power: the handle of a :mod:`tests.cluster.forgetful_disk` process."""

import subprocess
import sys
from pathlib import Path

from tqnode.child_process import bound_to_this_process

STOP_S = 10.0


class PowerDisk:
    """Mounted on ``folder`` for as long as it is not ended, seen in this thread's mount namespace alone.

    Args:
        folder: an empty one.
        seed: of what survives a cut by chance.
    """

    def __init__(self, folder: Path, seed: str) -> None:
        argv = [sys.executable, "-m", "tests.cluster.forgetful_disk", str(folder), seed]
        self._process = subprocess.Popen(
            bound_to_this_process(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._expect("mounted")

    def cut(self, *, surviving: float = 0.0) -> tuple[int, int]:
        """Everything that is asked of the disk fails from now on, until :meth:`back`.

        Args:
            surviving: the share of what was not fsynced that survives all the same.

        Returns:
            How many changes to files and to folders are lost.
        """
        self._order(f"cut {surviving}")
        files, folders = self._answer().split()
        return int(files), int(folders)

    def back(self) -> None:
        """The power is back; nobody may use the disk before."""
        self._order("back")
        self._expect("mounted")

    def _order(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def _expect(self, wanted: str) -> None:
        answer = self._answer()
        assert answer == wanted, answer

    def end(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=STOP_S)
