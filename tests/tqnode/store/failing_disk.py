"""A disk that can be told to fail: a layer of SQLite's own between it and the operating system."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import apsw

_numbers = itertools.count()


class FailingDisk:
    """What the files of one virtual file system do, until told otherwise: work.

    Attributes:
        full: whether every write finds no space.
        syncs_fail: whether every sync fails.
        syncs: how many syncs were asked for.
    """

    def __init__(self) -> None:
        self.full = False
        self.syncs_fail = False
        self.syncs = 0
        self.name = f"failing-disk-{next(_numbers)}"

    def write(self) -> None:
        if self.full:
            raise apsw.FullError("no space left on the test's disk")

    def sync(self) -> None:
        self.syncs += 1
        if self.syncs_fail:
            raise apsw.IOError("the test's disk failed to sync")


class _File(apsw.VFSFile):
    def __init__(self, disk: FailingDisk, base: str, name: Any, flags: list[int]) -> None:
        super().__init__(base, name, flags)
        self._disk = disk

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.write()
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self._disk.sync()
        super().xSync(flags)


class _System(apsw.VFS):
    def __init__(self, disk: FailingDisk, base: str) -> None:
        super().__init__(disk.name, base, makedefault=True)
        self._disk = disk
        self._base = base

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _File(self._disk, self._base, name, flags)


@contextmanager
def failing_disk() -> Iterator[FailingDisk]:
    """Puts the disk under every database that is opened meanwhile."""
    disk = FailingDisk()
    usual = apsw.vfs_names()[0]
    system = _System(disk, usual)
    try:
        yield disk
    finally:
        apsw.set_default_vfs(usual)
        system.unregister()
