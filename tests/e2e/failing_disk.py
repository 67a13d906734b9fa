"""A tqnode on a disk whose syncs fail from the moment a file named ``fail-sync`` is in its data folder.

Run as ``python failing_disk.py FOLDER run ...``: the rest is tqnode's own command line.
"""

import sys
from pathlib import Path
from typing import Any

import apsw

from tqnode.__main__ import main

order = Path(sys.argv.pop(1)) / "fail-sync"


class FailingFile(apsw.VFSFile):
    """A file of the usual kind until the order comes."""

    def xSync(self, flags: int) -> None:
        if order.exists():
            raise apsw.IOError("the disk says no")
        super().xSync(flags)


class FailingDisk(apsw.VFS):
    """Opens such files."""

    def __init__(self) -> None:
        super().__init__("failing", "unix")

    def xOpen(self, name: Any, flags: list[int]) -> FailingFile:
        return FailingFile("unix", name, flags)


disk = FailingDisk()
apsw.set_default_vfs("failing")
main(prog_name="tqnode")
