"""A tqnode on a disk that fails on order, while a file of that name is in FOLDER: ``fail-sync``,
``hang-sync``, ``fail-read``, or ``full``.

Run as ``python failing_disk.py FOLDER run ...``: the rest is tqnode's own command line.
"""

import sys
import threading
from pathlib import Path
from typing import Any

import apsw

from tqnode.__main__ import main

orders = Path(sys.argv.pop(1))


class FailingFile(apsw.VFSFile):
    """A file of the usual kind until the order comes."""

    def xSync(self, flags: int) -> None:
        if (orders / "fail-sync").exists():
            raise apsw.IOError("the disk says no")
        if (orders / "hang-sync").exists():
            threading.Event().wait()
        super().xSync(flags)

    def xRead(self, amount: int, offset: int) -> bytes:
        if (orders / "fail-read").exists():
            raise apsw.IOError("the disk has forgotten")
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:
        if (orders / "full").exists():
            raise apsw.FullError("no space left")
        super().xWrite(data, offset)


class FailingDisk(apsw.VFS):
    """Opens such files."""

    def __init__(self) -> None:
        super().__init__("failing", "unix")

    def xOpen(self, name: Any, flags: list[int]) -> FailingFile:
        return FailingFile("unix", name, flags)


disk = FailingDisk()
apsw.set_default_vfs("failing")
main(prog_name="tqnode")
